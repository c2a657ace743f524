/**
 * Any program that speaks HTTP as an application: requests go on to it.
 *
 * @module
 */
import { Agent } from "node:http";
import { createConnection } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { requestParts, type RequestSource, takeAnyBody } from "../gateway/request.ts";
import { plainResponse } from "../gateway/response.ts";
import { wantsWebSocket } from "../protocol/websocket/handshake.ts";
import { connectOutgoing } from "../runtime/outgoing.ts";
import type { Address } from "../runtime/socket.ts";
import { connectOptions, ExecProcess, type ExecRunner } from "./exec_process.ts";
import { isBelow } from "../protocol/params.ts";
import type { Handler, ServeInfo } from "../server/handler.ts";
import { lineText } from "../server/log_text.ts";
import { cannotCarry } from "../server/web_socket.ts";
import { endToEndHeaders, forward, requestHost, requestTarget, type Upstream, UpstreamTimeout } from "./proxy.ts";
import { openTunnel } from "./tunnel.ts";

/** Milliseconds that visitors wait for a program that starts: before the server answers at all, and each request then. */
const PATIENCE_MS = 10_000;
/** Milliseconds for a program that has answered to do so again, and between two attempts. */
const REFUSED_MS = 5000;
const AGAIN_MS = 50;
/** Seconds that a program may take to begin its response, unless told otherwise. */
const TIMEOUT = 300;
/** Milliseconds that a kept connection is of use: programs close theirs after 5 s, if not at once. */
const KEPT_MS = 4000;
const MAX_KEPT = 64;

/** Nobody accepted the connection, so nothing of the request was lost. */
const refused = new Set(["ECONNREFUSED", "ENOENT", "EAGAIN"]);

/** The program closed a kept connection, perhaps before it saw the request. */
class KeptConnectionLost extends Error {
  override name = "KeptConnectionLost";
}

/** Where the program's output goes. */
export interface ExecLog {
  write(text: string): void;
  /** Where to look for the reason when the program is down, as the visitor's page says it. */
  readonly place: string;
}

/** A program that is run and asked over HTTP. */
export class ExecProgram {
  readonly #process: ExecRunner;
  readonly #log: ExecLog;
  readonly #timeout: number;
  readonly #patience: number;
  /** Connections that are kept for requests without a body, and where they lead. */
  #kept: { address: Address; agent: Agent } | undefined;
  /** The failure that the web server's log has already. */
  #logged = "";

  /**
   * @param timeout seconds that the program may take to begin a response
   * @param runner who runs the command, if that is not this process
   * @param patience milliseconds that it may take to start before visitors hear of that
   * @throws {TypeError} when the command cannot be run, as {@linkcode ExecProcess} says
   */
  constructor(command: string, log: ExecLog, timeout = TIMEOUT, runner?: ExecRunner, patience = PATIENCE_MS) {
    this.#log = log;
    this.#timeout = timeout;
    this.#patience = patience;
    this.#process = runner ?? new ExecProcess(command, (text) => log.write(text));
  }

  start(): void {
    this.#process.start();
  }

  /**
   * Starts it and resolves when it answers, with the reason if it has failed.
   *
   * @param mustAnswer whether a program that takes long is waited for; otherwise requests wait for it, and hear of that
   */
  async load(mustAnswer = false): Promise<string | undefined> {
    this.start();
    await (mustAnswer ? this.#process.settled : this.#settled(this.#patience));
    return this.#process.state === "failed" ? this.#process.failure : undefined;
  }

  /** Where the program listens, once it has been started. */
  get address(): Address | undefined {
    return this.#process.address;
  }

  /** @param grace seconds that the program has to end by itself */
  async stop(grace: number): Promise<void> {
    this.#kept?.agent.destroy();
    await this.#process.stop(grace);
  }

  readonly handler: Handler = async (request, info) => {
    if (this.#process.state === "starting") await this.#settled(this.#patience);
    const deadline = Date.now() + REFUSED_MS;
    const source = requestParts(request)?.source;
    const socket = source !== undefined && wantsWebSocket(source.params) ? source : undefined;
    const page = socket && cannotCarry(socket.params, info.protocol, (text) => info.stderr(text));
    if (page !== undefined) return page;
    // Only what can be sent twice goes over a connection that may be closing.
    const mayRepeat = request.method === "GET" || request.method === "HEAD";
    const body = mayRepeat && source ? streamOf(takeAnyBody(source, request.method)) : request.body;
    let keep = socket === undefined && mayRepeat && body === null;
    for (;;) {
      if (this.#process.state !== "answering") return this.#down(info);
      try {
        return await forward(request, body, info, this.#upstream(request, info, keep, socket));
      } catch (error) {
        if (request.signal.aborted) throw error;
        const { code } = error as NodeJS.ErrnoException;
        if (error instanceof KeptConnectionLost) keep = false;
        else if (!refused.has(code ?? "") || Date.now() > deadline) return this.#noAnswer(request, error as Error);
        else {
          await delay(AGAIN_MS);
          // Perhaps it has ended, and we know that by now.
          await this.#settled(deadline - Date.now());
        }
      }
    }
  };

  #settled(ms: number): Promise<void> {
    const patience = new AbortController();
    const late = delay(Math.max(ms, 0), undefined, { ref: false, signal: patience.signal }).catch(() => {});
    return Promise.race([this.#process.settled, late]).finally(() => patience.abort());
  }

  /** The program is not running. */
  #down(info: ServeInfo): Response {
    const { state, failure } = this.#process;
    const headers = { "retry-after": "5" };
    if (state === "starting") return plainResponse(503, "The site is still starting. Please try again.", headers);
    if (failure !== this.#logged) info.stderr(this.#logged = failure);
    return plainResponse(503, `The site cannot be started. The reason is ${this.#log.place}.`, headers);
  }

  /** The program is running and does not answer. */
  #noAnswer({ method, url }: Request, error: Error): Response {
    this.#log.write(`${lineText(`${method} ${url}`)}: the program gave no response: ${error.message}`);
    return error instanceof UpstreamTimeout
      ? plainResponse(504, "The site took too long to answer.")
      : plainResponse(502, "The site did not answer.");
  }

  /**
   * @param keep whether the connection may be one that others have used, and is kept for others
   * @param socket the request, if it asks for a WebSocket
   */
  #upstream(request: Request, info: ServeInfo, keep: boolean, socket: RequestSource | undefined): Upstream {
    const address = this.#process.address!;
    const where = address.transport === "unix" ? { socketPath: address.path } : { host: address.hostname, port: address.port };
    return {
      connection: keep
        ? { agent: this.#agent(address), ...where }
        : { createConnection: () => socket ? createConnection(connectOptions(address)) : connectOutgoing(address) },
      headers: { ...forwardedHeaders(request, info), ...socket && { connection: "Upgrade", upgrade: "websocket" } },
      upgraded: socket && ((message, connection, first) => openTunnel(socket, message, connection, first)),
      timeout: this.#timeout,
      // Bun does not always say that a connection had been used before.
      explain: (error, reused) =>
        keep && (reused || error.code === "ECONNRESET") && !refused.has(error.code ?? "")
          ? new KeptConnectionLost(error.message)
          : error,
    };
  }

  #agent(address: Address): Agent {
    if (this.#kept?.address !== address) {
      this.#kept?.agent.destroy();
      this.#kept = { address, agent: new Agent({ keepAlive: true, maxFreeSockets: MAX_KEPT, timeout: KEPT_MS }) };
    }
    return this.#kept.agent;
  }
}

function streamOf(body: ReturnType<RequestSource["takeBody"]>): ReadableStream<Uint8Array> | null {
  return body instanceof Uint8Array ? new Blob([body]).stream() : body;
}

/** Names that a program may trust, since all its requests come from us: what the visitor sent under them is dropped. */
const trusted = /^(?:x-forwarded(?:-.*)?|forwarded|x-real-ip|x-script-name)$/;

/** The visitor's headers, and what the web server knows of the visitor. */
function forwardedHeaders(request: Request, info: ServeInfo): Record<string, string> {
  const headers = endToEndHeaders(request);
  for (const name of Object.keys(headers)) if (trusted.test(name)) delete headers[name];
  const scheme = request.url.startsWith("https:") ? "https" : "http";
  const host = requestHost(request);
  const port = /:(\d+)$/.exec(host)?.[1];
  if (info.remoteAddr.hostname) headers["x-forwarded-for"] = info.remoteAddr.hostname;
  headers["x-forwarded-proto"] = scheme;
  headers["x-forwarded-host"] = host;
  headers["x-forwarded-port"] = port ?? (scheme === "https" ? "443" : "80");
  if (info.scriptName) {
    const prefix = encodeURI(info.scriptName);
    headers["x-forwarded-prefix"] = headers["x-script-name"] = prefix;
    // gunicorn's name for it, which insists on a path that begins with it.
    const target = requestTarget(request, info);
    if (isBelow(target, prefix)) headers.SCRIPT_NAME = prefix;
  }
  return headers;
}
