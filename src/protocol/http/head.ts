/**
 * The head of a request (RFC 9112, sections 2, 3, 5 and 6), strictly by the grammar: what two readers could interpret
 * differently is refused.
 *
 * @module
 */
import { ProtocolError } from "../protocol.ts";
import { fieldParam, token } from "../params.ts";
import { quoted } from "./line.ts";
import { absoluteForm } from "./params.ts";

/** A request that is answered with a status instead of being given to the application. The connection ends with it. */
export class Refused extends ProtocolError {
  readonly status: number;

  constructor(status: number, reason: string) {
    super(reason);
    this.status = status;
  }
}

/** A message that does not follow the grammar. */
export function notHttp(reason: string): Refused {
  return new Refused(400, `Not HTTP: ${reason}`);
}

/** The first line of a request. */
export interface RequestLine {
  method: string;
  target: string;
  /** `HTTP/1.1` or `HTTP/1.0`. */
  version: string;
}

/** RFC 9110, 9.1: methods are case-sensitive, and the platform's `Request` would take "head" for HEAD. */
const methodToken = /^[!#$%&'*+\-.^_`|~0-9A-Z]+$/;
/** RFC 3986, 3.2.2 and 3.2.3, without user information. */
const authority = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=%]*|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/;

/**
 * RFC 9112, 3.
 *
 * @param line without its line end, and without control characters
 * @throws {Refused}
 */
export function readRequestLine(line: string): RequestLine {
  const methodEnd = line.indexOf(" ");
  const targetEnd = line.indexOf(" ", methodEnd + 1);
  const method = line.slice(0, methodEnd);
  const target = line.slice(methodEnd + 1, targetEnd);
  const version = line.slice(targetEnd + 1);
  if (methodEnd < 1 || targetEnd < 0) throw notHttp(`the request line ${quoted(line)}`);
  if (version !== "HTTP/1.1" && version !== "HTTP/1.0") {
    if (/^HTTP\/\d\.\d$/.test(version)) throw new Refused(505, `${version}, and this endpoint takes HTTP/1.1`);
    throw notHttp(`the version ${quoted(version)}`);
  }
  if (!methodToken.test(method)) throw notHttp(`the method ${quoted(method)}`);
  if (method === "CONNECT") throw new Refused(405, "the method CONNECT is not allowed");
  if (!isTarget(target, method)) throw notHttp(`the request target ${quoted(target)}`);
  return { method, target, version };
}

/** RFC 9112, 3.2. What is not ASCII is data, which the URL gets percent-encoded. */
function isTarget(target: string, method: string): boolean {
  if (target.includes("\t")) return false;
  if (target.charCodeAt(0) === 0x2f) return true;
  if (target === "*") return method === "OPTIONS";
  const absolute = absoluteForm.exec(target);
  return absolute !== null && /^https?:/i.test(target) && /^[^:]/.test(absolute[1]) && authority.test(absolute[1]);
}

/** What the fields of a request say. */
export interface RequestFields {
  /** Params and values in turn, without Host. */
  fields: string[];
  host: string | undefined;
  /** Length of the body, `undefined` for one in chunks. */
  length: number | undefined;
  /** The peer waits for 100 Continue before it sends the body. */
  expects: boolean;
  /** The peer wants the connection to stay open after the response, or asked for that explicitly. */
  keep: boolean;
  keepAsked: boolean;
}

/**
 * RFC 9112, 5 and 6.
 *
 * @param text the lines with their line ends, without control characters
 * @throws {Refused}
 */
export function readFields(text: string, version: string): RequestFields {
  const fields: string[] = [];
  let host: string | undefined;
  let lengthText: string | undefined;
  let coding: string | undefined;
  let connection = "";
  let expectation: string | undefined;
  for (let at = 0; at < text.length;) {
    const end = text.indexOf("\r\n", at);
    const colon = text.indexOf(":", at);
    if (colon < 0 || colon > end) throw badLine(text.slice(at, end));
    const param = paramOf(text.slice(at, colon));
    let from = colon + 1;
    let to = end;
    while (from < to && isBlank(text.charCodeAt(from))) from++;
    while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
    const value = text.slice(from, to);
    at = end + 2;
    switch (param) {
      case "HTTP_HOST":
        // RFC 9112, 3.2.
        if (host !== undefined) throw notHttp("more than one Host");
        if (!authority.test(value)) throw notHttp(`the Host ${quoted(value)}`);
        host = value;
        continue;
      case "CONTENT_LENGTH":
        if (lengthText !== undefined) throw notHttp("more than one Content-Length");
        lengthText = value;
        expectNoTab(text.slice(colon, end));
        break;
      case "HTTP_TRANSFER_ENCODING":
        coding = coding === undefined ? value : `${coding}, ${value}`;
        expectNoTab(text.slice(colon, end));
        break;
      case "HTTP_CONNECTION":
        connection = connection === "" ? value : `${connection},${value}`;
        break;
      case "HTTP_EXPECT":
        expectation = expectation === undefined ? value : `${expectation}, ${value}`;
        break;
      case "":
        continue;
    }
    fields.push(param, value);
  }
  const isLatest = version === "HTTP/1.1";
  if (host === undefined && isLatest) throw notHttp("no Host");
  const length = bodyLength(lengthText, coding, isLatest);
  if (isLatest && expectation !== undefined && expectation.toLowerCase() !== "100-continue") {
    throw new Refused(417, "an expectation other than 100-continue");
  }
  const expects = isLatest && expectation !== undefined && length !== 0;
  const { keep, close } = readConnection(connection);
  return { fields, host, length, expects, keep: !close && (isLatest || keep), keepAsked: keep };
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Some readers trim only blanks, and would find another end of the body. */
function expectNoTab(field: string): void {
  if (field.includes("\t")) throw notHttp(`a tab in ${quoted(field)}`);
}

function paramOf(name: string): string {
  const param = fieldParam(name);
  if (param === undefined) throw notHttp(`the field name ${quoted(name)}`);
  return param;
}

function badLine(line: string): Refused {
  return notHttp(isBlank(line.charCodeAt(0)) ? "a field in more than one line" : `the line ${quoted(line)}`);
}

/** RFC 9110, 8.6. More digits than an exact number has are zeros in front, or make readers count past their end. */
const lengthDigits = /^\d{1,16}$/;

/** RFC 9112, 6.1 to 6.3: a body is refused where proxies may differ about its length. */
function bodyLength(text: string | undefined, coding: string | undefined, isLatest: boolean): number | undefined {
  if (coding === undefined) {
    if (text === undefined) return 0;
    const length = lengthDigits.test(text) ? Number(text) : NaN;
    if (!Number.isSafeInteger(length)) throw notHttp(`the Content-Length ${quoted(text)}`);
    return length;
  }
  if (text !== undefined) throw notHttp("a Content-Length beside a Transfer-Encoding");
  if (!isLatest) throw notHttp("a Transfer-Encoding in HTTP/1.0");
  if (coding.toLowerCase() === "chunked") return undefined;
  const codings = coding.toLowerCase().split(",").map((name) => name.replace(/^[ \t]+|[ \t]+$/g, ""));
  // The end of such a body can be found, but it cannot be decoded.
  const known = codings.indexOf("chunked") === codings.length - 1 && codings.every((name) => token.test(name));
  throw known ? new Refused(501, `the Transfer-Encoding ${quoted(coding)}`) : notHttp(`the Transfer-Encoding ${quoted(coding)}`);
}

/** RFC 9112, 9.3. */
function readConnection(value: string): { keep: boolean; close: boolean } {
  const said = value.toLowerCase();
  if (said === "" || said === "keep-alive" || said === "close") return { keep: said === "keep-alive", close: said === "close" };
  const options = said.split(",").map((option) => option.trim());
  return { keep: options.includes("keep-alive"), close: options.includes("close") };
}
