/**
 * Passes a request on over HTTP, by `node:http`, to a program of its own.
 *
 * @module
 */
import {
  type ClientRequest,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request as httpRequest,
  type RequestOptions,
} from "node:http";
import type { Duplex } from "node:stream";
import { clearImmediate, setImmediate } from "node:timers";
import { requestParts } from "../gateway/request.ts";
import { connectionHeaders, hasNoBody } from "../gateway/response.ts";
import { isReadDifferently } from "../gateway/url.ts";
import { isBelow } from "../protocol/params.ts";
import type { ServeInfo } from "../server/handler.ts";

/** Where a request is passed on to. */
export interface Upstream {
  /** How `node:http` connects. */
  connection: Pick<RequestOptions, "agent" | "socketPath" | "host" | "port" | "createConnection">;
  /** Takes the place of all other headers of the request but those that say how its body is framed. */
  headers: OutgoingHttpHeaders;
  /**
   * Says in the end why there is no response, or no more of it: the connection failed or was closed.
   *
   * @param reused whether it had carried a request before, so that its end may have crossed this one
   */
  explain(error: NodeJS.ErrnoException, reused: boolean): Error;
  /** Seconds that the response may take to start once the request is sent; default is as long as the visitor waits. */
  timeout?: number;
  /** Makes the response of one that is accepted, if the request asks for another protocol. */
  upgraded?(message: IncomingMessage, connection: Duplex, first: Uint8Array): Response;
}

type Explain = (error: Error) => Error;

/** The response did not start in time. */
export class UpstreamTimeout extends Error {
  override name = "UpstreamTimeout";
}

/** The head of a message may be as long as web servers allow altogether, and more than the 16 KiB of `node:http`. */
export const MAX_HEAD = 1024 * 1024;

/** What a request target may hold (RFC 9112, 3.2.1), and no fragment. */
const plainTarget = /^\/[\x21\x22\x24-\x7e]*$/;

/** Headers of a request as the visitor sent them, without those of the web server's connection. */
export function endToEndHeaders(request: Request): Record<string, string> {
  const headers: Record<string, string> = {};
  request.headers.forEach((value, name) => {
    // The web server has given its own answer to "Expect".
    if (!connectionHeaders.has(name) && name !== "expect") headers[name] = value;
  });
  // Also what HTTP/1.0 leaves out, or a web server's configuration has spoilt.
  headers.host = requestHost(request);
  return headers;
}

/** The host, with a port if it is not the usual one, of the URL that the visitor typed. */
export function requestHost({ url }: Request): string {
  const start = url.indexOf("//") + 2;
  return url.slice(start, url.indexOf("/", start));
}

/**
 * Path and query, byte for byte where that can be. Dot segments are resolved, as in the URL: the web server has asked who may
 * see the path without them.
 */
export function requestTarget(request: Request, info: ServeInfo): string {
  const typed = typedTarget(request, info);
  if (typed !== undefined && !isReadDifferently(typed)) return typed;
  const { url } = request;
  const target = url.slice(url.indexOf("/", url.indexOf("//") + 2));
  return typed === undefined ? target : target.replace(/\?.*$/s, "") + (/\?.*$/s.exec(typed)?.[0] ?? "");
}

/** What the visitor typed, where it can be passed on and stands for the URL. */
function typedTarget(request: Request, info: ServeInfo): string | undefined {
  const parts = requestParts(request);
  if (parts) {
    const { source, url } = parts;
    const sent = source.params.get("REQUEST_URI");
    // What was changed for the URL is not what the visitor typed.
    if (
      sent !== undefined && sent.startsWith("/") && url.endsWith(sent) &&
      url.indexOf("/", url.indexOf("//") + 2) === url.length - sent.length
    ) return sent;
  }
  const { params, scriptName, visitorUrl } = info;
  const raw = params.REQUEST_URI ?? "";
  // A web server may have cut off where the application is mounted, or have gone elsewhere.
  return request.url === visitorUrl && plainTarget.test(raw) && isBelow(raw, encodeURI(scriptName)) ? raw : undefined;
}

/**
 * Sends the request on, with its body, and resolves with the response, whose body is read as it comes. The visitor's leaving ends both.
 *
 * @throws {Error} when there is no response, as {@linkcode Upstream.explain} says
 */
export function forward(
  request: Request,
  body: ReadableStream<Uint8Array> | null,
  info: ServeInfo,
  upstream: Upstream,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const { method, signal } = request;
  const headers = { ...upstream.headers };
  const length = body === null ? 0 : Number(headers["content-length"] ?? NaN);
  if (body !== null) {
    if (Number.isNaN(length)) headers["transfer-encoding"] = "chunked";
  } else if (method === "POST" || method === "PUT" || method === "PATCH") headers["content-length"] = "0";
  else delete headers["content-length"];

  const path = requestTarget(request, info);
  const explain = (error: NodeJS.ErrnoException) => {
    // Other errors than those of the connection are ours, and say what they mean.
    return error.code === undefined ? error : upstream.explain(error, outgoing.reusedSocket);
  };
  const options: RequestOptions = { ...upstream.connection, method, path, headers, setHost: false, maxHeaderSize: MAX_HEAD };
  const outgoing = httpRequest(options);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const leave = () => giveUp(outgoing, signal.reason);
  signal.addEventListener("abort", leave, { once: true });
  let answered = false;
  let failure: NodeJS.ErrnoException | undefined;
  outgoing.once("response", (message) => {
    answered = true;
    clearTimeout(timer);
    try {
      // The message itself says no more than that it was aborted.
      resolve(responseOf(message, method, (error) => explain(failure ?? error)));
    } catch (error) {
      message.destroy();
      reject(error);
    }
  });
  outgoing.on("information", ({ statusCode, rawHeaders }) => {
    if (statusCode !== 103) return;
    info.earlyHints(rawHeaders.flatMap((name, i) => i % 2 === 0 ? [[name, rawHeaders[i + 1]] as [string, string]] : []));
  });
  outgoing.once("upgrade", (message, connection, first) => {
    answered = true;
    clearTimeout(timer);
    signal.removeEventListener("abort", leave);
    try {
      if (upstream.upgraded === undefined) throw new Error("The program switched to a protocol that was not requested");
      resolve(upstream.upgraded(message, connection, first));
    } catch (error) {
      connection.destroy();
      reject(error);
    }
  });
  // After the response has started, its body reports the error.
  outgoing.on("error", (error) => {
    failure = error;
    reject(explain(error));
  });
  outgoing.once("close", () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", leave);
    if (!answered) reject(explain(closedEarly()));
  });
  if (upstream.timeout !== undefined) {
    const ms = upstream.timeout * 1000;
    outgoing.once("finish", () => {
      // The response may have started before all of the body was sent.
      if (answered) return;
      timer = setTimeout(() => giveUp(outgoing, new UpstreamTimeout(`There was no response for ${upstream.timeout} s`)), ms);
      timer.unref?.();
    });
  }
  if (signal.aborted) leave();
  else if (body === null) outgoing.end();
  else whenConnected(outgoing, () => sendBody(body, length, outgoing));
  return promise;
}

function giveUp(outgoing: ClientRequest, reason: Error): void {
  // Deno would take it for a kept connection that the program has closed, and send the request again.
  outgoing.reusedSocket = false;
  outgoing.destroy(reason);
}

function closedEarly(): NodeJS.ErrnoException {
  return Object.assign(new Error("The connection was closed early"), { code: "ECONNRESET" });
}

/** Nothing of a body is to be lost to an attempt that reaches nobody. */
function whenConnected(outgoing: ClientRequest, run: () => void): void {
  outgoing.once("socket", (socket) => {
    if (socket.connecting) socket.once("connect", run);
    // Bun gives a socket when it is connected, or has failed to.
    else if (!socket.destroyed) run();
  });
}

/** @param length what was declared, NaN for nothing: more would be taken for the next request */
async function sendBody(body: ReadableStream<Uint8Array>, length: number, outgoing: ClientRequest): Promise<void> {
  const reader = body.getReader() as ReadableStreamDefaultReader<Uint8Array>;
  let closed = false;
  let wake: (() => void) | undefined;
  outgoing.on("drain", () => wake?.());
  outgoing.once("close", () => {
    closed = true;
    wake?.();
    reader.cancel().catch(() => {});
  });
  // The head goes with the first piece if that is there, and alone if not: it may be all that the answer needs.
  const waiting = setImmediate(() => outgoing.flushHeaders());
  try {
    let sent = 0;
    while (!closed) {
      const { done, value } = await reader.read();
      clearImmediate(waiting);
      if (closed) return;
      sent += value?.length ?? 0;
      if (sent > length || (done && sent < length)) {
        throw new Error(`The request declared a content-length of ${length} and had ${done ? sent : "more"} bytes`);
      }
      if (done) return void outgoing.end();
      // The end goes with the last piece: a program that has all of it may close before an end of its own could be written.
      if (sent === length) return void outgoing.end(value);
      if (!outgoing.write(value)) await new Promise<void>((resolve) => wake = resolve);
    }
  } catch (error) {
    clearImmediate(waiting);
    outgoing.destroy(error as Error);
  }
}

/** @throws {Error} for a status that a `Response` cannot have */
function responseOf(message: IncomingMessage, method: string, explain: Explain): Response {
  const { statusCode = 0, statusMessage, rawHeaders } = message;
  if (statusCode < 200 || statusCode > 599) throw new Error(`The response has the status ${statusCode}, expected 200 to 599`);
  const headers = new Headers();
  for (let i = 0; i < rawHeaders.length; i += 2) {
    // A name in "Connection" does not matter: what a program says of its connection, the web server does not hear.
    if (!connectionHeaders.has(rawHeaders[i].toLowerCase())) headers.append(rawHeaders[i], rawHeaders[i + 1]);
  }
  const bodyless = method === "HEAD" || hasNoBody(statusCode);
  if (bodyless) message.resume();
  // Bytes that a reason phrase cannot hold make some runtimes throw.
  const statusText = /^[\t\x20-\x7e]*$/.test(statusMessage ?? "") ? statusMessage : "";
  return new Response(bodyless ? null : bodyOf(message, explain), { status: statusCode, statusText, headers });
}

/** Bytes of a response that are held while the web server takes none. */
const MAX_HELD = 64 * 1024;

function bodyOf(message: IncomingMessage, explain: Explain): ReadableStream<Uint8Array<ArrayBuffer>> {
  let over = false;
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      let reason: Error | undefined;
      message.on("data", (bytes: Uint8Array<ArrayBuffer>) => {
        if (over) return;
        controller.enqueue(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
        if (controller.desiredSize! <= 0) message.pause();
      });
      message.on("error", (error) => reason = error);
      message.once("end", () => {
        if (over || !message.complete) return;
        over = true;
        controller.close();
      });
      message.once("close", () => {
        if (over) return;
        over = true;
        controller.error(explain(reason ?? closedEarly()));
      });
    },
    pull() {
      message.resume();
    },
    cancel() {
      over = true;
      message.destroy();
    },
  }, { highWaterMark: MAX_HELD, size: (bytes) => bytes!.byteLength });
}
