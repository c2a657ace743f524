/**
 * The head of a `Response`, for any protocol.
 *
 * @module
 */
import { readLength } from "../protocol/params.ts";
import { statusTexts } from "../protocol/status.ts";
import type { ResponseHead, Role } from "../protocol/protocol.ts";
import { rawHeaders } from "./raw_response.ts";

/** RFC 9110, 7.6.1: these concern our connection, not the visitor's. */
export const connectionHeaders: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);
/** `status` would be taken for the CGI field. */
const dropped = new Set([...connectionHeaders, "status"]);

/** RFC 9112, 4: what a reason phrase cannot hold. */
const badReason = /[^\t\x20-\x7e\x80-\xff]/;

/** Saved before an application can replace it by one that checks less. */
const PlatformHeaders = globalThis.Headers;

/** RFC 9110: responses with these statuses have no body. */
export function hasNoBody(status: number): boolean {
  return status === 204 || status === 205 || status === 304;
}

/**
 * Takes status and headers of a response.
 *
 * @param bodyLength length of the body in bytes where it is known, which then overrides the application's header
 * @throws {TypeError} for `Response.error()`, which has no status, and for an invalid header
 */
export function responseHead(response: Response, role: Role, bodyLength?: number): ResponseHead {
  const { status } = response;
  if (!(Number.isInteger(status) && status >= 200 && status <= 599)) {
    throw new TypeError(`The handler returned a Response with the status ${status}, expected 200 to 599`);
  }
  const headers: string[] = [];
  let streams = false;
  let buffering = false;
  let hasLength = false;
  const add = (value: string, name: string) => {
    if (dropped.has(name)) return;
    // RFC 9110, 15.3.5 and 15.3.6: no body follows these statuses, and a client would wait for one in vain.
    if (name === "content-length") {
      if (bodyLength !== undefined || status === 204 || status === 205) return;
      // RFC 9110, 8.6. Of two, nobody knows which one counts.
      if (readLength(value) === undefined || hasLength) return;
      hasLength = true;
    }
    if (name === "content-type") streams = value.startsWith("text/event-stream");
    else if (name === "x-accel-buffering") buffering = true;
    // FastCGI 1.0, 6.3: variables that an Authorizer hands to the web server. `Headers` has lowercased their names.
    else if (role === "authorizer" && name.startsWith("variable-")) name = `Variable-${name.slice(9).toUpperCase()}`;
    headers.push(name, value);
  };
  const raw = rawHeaders(response);
  if (raw === undefined) checkedHeaders(response.headers).forEach(add);
  else for (let i = 0; i < raw.length; i += 2) add(raw[i + 1], raw[i]);
  // nginx would hold events back until the response is complete.
  if (streams && !buffering) headers.push("x-accel-buffering", "no");
  if (bodyLength !== undefined) headers.push("content-length", String(bodyLength));
  const { statusText } = response;
  // Bun accepts any statusText, and foreign Responses may have none.
  const reason = typeof statusText === "string" && !badReason.test(statusText) ? statusText : "";
  return { status, reason: reason || statusTexts[status] || "Unknown", headers };
}

/** The value of a header, or `null`. */
export function responseHeader(response: Response, name: string): string | null {
  const raw = rawHeaders(response);
  if (raw === undefined) return response.headers.get(name);
  for (let i = 0; i < raw.length; i += 2) if (raw[i] === name) return raw[i + 1];
  return null;
}

/**
 * Headers that the platform has checked: its own, and copies of those that a package or an application made, in which
 * anything may be there, including line ends and characters above U+00FF.
 */
function checkedHeaders(headers: Headers): Headers {
  if (headers instanceof PlatformHeaders) return headers;
  const checked = new PlatformHeaders();
  (headers as Headers).forEach((value, name) => {
    try {
      checked.append(name, value);
    } catch {
      throw new TypeError(`The Response has the header ${shown(name)} with the value ${shown(value)}, which cannot be sent`);
    }
  });
  return checked;
}

/** For the log, without line ends. */
function shown(value: unknown): string {
  const text = String(value);
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text)
    .replace(/[^ -~]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A short page of the server's own, without details of the application. */
export function plainResponse(status: number, text: string, headers: Record<string, string> = {}): Response {
  const title = `${status} ${statusTexts[status] ?? "Error"}`;
  const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${title}</title>
</head>
<body style="font:1.1em/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em">
<main>
<h1 style="font-size:1.4em">${title}</h1>
<p>${text.replace(/[&<]/g, (char) => (char === "&" ? "&amp;" : "&lt;"))}</p>
</main>
</body>
</html>
`;
  const response = new Response(page, {
    status,
    headers: { "content-type": "text/html; charset=utf-8", "cache-control": "no-store", ...headers },
  });
  plain.add(response);
  return response;
}

const plain = new WeakSet<Response>();

/** Whether a response is a page of the server's own. */
export function isPlainResponse(response: Response): boolean {
  return plain.has(response);
}
