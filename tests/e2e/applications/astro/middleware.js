// Its name does not say whether it is a fetch handler or a Node-style listener.
export { handler as default } from "./dist-middleware/server/entry.mjs";
export const runfcgi = { app: "node" };
