/**
 * Blanks what may be secret in recorded requests, without changing a length, so that the bytes are still the protocol's.
 *
 * What is known to be harmless stays, and all else is blanked. All of it takes linear time.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type Pair, type Part, partReader } from "./parts.ts";
import type { ProtocolName } from "./protocol.ts";

/** Variables and header fields whose values are kept. Those of URLs lose their queries. */
const harmless = new Set(
  `
  AUTH_TYPE CONTENT_LENGTH CONTENT_TYPE CONTEXT_DOCUMENT_ROOT CONTEXT_PATH CONTEXT_PREFIX DOCUMENT_ROOT FCGI_ROLE
  GATEWAY_INTERFACE HTTPS REDIRECT_STATUS REMOTE_ADDR REMOTE_HOST REMOTE_PORT REQUEST_METHOD REQUEST_SCHEME SCGI SERVER_ADDR
  SERVER_NAME SERVER_PORT SERVER_PROTOCOL SERVER_SOFTWARE SSL_CIPHER SSL_CIPHER_USEKEYSIZE SSL_PROTOCOL AJP_LOCAL_ADDR
  AJP_REMOTE_PORT AJP_SSL_PROTOCOL JK_LB_ACTIVATION
  ACCEPT ACCEPT_CHARSET ACCEPT_ENCODING ACCEPT_LANGUAGE CACHE_CONTROL CF_CONNECTING_IP CONNECTION CONTENT_ENCODING CONTENT_LANGUAGE DATE DNT EXPECT
  FORWARDED HOST IF_MODIFIED_SINCE IF_UNMODIFIED_SINCE KEEP_ALIVE MAX_FORWARDS ORIGIN PRAGMA PRIORITY RANGE SAVE_DATA
  SEC_CH_UA SEC_CH_UA_MOBILE SEC_CH_UA_PLATFORM SEC_FETCH_DEST SEC_FETCH_MODE SEC_FETCH_SITE SEC_FETCH_USER TE TRAILER
  TRANSFER_ENCODING UPGRADE UPGRADE_INSECURE_REQUESTS USER_AGENT VIA X_FORWARDED_FOR X_FORWARDED_HOST X_FORWARDED_PORT
  X_FORWARDED_PROTO X_FORWARDED_SERVER X_REAL_IP X_REQUESTED_WITH`.trim().split(/\s+/),
);
/** Those that are paths or URLs. */
const urls = new Set(
  `
  DOCUMENT_URI PATH_INFO PATH_TRANSLATED REDIRECT_URL REQUEST_URI SCRIPT_FILENAME SCRIPT_NAME SCRIPT_URI SCRIPT_URL SERVLET_PATH
  REFERER X_FORWARDED_PREFIX`.trim().split(/\s+/),
);
const queries = new Set(["QUERY_STRING", "REDIRECT_QUERY_STRING"]);
/** Fields of queries, forms and JSON whose values are kept. */
const harmlessFields = new Set(
  `
  action columns dir direction fields format height lang language limit locale max min mode month offset order order_by page
  page_size per_page size sort sort_by start step tab timezone type version view width x y year`.trim().split(/\s+/),
);

/** What names of fields look like; any other text in their place is blanked, too. */
const fieldName = /^[\w.\-[\]%]{1,100}$/;

const STAR = 0x2a;

/**
 * Blanks the values of headers, variables, query, form and JSON fields that are not known to be harmless, in what a web
 * server has sent on a connection. Of unknown bytes little more than the length is left.
 *
 * @param protocol `undefined` when it is not known
 */
export function blankSecrets(bytes: Uint8Array, protocol: Exclude<ProtocolName, "cgi"> | undefined): void {
  // Memory of its own, into which the reader gives views.
  const all = Buffer.from(new Uint8Array(bytes).buffer);
  const parts: Part[] = [];
  if (protocol === undefined) parts.push({ type: "unknown", bytes: all.subarray(1) });
  else {
    const reader = partReader(protocol, "request");
    try {
      reader.read(all, parts);
    } catch {
      // The rest stays unknown.
    }
    reader.finish(parts);
  }
  const bodies = new Map<number, Buffer[]>();
  for (const part of parts) {
    switch (part.type) {
      case "pairs":
        for (const pair of part.pairs) blankPair(pair);
        break;
      case "target":
        blankUrl(part.value);
        break;
      case "body": {
        const pieces = bodies.get(part.id);
        if (pieces) pieces.push(part.bytes);
        else bodies.set(part.id, [part.bytes]);
        break;
      }
      case "bodyEnd":
        blankPieces(bodies.get(part.id) ?? []);
        bodies.delete(part.id);
        break;
      case "unknown":
        blankUnknown(part.bytes);
        break;
      case "copied":
        part.store();
    }
  }
  for (const pieces of bodies.values()) blankPieces(pieces);
  bytes.set(all);
}

function blankPair({ name, nameBytes, value }: Pair): void {
  const param = name.toUpperCase().replaceAll("-", "_").replace(/^HTTP_/, "");
  if (urls.has(param)) return blankUrl(value);
  if (queries.has(param)) return blankForm(value);
  if (harmless.has(param)) return;
  value.fill(STAR);
  if (!/^[\w.-]{0,100}$/.test(name)) nameBytes?.fill(STAR);
}

/** Bytes without a known structure: control characters and blanks may show where something begins. */
function blankUnknown(bytes: Buffer): void {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] > 0x20) bytes[i] = STAR;
}

/** A path or URL: user, password, parameters of the path (`;jsessionid=`), query and fragment. */
function blankUrl(bytes: Buffer): void {
  const text = bytes.toString("latin1");
  const end = text.search(/[?#]/);
  const path = end < 0 ? text : text.slice(0, end);
  const user = /^[^/]*\/\/([^/]*)@/.exec(path);
  if (user) bytes.fill(STAR, user[0].length - 1 - user[1].length, user[0].length - 1);
  for (let at = path.indexOf(";"); at >= 0;) {
    const slash = path.indexOf("/", at);
    const stop = slash < 0 ? path.length : slash;
    bytes.fill(STAR, at + 1, stop);
    at = path.indexOf(";", stop);
  }
  if (end >= 0) blankForm(bytes.subarray(end + 1));
}

/** Fields of a query, or of a form that is encoded as one. */
function blankForm(bytes: Buffer): void {
  const text = bytes.toString("latin1");
  for (let at = 0; at < text.length;) {
    const separator = text.indexOf("&", at);
    const end = separator < 0 ? text.length : separator;
    const equals = text.slice(at, Math.min(end, at + 101)).indexOf("=");
    const name = equals < 0 ? "" : text.slice(at, at + equals);
    if (!fieldName.test(name)) bytes.fill(STAR, at, end);
    else if (!harmlessFields.has(name.toLowerCase())) bytes.fill(STAR, at + equals + 1, end);
    at = end + 1;
  }
}

/** A request body in pieces. */
function blankPieces(pieces: Buffer[]): void {
  if (pieces.length === 1) return blankBody(pieces[0]);
  const whole = Buffer.concat(pieces);
  blankBody(whole);
  let at = 0;
  for (const piece of pieces) at += whole.copy(piece, 0, at, at + piece.length);
}

function blankBody(bytes: Buffer): void {
  const beginning = bytes.toString("latin1", 0, 200);
  if (/^--[^\r\n]+\r\n/.test(beginning)) blankParts(bytes);
  else if (/^\s*[[{]/.test(beginning)) blankJson(bytes);
  else if (/^[\w.\-[\]%]{1,100}=/.test(beginning)) blankForm(bytes);
  else bytes.fill(STAR);
}

/** A form in parts (RFC 7578): of their heads only names, and types of content, are kept. */
function blankParts(bytes: Buffer): void {
  const boundary = bytes.toString("latin1", 0, bytes.indexOf("\r\n"));
  for (let at = boundary.length + 2; at < bytes.length;) {
    const found = bytes.indexOf(`\r\n${boundary}`, at, "latin1");
    const end = found < 0 ? bytes.length : found;
    const headEnd = bytes.subarray(0, end).indexOf("\r\n\r\n", at);
    if (headEnd < 0) blankUnknown(bytes.subarray(at, end));
    else {
      const head = bytes.toString("latin1", at, headEnd);
      const name = /^content-disposition: *form-data; *name="([^"\r\n]{1,100})"/im.exec(head)?.[1] ?? "";
      for (const line of head.matchAll(/[^\r\n]+/g)) {
        const kept =
          /^(?:content-disposition: *form-data; *name="[\w.\-[\]%]{1,100}"(?:; *filename=)?|content-type: *[\w+./-]+|[\w-]{1,40}:)/i
            .exec(line[0]);
        bytes.fill(STAR, at + line.index + (kept?.[0].length ?? 0), at + line.index + line[0].length);
      }
      if (!harmlessFields.has(name.toLowerCase())) bytes.fill(STAR, headEnd + 4, end);
    }
    at = Math.min(bytes.length, end + 2 + boundary.length + 2);
  }
}

/** Texts become stars and digits become ones, so that it is still JSON. */
function blankJson(bytes: Buffer): void {
  let kept = false;
  for (let at = 0; at < bytes.length;) {
    const char = bytes[at];
    if (char === 0x22) {
      const end = stringEnd(bytes, at + 1);
      let next = end + 1;
      while (isSpace(bytes[next])) next++;
      const text = end - at <= 101 ? bytes.toString("latin1", at + 1, end) : "";
      if (bytes[next] === 0x3a) {
        kept = harmlessFields.has(text.toLowerCase());
        if (!fieldName.test(text)) bytes.fill(STAR, at + 1, end);
        at = next + 1;
      } else {
        if (!kept) bytes.fill(STAR, at + 1, end);
        at = end + 1;
      }
      continue;
    }
    // A name concerns only the value directly behind it.
    if (char === 0x2c || char === 0x7b || char === 0x5b) kept = false;
    else if (isDigit(char)) {
      for (; isDigit(bytes[at]) || inNumber.has(bytes[at]); at++) if (!kept && isDigit(bytes[at])) bytes[at] = 0x31;
      continue;
    } else if (!isSpace(char) && !structure.has(char)) {
      const word = words.get(char);
      if (word && bytes.toString("latin1", at, at + word.length) === word) {
        at += word.length;
        continue;
      }
      bytes[at] = STAR;
    }
    at++;
  }
}

const words = new Map(["true", "false", "null"].map((word) => [word.charCodeAt(0), word]));
const inNumber = new Set([..."-+.eE"].map((char) => char.charCodeAt(0)));
const structure = new Set([..."}]:-"].map((char) => char.charCodeAt(0)));

function isDigit(char: number): boolean {
  return char >= 0x30 && char <= 0x39;
}

function isSpace(char: number): boolean {
  return char === 0x20 || char === 0x0a || char === 0x0d || char === 0x09;
}

/** Where the closing quote is. */
function stringEnd(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== 0x22) at += bytes[at] === 0x5c ? 2 : 1;
  return Math.min(at, bytes.length);
}
