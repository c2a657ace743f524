/** Socket.IO as its documentation starts it, beside Express. */
import { createServer } from "node:http";
import express from "express";
import multer from "multer";
import { Server } from "socket.io";

const app = express();
const server = createServer(app);
const io = new Server(server);
io.on("connection", (socket) => {
  socket.on("shout", (text: string, answer: (text: string) => void) => answer(text.toUpperCase()));
  socket.emit("welcome", "Hello");
});

app.get("/", (_request, response) => response.type("html").send("<h1>Hello</h1>"));
app.get("/visits", (request, response) => {
  const visits = Number(/visits=(\d+)/.exec(request.headers.cookie ?? "")?.[1] ?? 0) + 1;
  response.cookie("visits", String(visits)).send(String(visits));
});
app.post("/form", express.urlencoded(), (request, response) => response.json(request.body));
app.post("/upload", multer().single("file"), (request, response) => {
  const { originalname, size, buffer } = request.file;
  response.json({ title: request.body.title, name: originalname, size, last: buffer.at(-1) });
});
app.get("/old", (_request, response) => response.redirect("/new?a=1"));
app.get("/throw", () => {
  throw new Error("thrown for a test");
});

server.listen(3000);
