/**
 * A line for each request, as web servers write it or as JSON.
 *
 * @module
 */
import { decodeText } from "../protocol/params.ts";
import { lineText } from "./log_text.ts";
import type { RequestFacts } from "./monitor.ts";

/** `combined` is Apache's format with the duration in seconds behind it; `json` is one object a line. */
export type AccessFormat = "combined" | "json";

/** Marks a request that the server has cut, for which the visitor is not responsible. */
const CUT = " cut";

/** nginx's status for a visitor who left before the response began. */
const CLIENT_CLOSED = 499;

/** The line for a request that has ended, with its line feed. */
export function accessLine(format: AccessFormat, request: RequestFacts, seconds: number, now = new Date()): string {
  const param = (name: string) => decodeText(request.params.get(name) ?? "");
  const facts = {
    time: now,
    remote: param("REMOTE_ADDR"),
    user: param("REMOTE_USER"),
    method: param("REQUEST_METHOD"),
    target: param("REQUEST_URI"),
    version: param("SERVER_PROTOCOL"),
    host: param("HTTP_HOST"),
    status: request.status || CLIENT_CLOSED,
    bytes: request.sentLength,
    seconds: Number(seconds.toFixed(6)),
    referer: param("HTTP_REFERER"),
    agent: param("HTTP_USER_AGENT"),
    protocol: request.owner.protocol,
    ...request.cut && { cut: true },
  };
  if (format === "json") return `${JSON.stringify(facts)}\n`;
  const { remote, user, method, target, version, status, bytes, referer, agent } = facts;
  return `${word(remote)} - ${word(user)} [${clock(now)}] "${quoted(`${method} ${target} ${version}`)}" ${status} ${bytes} ` +
    `"${quoted(referer) || "-"}" "${quoted(agent) || "-"}" ${seconds.toFixed(6)}${request.cut ? CUT : ""}\n`;
}

/** A line for the log of slow requests. */
export function slowLine(request: RequestFacts, seconds: number, now = new Date()): string {
  const param = (name: string) => decodeText(request.params.get(name) ?? "");
  const state = request.status === 0 ? "no response yet" : `status ${request.status}, ${request.sentLength} bytes sent`;
  return `[${clock(now)}] ${word(param("REMOTE_ADDR"))} "${quoted(`${param("REQUEST_METHOD")} ${param("REQUEST_URI")}`)}" ` +
    `${seconds.toFixed(3)} s, ${state}\n`;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Apache's clock, in UTC. */
function clock(time: Date): string {
  const [date, clock] = time.toISOString().split("T");
  const [year, month, day] = date.split("-");
  return `${day}/${months[Number(month) - 1]}/${year}:${clock.slice(0, 8)} +0000`;
}

function word(text: string): string {
  return quoted(text).replaceAll(" ", "\\x20") || "-";
}

/** Escapes quotes, line ends and control characters as Apache does. */
function quoted(text: string): string {
  return lineText(text.replace(/["\\]/g, "\\$&"));
}
