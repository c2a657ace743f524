/** Express 5 with middlewares that are used most, and sharp for the picture of an upload. */
import compression from "compression";
import timeout from "connect-timeout";
import cookieParser from "cookie-parser";
import cookieSession from "cookie-session";
import cors from "cors";
import express from "express";
import { rateLimit } from "express-rate-limit";
import helmet from "helmet";
import methodOverride from "method-override";
import morgan from "morgan";
import multer from "multer";
import responseTime from "response-time";
import serveStatic from "serve-static";
import sharp from "sharp";

const app = express();
// The web server: express-rate-limit and the session's cookie want to know.
app.set("trust proxy", "loopback");
app.use(morgan("combined", { stream: { write: (line: string) => console.log(line.trim()) } }));
app.use(helmet());
app.use(cors({ origin: "http://elsewhere.test" }));
app.use(compression({ threshold: 0 }));
app.use(responseTime());
app.use(timeout("20s"));
app.use(cookieParser("for a test"));
app.use(cookieSession({ name: "session", keys: ["for a test"] }));
app.use(methodOverride("X-HTTP-Method-Override"));
app.use(rateLimit({ windowMs: 60_000, limit: 1000, standardHeaders: "draft-8", legacyHeaders: false }));
app.use("/static", serveStatic(import.meta.dirname!, { extensions: ["json"] }));

app.get("/", (_request, response) => response.type("html").send("<h1>Hello</h1>"));
app.get("/visits", (request, response) => {
  request.session.visits = (request.session.visits ?? 0) + 1;
  response.send(String(request.session.visits));
});
app.post("/form", express.urlencoded(), (request, response) => response.json(request.body));
const upload = multer();
app.post("/upload", upload.single("file"), (request, response) => {
  const { originalname, size, buffer } = request.file;
  response.json({ title: request.body.title, name: originalname, size, last: buffer.at(-1) });
});
app.post("/picture", upload.single("file"), async (request, response) => {
  const picture = await sharp(Buffer.from(request.file.buffer.toString(), "base64")).resize(2, 2).png().toBuffer();
  const { width, height, format } = await sharp(picture).metadata();
  response.json({ width, height, format });
});
app.delete("/thing", (_request, response) => response.send("deleted"));
app.get("/old", (_request, response) => response.redirect("/new?a=1"));
app.get("/throw", async () => {
  await null;
  throw new Error("thrown for a test");
});

app.listen(3000);
