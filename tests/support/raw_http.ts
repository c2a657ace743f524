/**
 * HTTP whose target is sent as it stands, where HTTP clients would tidy it up.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createConnection } from "node:net";

/** Seconds for an answer. */
const PATIENCE = 30;

/** The whole response. */
export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

/** Asks with the target as it stands here, which HTTP clients would tidy up. */
export function ask(port: number, target: string, headers: Record<string, string> = {}, method = "GET"): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const socket = createConnection({ host: "127.0.0.1", port });
  const chunks: Uint8Array[] = [];
  socket.on("data", (bytes: Uint8Array) => chunks.push(bytes));
  socket.on("error", reject);
  socket.setTimeout(PATIENCE * 1000, () => socket.destroy(new Error(`no answer to ${target} in ${PATIENCE} s`)));
  socket.on("close", () => {
    const bytes = Buffer.concat(chunks);
    const end = bytes.indexOf("\r\n\r\n");
    const [first, ...lines] = bytes.toString("latin1", 0, end).split("\r\n");
    const pairs = lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]);
    const given = Object.fromEntries(pairs);
    const body = bytes.subarray(end + 4);
    const whole = given["transfer-encoding"] === "chunked" ? withoutChunks(body) : body;
    resolve({ status: Number(first.split(" ")[1]), headers: given, body: whole });
  });
  const lines = Object.entries({ host: `127.0.0.1:${port}`, connection: "close", ...headers });
  socket.write(`${method} ${target} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`);
  return promise;
}

function withoutChunks(bytes: Buffer): Buffer {
  const end = bytes.indexOf("\r\n");
  const length = parseInt(bytes.toString("latin1", 0, end), 16);
  return length > 0
    ? Buffer.concat([bytes.subarray(end + 2, end + 2 + length), withoutChunks(bytes.subarray(end + 4 + length))])
    : bytes.subarray(0, 0);
}
