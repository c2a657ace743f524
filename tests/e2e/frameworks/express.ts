/** Express, with the packages that are usual for sessions and uploads. */
import { load } from "./packages.ts";

const express = await load("express");
const session = await load("express-session");
const multer = await load("multer");

const app = express();
app.use(session({ secret: "for a test", resave: false, saveUninitialized: true }));

// deno-lint-ignore no-explicit-any
type Any = any;
app.get("/where", (request: Any, response: Any) => {
  response.json({ url: request.originalUrl, ip: request.ip, host: request.get("host"), protocol: request.protocol });
});
app.get("/visits", (request: Any, response: Any) => {
  request.session.visits = (request.session.visits ?? 0) + 1;
  response.send(String(request.session.visits));
});
app.post("/form", express.urlencoded(), (request: Any, response: Any) => response.json(request.body));
app.post("/upload", multer({ storage: multer.memoryStorage() }).single("file"), (request: Any, response: Any) => {
  const { originalname, size, buffer } = request.file;
  response.json({ title: request.body.title, name: originalname, size, last: buffer.at(-1) });
});
app.get("/old", (_request: Any, response: Any) => response.redirect("/new?a=1"));
app.get("/throw", () => {
  throw new Error("thrown for a test");
});

export default app;
