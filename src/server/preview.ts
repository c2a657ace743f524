/**
 * A small HTTP front for trying an application without a web server: it asks the endpoint as a web server would.
 *
 * @module
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import { plainResponse } from "../gateway/response.ts";
import { Params } from "../protocol/params.ts";
import { type ClientRequest, request as send } from "./client.ts";

/** A running preview. */
export interface Preview {
  /** What to open in a browser. */
  readonly url: string;
  close(): void;
}

/** What is asked. */
export type PreviewedEndpoint = Pick<ClientRequest, "address" | "protocol" | "secret" | "packetSize">;

/**
 * Listens for HTTP on the loopback address and forwards to the endpoint.
 *
 * @param port 0 for one of the kernel's choice
 */
export function preview(port: number, endpoint: PreviewedEndpoint): Promise<Preview> {
  const { promise, resolve, reject } = Promise.withResolvers<Preview>();
  const server = createServer((message, response) => void forward(message, response, endpoint));
  server.once("error", reject);
  server.listen(port, "127.0.0.1", () => {
    const bound = server.address() as AddressInfo;
    const close = () => {
      server.close();
      server.closeAllConnections();
    };
    resolve({ url: `http://127.0.0.1:${bound.port}/`, close });
  });
  return promise;
}

async function forward(message: IncomingMessage, response: ServerResponse, endpoint: PreviewedEndpoint): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort(new Error("The browser closed the connection")));
  try {
    const answer = await send({ ...endpoint, params: httpParams(message), body: message, signal: gone.signal });
    const { status, reason, headers } = answer.head;
    for (let i = 0; i < headers.length; i += 2) response.appendHeader(headers[i], headers[i + 1]);
    response.writeHead(status, reason);
    response.flushHeaders();
    await pipeline(answer.body, response);
    // An answer can come before the request is read. Its rest would keep the browser waiting.
    message.resume();
  } catch (error) {
    if (response.destroyed) return;
    if (response.headersSent) return void response.destroy();
    const page = plainResponse(502, `The endpoint did not answer: ${(error as Error).message}`);
    response.writeHead(page.status, Object.fromEntries(page.headers)).end(await page.text());
  }
}

/** RFC 3875, 4.1: the variables that a web server makes of an HTTP request. */
function httpParams(message: IncomingMessage): Params {
  const target = message.url ?? "/";
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  const { socket, headers } = message;
  const params: [string, string][] = [
    ["GATEWAY_INTERFACE", "CGI/1.1"],
    ["SERVER_SOFTWARE", "runfcgi preview"],
    ["SERVER_PROTOCOL", `HTTP/${message.httpVersion}`],
    ["REQUEST_METHOD", message.method ?? "GET"],
    ["REQUEST_SCHEME", "http"],
    ["REQUEST_URI", target],
    ["SCRIPT_NAME", ""],
    ["PATH_INFO", decodePath(path)],
    ["QUERY_STRING", query < 0 ? "" : target.slice(query + 1)],
    ["CONTENT_TYPE", headers["content-type"] ?? ""],
    ["CONTENT_LENGTH", headers["content-length"] ?? ""],
    ["SERVER_NAME", "localhost"],
    ["SERVER_ADDR", socket.localAddress ?? ""],
    ["SERVER_PORT", String(socket.localPort ?? "")],
    ["REMOTE_ADDR", socket.remoteAddress ?? ""],
    ["REMOTE_PORT", String(socket.remotePort ?? "")],
  ];
  const pairs = [...Params.from(params).pairs];
  // Header values are byte strings already.
  for (let i = 0; i < message.rawHeaders.length; i += 2) {
    const name = message.rawHeaders[i].toUpperCase().replaceAll("-", "_");
    if (name !== "CONTENT_TYPE" && name !== "CONTENT_LENGTH") pairs.push(`HTTP_${name}`, message.rawHeaders[i + 1]);
  }
  return new Params(pairs);
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
