// The least that a server on node:net can hold of what nobody reads: it keeps what arrives, and pauses above 256 KiB.
// Usage: node|deno peer_net.cjs SOCKET
require("node:net").createServer((socket) => {
  const kept = [];
  let length = 0;
  socket.on("data", (bytes) => {
    kept.push(bytes);
    length += bytes.length;
    if (length > 256 * 1024) socket.pause();
  });
  socket.on("error", () => kept.splice(0));
}).listen(process.argv[2], 511);
