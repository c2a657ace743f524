/** An Express application that uses most of what a `node:http` server gives, on a port of its own if one is named. */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import process from "node:process";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { load } from "./frameworks/packages.ts";

const express = await load("express");
const session = await load("express-session");
const multer = await load("multer");
const onFinished = await load("on-finished");

// deno-lint-ignore no-explicit-any -- Express has no types here
type Any = any;
const folder = process.env.FILES;
const app = express();
let finished = 0;

app.use((_: Any, response: Any, next: Any) => {
  onFinished(response, (error: unknown) => finished += error ? 1000 : 1);
  next();
});
app.use(session({ secret: "for a test", resave: false, saveUninitialized: false, genid: () => "one" }));
app.use("/files", express.static(folder, { lastModified: false }));

app.get("/text", (_: Any, response: Any) => response.send("text ☃"));
app.get("/json", (_: Any, response: Any) => response.json({ a: [1, null, "ü"] }));
app.get("/bytes", (_: Any, response: Any) => response.send(Buffer.from([0, 1, 254, 255])));
app.get("/none", (_: Any, response: Any) => response.status(204).end());
app.get("/status", (_: Any, response: Any) => response.sendStatus(418));
app.get("/redirect", (_: Any, response: Any) => response.redirect(301, "/text?a=ü"));
app.get("/headers", (request: Any, response: Any) => {
  const { "x-one": one, cookie, "accept-language": language, "set-cookie": none } = request.headers;
  response.json({ one, cookie, language, none, distinct: request.headersDistinct["x-one"], get: request.get("X-ONE") });
});
app.get("/where/:name/*rest", (request: Any, response: Any) => {
  const { originalUrl, url, path, params, query, hostname, protocol, ip, method, httpVersion, secure, xhr } = request;
  response.json({ originalUrl, url, path, params, query, hostname, protocol, ip, method, httpVersion, secure, xhr });
});
app.get("/cookies", (_: Any, response: Any) => {
  response.cookie("a", "1 2", { httpOnly: true }).cookie("b", "ü", { expires: new Date(0) }).append("X-More", "a");
  response.append("X-More", "b").vary("Accept").links({ next: "/2" }).send("cookies");
});
app.get("/format", (_: Any, response: Any) => {
  response.format({ text: () => response.send("text"), html: () => response.send("<p>"), json: () => response.json({}) });
});
app.get("/raw", (_: Any, response: Any) => {
  response.writeHead(201, "All Made", ["X-A", "1", "x-a", "2", "Content-Type", "text/x"]);
  response.write("one ");
  response.write(Buffer.from("two "));
  response.end("three");
});
app.get("/parts", (_: Any, response: Any) => {
  response.type("txt").write("first ");
  setImmediate(() => response.end("second"));
});
app.get("/stream", async (_: Any, response: Any) => {
  await pipeline(Readable.from(Array.from({ length: 200 }, (_, i) => `${i}`.padStart(1000))), response);
});
app.get("/download", (_: Any, response: Any) => response.download(`${folder}/page.html`, "a ü.html", { lastModified: false }));
app.get("/session", (request: Any, response: Any) => {
  request.session.visits = (request.session.visits ?? 0) + 1;
  response.send(String(request.session.visits));
});
app.get("/finished", (_: Any, response: Any) => response.send(String(finished)));
app.post("/form", express.urlencoded({ extended: true }), (request: Any, response: Any) => response.json(request.body));
app.post("/json", express.json({ limit: 1000 }), (request: Any, response: Any) => response.json(request.body));
app.post("/text", express.text({ type: "*/*" }), (request: Any, response: Any) => response.send(request.body));
app.all("/digest", async (request: Any, response: Any) => {
  const hash = createHash("sha256");
  for await (const chunk of request) hash.update(chunk);
  response.send(`${request.method} ${request.headers["content-length"]} ${request.complete} ${hash.digest("hex")}`);
});
app.put("/echo", (request: Any, response: Any) => request.pipe(response));
app.post("/upload", multer({ storage: multer.memoryStorage() }).array("file"), (request: Any, response: Any) => {
  response.json({ fields: { ...request.body }, files: request.files.map(({ originalname, size }: Any) => [originalname, size]) });
});
app.get("/throw", () => {
  throw new Error("thrown for a test");
});
app.get("/reject", async () => {
  await null;
  throw Object.assign(new Error("rejected for a test"), { status: 403, expose: true });
});

app.listen(Number(process.env.OWN_PORT ?? 3000), "127.0.0.1");
