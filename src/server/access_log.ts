/**
 * A line for each request, as web servers write it, by a pattern, or as JSON.
 *
 * @module
 */
import process from "node:process";
import { decodeText } from "../protocol/params.ts";
import { lineText } from "./log_text.ts";
import type { RequestFacts } from "./monitor.ts";

/**
 * `combined` is Apache's format with the duration in seconds behind it; `json` is one object a line; anything else is a
 * pattern, with the directives of Apache's LogFormat that {@linkcode directives} has.
 */
export type AccessFormat = string;

/** Marks a request that the server has cut, for which the visitor is not responsible. */
const CUT = " cut";

/** nginx's status for a visitor who left before the response began. */
const CLIENT_CLOSED = 499;

/** What a directive of a pattern is replaced by. */
type Part = (request: RequestFacts, seconds: number, now: Date) => string;

const param = ({ params }: RequestFacts, name: string) => decodeText(params.get(name) ?? "");
const statusOf = ({ status }: RequestFacts) => String(status || CLIENT_CLOSED);
const of = (name: string): Part => (request) => quoted(param(request, name)) || "-";
const target = (request: RequestFacts) => param(request, "REQUEST_URI").split("?");

/** Directives as in `%h`. */
const directives: Readonly<Record<string, Part>> = {
  "%": () => "%",
  a: (request) => word(param(request, "REMOTE_ADDR")),
  h: (request) => word(param(request, "REMOTE_ADDR")),
  l: () => "-",
  u: (request) => word(param(request, "REMOTE_USER")),
  t: (_request, _seconds, now) => `[${clock(now)}]`,
  r: (request) => quoted(["REQUEST_METHOD", "REQUEST_URI", "SERVER_PROTOCOL"].map((name) => param(request, name)).join(" ")),
  s: statusOf,
  ">s": statusOf,
  b: ({ sentLength }) => String(sentLength || "-"),
  B: ({ sentLength }) => String(sentLength),
  D: (_request, seconds) => (seconds * 1e6).toFixed(0),
  T: (_request, seconds) => seconds.toFixed(6),
  m: of("REQUEST_METHOD"),
  U: (request) => quoted(target(request)[0]) || "-",
  q: (request) => quoted(target(request).slice(1).map((query) => `?${query}`).join("")),
  H: of("SERVER_PROTOCOL"),
  v: of("SERVER_NAME"),
  V: of("HTTP_HOST"),
  p: of("SERVER_PORT"),
  P: () => String(process.pid),
  X: ({ cut, status }) => cut || status === 0 ? "X" : "+",
};
/** Those with a name, as in `%{Referer}i`: a header, or a CGI variable. */
const named: Readonly<Record<string, (name: string) => Part>> = {
  i: (name) => of(`HTTP_${name.toUpperCase().replaceAll("-", "_")}`.replace(/^HTTP_(CONTENT_(?:TYPE|LENGTH))$/, "$1")),
  e: of,
};

/**
 * A function that makes the line of a request that has ended, with its line feed.
 *
 * @throws {SyntaxError} for a directive that does not exist
 */
export function accessFormatter(format: AccessFormat): (request: RequestFacts, seconds: number, now?: Date) => string {
  if (format === "combined" || format === "json") {
    return (request, seconds, now) => accessLine(format, request, seconds, now);
  }
  const parts = format.split(/(%(?:\{[^{}]*\})?>?.?)/s).filter((text) => text !== "").map(partOf);
  return (request, seconds, now = new Date()) => `${parts.map((part) => part(request, seconds, now)).join("")}\n`;
}

function partOf(text: string): Part {
  const [directive, name, letter] = /^%(?:\{([^{}]*)\})?(>?.?)$/s.exec(text) ?? [];
  if (directive === undefined) {
    const plain = text.replaceAll("\\t", "\t");
    return () => plain;
  }
  const table: Readonly<Record<string, unknown>> = name === undefined ? directives : named;
  if (!Object.hasOwn(table, letter)) {
    const known = [...Object.keys(directives).map((key) => `%${key}`), ...Object.keys(named).map((key) => `%{NAME}${key}`)];
    throw new SyntaxError(`"${directive}" is unknown, expected ${known.join(" ")}`);
  }
  return name === undefined ? directives[letter] : named[letter](name);
}

/** The line for a request that has ended, with its line feed. */
export function accessLine(format: "combined" | "json", request: RequestFacts, seconds: number, now = new Date()): string {
  const facts = {
    time: now,
    remote: param(request, "REMOTE_ADDR"),
    user: param(request, "REMOTE_USER"),
    method: param(request, "REQUEST_METHOD"),
    target: param(request, "REQUEST_URI"),
    version: param(request, "SERVER_PROTOCOL"),
    host: param(request, "HTTP_HOST"),
    status: request.status || CLIENT_CLOSED,
    bytes: request.sentLength,
    seconds: Number(seconds.toFixed(6)),
    referer: param(request, "HTTP_REFERER"),
    agent: param(request, "HTTP_USER_AGENT"),
    protocol: request.owner.protocol,
    ...request.cut && { cut: true },
  };
  if (format === "json") return `${JSON.stringify(facts)}\n`;
  const { remote, user, method, target, version, status, bytes, referer, agent } = facts;
  return `${word(remote)} - ${word(user)} [${clock(now)}] "${quoted(`${method} ${target} ${version}`)}" ${status} ${bytes} ` +
    `"${quoted(referer) || "-"}" "${quoted(agent) || "-"}" ${seconds.toFixed(6)}${request.cut ? CUT : ""}\n`;
}

/** Whether a request is left out: its path is one of these, or below one that ends with a slash. */
export function isSkipped(request: RequestFacts, paths: readonly string[]): boolean {
  const [path] = target(request);
  return paths.some((skipped) => skipped.endsWith("/") && skipped !== "/" ? path.startsWith(skipped) : path === skipped);
}

/** A line for the log of slow requests. */
export function slowLine(request: RequestFacts, seconds: number, now = new Date()): string {
  const state = request.status === 0 ? "no response yet" : `status ${request.status}, ${request.sentLength} bytes sent`;
  return `[${clock(now)}] ${word(param(request, "REMOTE_ADDR"))} "${
    quoted(`${param(request, "REQUEST_METHOD")} ${param(request, "REQUEST_URI")}`)
  }" ` +
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
