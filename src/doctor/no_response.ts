/**
 * Why an endpoint does not respond, and what to do about it.
 *
 * @module
 */
import { lstatSync } from "node:fs";
import { dirname } from "node:path";
import { answersLike, firstBytes } from "../protocol/dissect.ts";
import { labels } from "../protocol/protocol.ts";
import type { ListeningProtocol } from "../protocol/protocols.ts";
import { type Address, formatAddress } from "../runtime/socket.ts";
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
  return { what: error.message.replace(/^T/, "t"), fix: "see the program's error log", status: 56 };
}
