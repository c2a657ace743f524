/**
 * The endpoint that a command speaks to, and why it does not answer.
 *
 * @module
 */
import { lstatSync } from "node:fs";
import { dirname } from "node:path";
import { answersLike, firstBytes } from "../../protocol/dissect.ts";
import { type Address, formatAddress } from "../../runtime/socket.ts";
import { labels, type ListeningProtocol, protocols } from "../../protocol/protocols.ts";
import { barrierFix, barrierText, findBarrier, type Passer, Permission, self } from "../doctor/permissions.ts";
import { optionTable } from "../../options/options.ts";
import { oneOf, UsageError } from "../../options/arguments.ts";

/** Options that name an endpoint. */
export const endpointWords = {
  protocol: {
    kind: oneOf(Object.keys(protocols) as ListeningProtocol[]),
    default: "fcgi",
    help: "What the endpoint speaks: fcgi, scgi, ajp, uwsgi or http.",
    example: "protocol=scgi",
  },
  socket: { kind: optionTable.socket.kind, help: "Unix socket of the endpoint.", example: "socket=/run/mysite.sock" },
  host: {
    kind: optionTable.host.kind,
    default: "127.0.0.1",
    help: "Address of the endpoint, together with port.",
    example: "host=::1",
  },
  port: { kind: optionTable.port.kind, help: "TCP port of the endpoint.", example: "port=3033" },
  secret: { kind: optionTable.secret.kind, help: "AJP: what the endpoint asks for.", example: "secret=@/etc/mysite.secret" },
  packetsize: { kind: optionTable.packetsize.kind, help: "AJP: length of packets.", example: "packetsize=65536" },
};

/** @throws {UsageError} when it is not exactly one */
export function endpointOf({ socket, host, port }: { socket?: string; host?: string; port?: number }): Address {
  if (socket !== undefined && port !== undefined) throw new UsageError("give one of socket and port");
  if (socket !== undefined) return { transport: "unix", path: socket };
  if (port !== undefined) return { transport: "tcp", hostname: host ?? "127.0.0.1", port };
  throw new UsageError("there is no endpoint to speak to: give socket=PATH or port=PORT");
}

/** Why nobody could be connected to, and what to do. */
export function connectFailure(error: NodeJS.ErrnoException, address: Address, who: Passer = self()): string {
  const where = formatAddress(address);
  if (address.transport === "tcp") {
    switch (error.code) {
      case "ECONNREFUSED":
        return `nobody listens on ${where}: start the program there, or look which port it has (ss -ltnp)`;
      case "ENOTFOUND":
      case "EAI_AGAIN":
        return `there is no host "${address.hostname}"`;
      case "EHOSTUNREACH":
      case "ENETUNREACH":
      case "ETIMEDOUT":
        return `${where} cannot be reached: another network, or a firewall`;
      default:
        return `cannot connect to ${where}: ${error.message}`;
    }
  }
  // Not by the code alone: runtimes differ in what they say of a Unix socket.
  const folder = dirname(address.path);
  try {
    const barrier = findBarrier(folder, Permission.execute, who);
    if (barrier) return `${barrierText(barrier, who)}, on the way to the socket "${where}": ${barrierFix(barrier)}`;
    const stats = lstatSync(address.path, { throwIfNoEntry: false });
    if (stats === undefined) {
      return `there is no socket "${where}": start the program with socket=${where}, or look which path it has`;
    }
    if (!stats.isSocket() && !stats.isSymbolicLink()) return `"${where}" is no socket: name the one that the program listens on`;
    const closed = findBarrier(address.path, Permission.write, who);
    if (closed) {
      return `${barrierText(closed, who)}: start the program with mode=666, or with mode=660 and group= the web server's group`;
    }
  } catch (reason) {
    const { code, message } = reason as NodeJS.ErrnoException;
    if (code === "ENOENT") {
      return `there is no folder "${folder}" for the socket: make it, and start the program with socket=${where}`;
    }
    return `cannot look at "${where}": ${message}`;
  }
  if (error.code === "ECONNREFUSED") {
    return `nobody listens on "${where}": the socket is left from a program that has ended. Start it again, it replaces the socket`;
  }
  return `cannot connect to "${where}": ${error.message}`;
}

/** What is known of an answer that is none. */
export interface Failure {
  error: Error;
  protocol: ListeningProtocol;
  /** The beginning of what arrived. */
  received: Uint8Array;
  timedOut: boolean;
  /** Seconds that were waited. */
  timeout: number;
}

/** Why there is no answer, and what to do. */
export function answerFailure({ error, protocol, received, timedOut, timeout }: Failure): string {
  const like = received.length > 0 ? answersLike(received) : undefined;
  // Both begin with a line of HTTP.
  const right = like?.protocol === protocol || (protocol === "uwsgi" && like?.protocol === "http") ||
    (protocol === "uwsgi" && like?.protocol === "scgi");
  if (received.length > 0 && !right) {
    const what = like ? `which looks like ${like.what}` : "which is no protocol that is known here";
    const next = like?.protocol ? `try protocol=${like.protocol}` : "name the endpoint of the program";
    return `the answer is not ${labels[protocol]}: it begins with ${firstBytes(received)}, ${what}. Now ${next}`;
  }
  if (timedOut) {
    const what = received.length > 0 ? "the answer was not complete" : "there was no answer";
    return `${what} after ${timeout} s: the application is busy or hangs, or the endpoint speaks another protocol than ` +
      `${labels[protocol]}. Its error log may tell; timeout= waits longer`;
  }
  if (received.length === 0 && !/refused/.test(error.message)) {
    return `the connection was closed without an answer: the endpoint speaks another protocol than ${labels[protocol]} ` +
      "(give protocol=), or it ended or refused the request. Its error log tells";
  }
  return `${error.message.replace(/^T/, "t")}. The error log of the program may tell more`;
}
