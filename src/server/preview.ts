/**
 * A small HTTP front for trying an application without a web server: it asks the endpoint as a web server would.
 *
 * @module
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { plainResponse } from "../gateway/response.ts";
import { httpParams } from "../protocol/http/params.ts";
import type { Params } from "../protocol/params.ts";
import { type ClientRequest, request as send } from "./client.ts";

/** A running preview. */
export interface Preview {
  /** What to open in a browser. */
  readonly url: string;
  close(): void;
}

/** What is asked, and what is done about each request. */
export interface PreviewOptions extends Pick<ClientRequest, "address" | "protocol" | "secret" | "packetSize"> {
  /** What a request waits for. */
  before?(): Promise<void>;
  /** Gets each request when its response is over; status 0 for a browser that left before. */
  onEnded?(method: string, url: string, status: number, milliseconds: number): void;
}

/**
 * Listens for HTTP on the loopback address and forwards to the endpoint.
 *
 * @param port 0 for any free port
 */
export function preview(port: number, options: PreviewOptions): Promise<Preview> {
  const { promise, resolve, reject } = Promise.withResolvers<Preview>();
  const server = createServer((message, response) => {
    const begun = performance.now();
    response.once("close", () => {
      const status = response.headersSent ? response.statusCode : 0;
      options.onEnded?.(message.method ?? "GET", message.url ?? "/", status, performance.now() - begun);
    });
    void forward(message, response, options);
  });
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

/** Headers of an HTTP endpoint that concern its own connection. */
const ofConnection = /^(?:connection|keep-alive|transfer-encoding)$/i;

async function forward(
  message: IncomingMessage,
  response: ServerResponse,
  { before, onEnded: _, ...endpoint }: PreviewOptions,
): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort(new Error("The browser closed the connection")));
  try {
    await before?.();
    const answer = await send({ ...endpoint, params: previewParams(message), body: message, signal: gone.signal });
    const { status, reason, headers } = answer.head;
    for (let i = 0; i < headers.length; i += 2) {
      if (!ofConnection.test(headers[i])) response.appendHeader(headers[i], headers[i + 1]);
    }
    response.writeHead(status, reason);
    response.flushHeaders();
    // Only here, so that it takes no memory of other servers.
    const { pipeline } = await import("node:stream/promises");
    await pipeline(answer.body, response);
    // An answer can come before the request is read; the unread rest would keep the browser waiting.
    message.resume();
  } catch (error) {
    if (response.destroyed) return;
    if (response.headersSent) return void response.destroy();
    const page = plainResponse(502, `The endpoint did not answer: ${(error as Error).message}`);
    response.writeHead(page.status, Object.fromEntries(page.headers)).end(await page.text());
  }
}

function previewParams({ method = "GET", url = "/", httpVersion, rawHeaders, socket }: IncomingMessage): Params {
  const { remoteAddress = "", remotePort = 0, localAddress = "", localPort = 0 } = socket;
  const addresses = { remoteAddress, remotePort, localAddress, localPort };
  return httpParams({ method, target: url, version: httpVersion, headers: rawHeaders, addresses }, "runfcgi preview");
}
