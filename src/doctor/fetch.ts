/**
 * Asks a site as a visitor's browser does, and nothing more: paths are sent as they are, and redirects are not followed.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";

/** What is asked. */
export interface Asking {
  /** Default is POST with a body, and GET without. */
  method?: string;
  headers?: Record<string, string>;
  body?: Uint8Array;
  /** Seconds until it is given up; default is 10. */
  seconds?: number;
  /** Gets all that has arrived so far. */
  onText?: (text: string) => void;
}

/** What came of it. */
export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  /** The beginning of the body. */
  text: string;
}

/** Characters of an answer after which no more is read. */
const MAX_TEXT = 64 * 1024;

/** The path of a site, with a slash at its end. */
export function basePath({ pathname }: URL): string {
  return pathname.endsWith("/") ? pathname : `${pathname}/`;
}

/** The header for the user and the password of a URL. */
export function credentials({ username, password }: URL): { authorization?: string } {
  if (username === "" && password === "") return {};
  const text = [username, password].map(decoded).join(":");
  return { authorization: `Basic ${Buffer.from(text).toString("base64")}` };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A URL without its password, for messages. */
export function shown(site: URL): string {
  const url = new URL(site);
  url.username = url.password = "";
  return url.href;
}

/** Asks a site for a path, with the user and the password of its URL. @throws {Error} when there is no answer */
export function fetchFrom(site: URL, path: string, asking: Asking = {}): Promise<Answer> {
  const { body, method = body ? "POST" : "GET", headers, seconds = 10, onText } = asking;
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const options = {
    hostname: site.hostname.replace(/^\[|\]$/g, ""),
    port: site.port || undefined,
    path,
    method,
    headers: {
      host: site.host,
      connection: "close",
      ...credentials(site),
      ...headers,
      ...body && { "content-length": String(body.length), "content-type": "application/octet-stream" },
    },
  };
  const take = (message: IncomingMessage) => {
    let text = "";
    const over = () => resolve({ status: message.statusCode ?? 0, headers: message.headers, text });
    message.setEncoding("utf8");
    message.on("data", (chunk: string) => {
      text += chunk;
      onText?.(text);
      if (text.length < MAX_TEXT) return;
      over();
      message.destroy();
    });
    message.on("error", reject);
    message.on("close", over);
  };
  // Whether a certificate is good is not what is asked here, unless a password is sent.
  const sent = site.protocol === "https:"
    ? httpsRequest({ ...options, rejectUnauthorized: site.password !== "" }, take)
    : httpRequest(options, take);
  const timer = setTimeout(() => sent.destroy(new Error(`no answer in ${seconds} s`)), seconds * 1000);
  sent.on("error", reject);
  sent.on("close", () => clearTimeout(timer));
  sent.end(body);
  return promise;
}
