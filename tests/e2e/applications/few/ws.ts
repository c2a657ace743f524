/** `ws` beside `node:http`, as its documentation starts it, with compression. */
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const server = createServer((_request, response) => response.end("Here is a WebSocket."));
const sockets = new WebSocketServer({
  server,
  maxPayload: 32 * 1024 * 1024,
  perMessageDeflate: true,
  handleProtocols: () => "echo",
});
sockets.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.send("welcome");
});
server.listen(3000);
