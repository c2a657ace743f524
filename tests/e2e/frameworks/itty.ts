/** itty-router, whose router answers to any method name. */
import { load } from "./packages.ts";

const { AutoRouter } = await load("itty-router");

const router = AutoRouter();

// deno-lint-ignore no-explicit-any
type Any = any;
router.get("/where", (request: Any, info: Any) => {
  const { pathname, search, host, protocol } = new URL(request.url);
  return { url: pathname + search, ip: info.remoteAddr.hostname, host, protocol: protocol.slice(0, -1) };
});
router.get("/visits", (request: Any) => {
  const visits = Number(/visits=(\d+)/.exec(request.headers.get("cookie") ?? "")?.[1] ?? 0) + 1;
  return new Response(String(visits), { headers: { "set-cookie": `visits=${visits}` } });
});
router.post("/form", async (request: Any) => Object.fromEntries(await request.formData()));
router.post("/upload", async (request: Any) => {
  const form = await request.formData();
  const file = form.get("file");
  return { title: form.get("title"), name: file.name, size: file.size, last: new Uint8Array(await file.arrayBuffer()).at(-1) };
});
router.get("/old", () => new Response(null, { status: 302, headers: { location: "/new?a=1" } }));
router.get("/throw", () => {
  throw new Error("thrown for a test");
});

export default router;
