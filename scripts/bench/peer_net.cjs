// The least that a server on node:net can hold of what nobody reads: it keeps what arrives, and pauses above 256 KiB.
// Where only one of so many bytes belongs to a body, it reads all, and keeps as many as would.
// Usage: node|deno peer_net.cjs SOCKET [BYTES]
const [path, framing = "1"] = process.argv.slice(2);
require("node:net").createServer((socket) => {
  const kept = [];
  let length = 0;
  socket.on("data", (bytes) => {
    const part = framing === "1" ? bytes : new Uint8Array(bytes.subarray(0, Math.ceil(bytes.length / Number(framing))));
    kept.push(part);
    length += part.length;
    if (length > 256 * 1024) socket.pause();
  });
  socket.on("error", () => kept.splice(0));
}).listen(path, 511);
