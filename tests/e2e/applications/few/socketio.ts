/** Socket.IO beside `node:http`. */
import { createServer } from "node:http";
import { Server } from "socket.io";

const server = createServer((_request, response) => response.end("Here is Socket.IO."));
const io = new Server(server);
io.on("connection", (socket) => {
  socket.on("shout", (text: string, answer: (text: string) => void) => answer(text.toUpperCase()));
  socket.on("return", (data: Uint8Array, answer: (data: Uint8Array) => void) => answer(data));
  socket.emit("welcome", "Hello");
});
server.listen(3000);

/** A visitor's requests by polling have to come to the same thread. */
export const runfcgi = { threads: 1 };
