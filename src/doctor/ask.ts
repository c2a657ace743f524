/**
 * Asks an endpoint as a web server does, and says why it does not respond and what to do about it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { lstatSync } from "node:fs";
import { dirname } from "node:path";
import { Readable } from "node:stream";
import { answersLike, firstBytes } from "../protocol/dissect.ts";
import { labels, type ResponseHead } from "../protocol/protocol.ts";
import type { ListeningProtocol } from "../protocol/protocols.ts";
import { PlainError } from "../runtime/plain_error.ts";
import { type Address, formatAddress } from "../runtime/socket.ts";
import { type ClientRequest, request } from "../server/client.ts";
import { barrierFix, barrierText, findBarrier, type Passer, Permission, self } from "./permissions.ts";

/** What went wrong, and what to do about it. */
export interface Reason {
  what: string;
  /** An instruction in lower case. */
  fix: string;
  /** The exit status that curl has for it; a connection that failed is 7 if nothing is said. */
  status?: number;
}

/** A reason in one line. */
export const reasonText = ({ what, fix }: Reason): string => `${what}: ${fix}`;

/** Why a connection failed. */
export function connectFailure(error: NodeJS.ErrnoException, address: Address, who: Passer = self()): Reason {
  const where = formatAddress(address);
  const start = `start the program with socket=${where}`;
  if (address.transport === "tcp") {
    switch (error.code) {
      case "ECONNREFUSED":
        return { what: `nothing listens on ${where}`, fix: "start the program there, or check its port (ss -ltnp)" };
      case "ENOTFOUND":
      case "EAI_AGAIN":
        return { what: `there is no host "${address.hostname}"`, fix: "check the name", status: 6 };
      case "EHOSTUNREACH":
      case "ENETUNREACH":
      case "ETIMEDOUT":
        return { what: `${where} cannot be reached`, fix: "check the network and its firewalls" };
      default:
        return { what: `cannot connect to ${where} (${error.message})`, fix: "check the address" };
    }
  }
  // Runtimes differ in the error codes of Unix sockets.
  const folder = dirname(address.path);
  try {
    const barrier = findBarrier(folder, Permission.execute, who);
    if (barrier) return { what: `${barrierText(barrier, who)}, on the way to the socket "${where}"`, fix: barrierFix(barrier) };
    const stats = lstatSync(address.path, { throwIfNoEntry: false });
    if (stats === undefined) return { what: `there is no socket "${where}"`, fix: `${start}, or check its path` };
    if (!stats.isSocket() && !stats.isSymbolicLink()) {
      return { what: `"${where}" is not a socket`, fix: "give the one that the program listens on" };
    }
    const closed = findBarrier(address.path, Permission.write, who);
    if (closed) {
      const fix = "start the program with mode=666, or with mode=660 and group= the web server's group";
      return { what: barrierText(closed, who), fix };
    }
  } catch (reason) {
    const { code, message } = reason as NodeJS.ErrnoException;
    if (code === "ENOENT") return { what: `there is no folder "${folder}" for the socket`, fix: `create it, and ${start}` };
    return { what: `cannot access "${where}" (${message})`, fix: "check its path" };
  }
  return error.code === "ECONNREFUSED"
    ? { what: `nothing listens on "${where}", whose program has ended`, fix: "start it again; it replaces the socket" }
    : { what: `cannot connect to "${where}" (${error.message})`, fix: "check the path" };
}

/** The exit status for a response that was cut off, as of curl. */
export const CUT_OFF = 18;

/** A request without a valid response. */
export interface Failure {
  error: Error;
  protocol: ListeningProtocol;
  /** The first bytes that arrived. */
  received: Uint8Array;
  timedOut: boolean;
  /** Seconds after which it timed out. */
  timeout: number;
}

/** Why there is no response. */
export function answerFailure({ error, protocol, received, timedOut, timeout }: Failure): Reason {
  const like = received.length > 0 ? answersLike(received) : undefined;
  const spoken = labels[protocol];
  // All of these begin with a line of HTTP.
  const right = like?.protocol === protocol || (protocol === "uwsgi" && like?.protocol === "http") ||
    (protocol === "uwsgi" && like?.protocol === "scgi");
  if (received.length > 0 && !right) {
    const what = like ? `which looks like ${like.what}` : "which is no known protocol";
    return {
      what: `the response is not ${spoken}: it begins with ${firstBytes(received)}, ${what}`,
      fix: like?.protocol ? `try protocol=${like.protocol}` : "give the endpoint of the program",
      status: 8,
    };
  }
  if (timedOut) {
    const what = received.length > 0 ? "the response was not complete" : "there was no response";
    return {
      what: `${what} after ${timeout} s, so the application is busy or hangs, or the endpoint does not speak ${spoken}`,
      fix: "see its error log, or wait longer with timeout=",
      status: 28,
    };
  }
  if (received.length === 0 && !/refused/.test(error.message)) {
    return {
      what:
        "the connection was closed without a response, so the program ended or refused the request, or the endpoint does not " +
        `speak ${spoken}`,
      fix: "see its error log, or give protocol=",
      status: 52,
    };
  }
  const status = /closed the connection/.test(error.message) ? CUT_OFF : 56;
  return { what: error.message.replace(/^T/, "t"), fix: "see the program's error log", status };
}

/** Bytes of a response that are kept to identify its protocol. */
const MAX_BEGINNING = 256;
/** Seconds to wait for a response. */
export const PATIENCE = 30;

/** A request to an endpoint. */
export interface Asked extends Omit<ClientRequest, "body" | "signal"> {
  body?: Uint8Array;
  /** Seconds until it is given up; default is 30. */
  timeout?: number;
}

export interface Answered {
  head: ResponseHead;
  milliseconds: number;
  /** Connections that were opened for it. */
  connected: number;
}

/** Takes in a response. */
export type Consume = (head: ResponseHead, body: ReadableStream<Uint8Array>) => Promise<void>;

/** There is no response. */
export class NoResponse extends Error {
  override name = "NoResponse";
  readonly reason: Reason;
  /** Whether somebody listens there. */
  readonly connected: boolean;

  constructor(reason: Reason, connected: boolean) {
    super(reasonText(reason));
    this.reason = reason;
    this.connected = connected;
  }
}

/**
 * Sends a request and has the response taken in to its end.
 *
 * @throws {NoResponse}
 * @throws {PlainError} of `consume`
 */
export async function ask({ timeout = PATIENCE, body, observer, ...asked }: Asked, consume: Consume): Promise<Answered> {
  let connected = 0;
  let hasSent = false;
  let received: Uint8Array = new Uint8Array(0);
  let timedOut = false;
  const watching: ClientRequest["observer"] = {
    connected() {
      connected++;
      observer?.connected?.();
    },
    sent(bytes) {
      hasSent = true;
      observer?.sent?.(bytes);
    },
    received(bytes) {
      if (received.length < MAX_BEGINNING) received = Buffer.concat([received, bytes]).subarray(0, MAX_BEGINNING);
      observer?.received?.(bytes);
    },
    ended: () => observer?.ended?.(),
  };
  const attempt = async (): Promise<Answered> => {
    const abort = new AbortController();
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      timedOut = true;
      const error = new Error("Too late");
      abort.abort(error);
      reject(error);
    }, timeout * 1000);
    const begun = performance.now();
    try {
      const { signal } = abort;
      const response = request({ ...asked, body: body && Readable.from([body]), signal, observer: watching });
      const { head, body: content } = await Promise.race([response, late]);
      await Promise.race([consume(head, content), late]);
      return { head, milliseconds: performance.now() - begun, connected };
    } finally {
      clearTimeout(timer);
    }
  };
  try {
    // A server may close a kept connection at any time. Web servers then send the request again.
    return await attempt().catch((error) => {
      const lost = asked.keeper !== undefined && connected === 0 && hasSent && received.length === 0 && !timedOut;
      if (lost) return attempt();
      throw error;
    });
  } catch (reason) {
    if (reason instanceof PlainError) throw reason;
    const error = reason instanceof Error ? reason : new Error(String(reason));
    const { address, protocol } = asked;
    const never = !hasSent && !timedOut && connected === 0;
    const why = never ? connectFailure(error, address) : answerFailure({ error, protocol, received, timedOut, timeout });
    throw new NoResponse(why, connected > 0);
  }
}
