import { defineNitroConfig } from "nitropack/config";

export default defineNitroConfig({
  compatibilityDate: "2026-11-01",
  output: { dir: `output/${process.env.NITRO_PRESET}` },
});
