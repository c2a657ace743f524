import { reactRouter } from "@react-router/dev/vite";
import process from "node:process";
import { defineConfig } from "vite";

export default defineConfig({ plugins: [reactRouter()], base: `${process.env.SITE_BASE ?? ""}/` });
