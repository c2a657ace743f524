/** A server that keeps what it sees of each request, and tells which one it answers. */
import { Buffer } from "node:buffer";
import { createServer } from "node:http";

/** A request, as the application sees it. */
export interface SeenByApp {
  /** Values of the field in which the proxy names the request. */
  id: string[];
  /** Of the connection, on the other side. */
  port: number;
  method: string;
  target: string;
  /** A byte string; undefined where the rest is dropped, or not sent, behind an early answer. */
  body?: string;
}

let seen: SeenByApp[] = [];

createServer((request, response) => {
  const { method, url: target, rawHeaders } = request as { method: string; url: string; rawHeaders: string[] };
  if (target === "/what-was-seen") {
    response.end(JSON.stringify(seen));
    seen = [];
    return;
  }
  const id = rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1].toLowerCase() === "x-seen");
  const chunks: Uint8Array[] = [];
  const answer = () => {
    response.setHeader("x-seen", id.join());
    response.statusCode = target === "/204" ? 204 : target === "/304" ? 304 : 200;
    if (target === "/parts") response.write("in ");
    response.end("parts");
  };
  request.on("error", () => {});
  request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  const sight: SeenByApp = { id, port: request.socket.remotePort!, method, target };
  // Its body may never be whole.
  if (target === "/early") seen.push(sight);
  request.on("end", () => {
    sight.body = Buffer.concat(chunks).toString("latin1");
    if (target === "/early") return;
    seen.push(sight);
    answer();
  });
  if (target === "/early") answer();
}).listen(3000);
