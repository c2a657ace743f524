/** Fastify as its documentation starts it, some time after its module was evaluated. */
import { load } from "./packages.ts";

const fastify = await load("fastify");
const formbody = await load("@fastify/formbody");
const multipart = await load("@fastify/multipart");
const cookie = await load("@fastify/cookie");

const app = fastify();
app.register(formbody);
app.register(multipart, { attachFieldsToBody: true });
app.register(cookie, { secret: "for a test" });

// deno-lint-ignore no-explicit-any
type Any = any;
app.get("/where", (request: Any) => {
  return Promise.resolve({ url: request.originalUrl, ip: request.ip, host: request.host, protocol: request.protocol });
});
app.get("/visits", (request: Any, reply: Any) => {
  const before = request.unsignCookie(request.cookies.visits ?? "");
  const visits = before.valid ? Number(before.value) + 1 : 1;
  reply.setCookie("visits", String(visits), { signed: true }).send(String(visits));
});
app.post("/form", (request: Any, reply: Any) => reply.send(request.body));
app.post("/upload", async (request: Any) => {
  const { title, file } = request.body;
  const bytes = await file.toBuffer();
  return { title: title.value, name: file.filename, size: bytes.length, last: bytes.at(-1) };
});
app.get("/old", (_request: Any, reply: Any) => reply.redirect("/new?a=1"));
app.get("/throw", () => {
  throw new Error("thrown for a test");
});

async function start(): Promise<void> {
  await app.ready();
  await app.listen({ port: 3000 });
}
start();
