/** Hono with JSX as tsconfig.json says, streaming, static files and the visitor's address. */
import process from "node:process";
import { Hono } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { streamSSE } from "hono/streaming";
import { described } from "../few/routes.ts";

const { deno, bun } = process.versions;
const { getConnInfo, serveStatic } = deno ? await import("hono/deno") : bun ? await import("hono/bun") : {};
const app = new Hono();

const Page = ({ name }: { name: string }) => (
  <html>
    <body>
      <h1>Hello</h1>
      <p title={name}>{name}</p>
    </body>
  </html>
);
app.get("/", (c) => c.html(<Page name="<you>" />));
app.get("/address", (c) => c.text(getConnInfo ? getConnInfo(c).remote.address : c.env.remoteAddr.hostname));
app.get("/visits", (c) => {
  const visits = Number(getCookie(c, "visits") ?? 0) + 1;
  setCookie(c, "visits", String(visits), { httpOnly: true });
  return c.text(String(visits));
});
app.post("/form", async (c) => c.json(await c.req.parseBody()));
app.post("/upload", async (c) => {
  const { title, file } = await c.req.parseBody();
  return c.json(await described(String(title), file as File));
});
app.get("/old", (c) => c.redirect("/new?a=1"));
app.get("/throw", () => {
  throw new Error("thrown for a test");
});
app.get("/events", (c) =>
  streamSSE(c, async (stream) => {
    for (const id of ["1", "2"]) await stream.writeSSE({ data: `event ${id}`, id });
  }));
if (serveStatic) {
  app.use(
    "/static/*",
    serveStatic({ root: import.meta.dirname, rewriteRequestPath: (path: string) => path.replace(/^\/static/, "") }),
  );
}

export default app;
