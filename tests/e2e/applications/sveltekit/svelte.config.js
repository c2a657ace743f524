import adapter from "@sveltejs/adapter-node";
import process from "node:process";

const { SITE_OUT: out, SITE_BASE: base = "" } = process.env;

export default { kit: { adapter: adapter({ out }), paths: { base } } };
