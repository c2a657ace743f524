/**
 * The floor of Bun over SCGI and uwsgi: fixed bytes for whatever comes in the first read, and nothing is looked at but
 * which of the two is wanted.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import process from "node:process";

/** What is used of Bun, so that the source type-checks anywhere. */
interface BunSocket {
  write(bytes: Uint8Array): number;
  end(): void;
  terminate(): void;
}
const { listen } = (globalThis as unknown as {
  Bun: { listen(options: { unix: string; socket: Record<string, (socket: BunSocket, bytes: Buffer) => void> }): unknown };
}).Bun;

const [small, large] = ["hello world\n", "x".repeat(64 * 1024)].map((body) => {
  return Buffer.from(`HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
});

listen({
  unix: process.argv[2],
  socket: {
    data(socket, bytes) {
      const response = bytes.includes("/large") ? large : small;
      // It fits into the socket.
      if (socket.write(response) === response.length) socket.end();
      else socket.terminate();
    },
    open() {},
    drain() {},
    close() {},
    error() {},
  },
});
