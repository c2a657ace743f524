/** Hono, a fetch app. */
import process from "node:process";
import { load } from "./packages.ts";

// deno-lint-ignore no-explicit-any
type Any = any;

const { Hono } = await load("hono");
const { getSignedCookie, setSignedCookie } = await load("hono/cookie");
// As applications for either runtime ask for the visitor's address; on Node, Hono's own way is for its own server.
const { getConnInfo } = process.versions.deno
  ? await load("hono/deno")
  : process.versions.bun
  ? await load("hono/bun")
  : { getConnInfo: (c: Any) => ({ remote: { address: c.env.remoteAddr.hostname } }) };

const app = new Hono();
const secret = "for a test";

app.get("/where", (c: Any) => {
  const { pathname, search, host, protocol } = new URL(c.req.url);
  return c.json({ url: pathname + search, ip: getConnInfo(c).remote.address, host, protocol: protocol.slice(0, -1) });
});
app.get("/visits", async (c: Any) => {
  const visits = Number(await getSignedCookie(c, secret, "visits") || 0) + 1;
  await setSignedCookie(c, "visits", String(visits), secret);
  return c.text(String(visits));
});
app.post("/form", async (c: Any) => c.json(await c.req.parseBody()));
app.post("/upload", async (c: Any) => {
  const { title, file } = await c.req.parseBody();
  return c.json({ title, name: file.name, size: file.size, last: new Uint8Array(await file.arrayBuffer()).at(-1) });
});
app.get("/old", (c: Any) => c.redirect("/new?a=1"));
app.get("/throw", () => {
  throw new Error("thrown for a test");
});

export default app;
