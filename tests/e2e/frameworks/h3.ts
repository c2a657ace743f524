/** h3, a fetch app with sessions of its own. */
import { load } from "./packages.ts";

const { H3, redirect, useSession } = await load("h3");

const app = new H3();

// deno-lint-ignore no-explicit-any
type Any = any;
app.get("/where", (event: Any) => {
  const { pathname, search, host, protocol } = event.url;
  return { url: pathname + search, host, protocol: protocol.slice(0, -1) };
});
app.get("/visits", async (event: Any) => {
  const session = await useSession(event, { password: "for a test, at least 32 characters long", cookie: { secure: false } });
  await session.update({ visits: (session.data.visits ?? 0) + 1 });
  return String(session.data.visits);
});
app.post("/form", async (event: Any) => Object.fromEntries(await event.req.formData()));
app.post("/upload", async (event: Any) => {
  const form = await event.req.formData();
  const file = form.get("file");
  return { title: form.get("title"), name: file.name, size: file.size, last: new Uint8Array(await file.arrayBuffer()).at(-1) };
});
app.get("/old", () => redirect("/new?a=1"));
app.get("/throw", () => {
  throw new Error("thrown for a test");
});

export default app;
