import process from "node:process";

const { SITE_OUT: buildDirectory = "build", SITE_BASE: basename = "/" } = process.env;

export default { buildDirectory, basename };
