/**
 * What a response is made of, from what an application gives to `new Response()` and `Response.json()`.
 *
 * @module
 */
import { token } from "../protocol/params.ts";
import { copyOf } from "./body_copies.ts";
import type { ResponseParts } from "./raw_response.ts";

/** Fetch standard, "null body status": with these a body is an error. */
const bodyless = new Set([204, 205, 304]);
/** RFC 9112, 4. */
const plainReason = /^[\t\x20-\x7e\x80-\xff]*$/;
/** RFC 9110, 5.5, without the spaces around it that would have to be taken off. */
const plainValue = /^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?$/;
const PlatformHeaders = globalThis.Headers;

/** Names of headers by how they were written: the same few come again and again. */
const names = new Map<string, string>();
const MAX_NAMES = 500;

function plainName(name: string): string | undefined {
  const known = names.get(name);
  if (known !== undefined) return known;
  if (!token.test(name)) return undefined;
  const lower = name.toLowerCase();
  if (names.size < MAX_NAMES && name.length < 50) names.set(name, lower);
  return lower;
}

/**
 * The parts of a response of text, bytes or no body; `undefined` for all that is unusual or an error, of which the platform
 * knows what to do.
 *
 * @param type the content type of text, unless the headers have one
 */
export function responseParts(
  body: unknown,
  { status = 200, statusText = "", headers }: { status?: unknown; statusText?: unknown; headers?: unknown },
  type = "text/plain;charset=UTF-8",
): ResponseParts | undefined {
  if (typeof status !== "number" || !(status >= 200 && status <= 599) || !Number.isInteger(status)) return undefined;
  if (typeof statusText !== "string" || !plainReason.test(statusText)) return undefined;
  const pairs: string[] = [];
  if (headers !== undefined && !addHeaders(pairs, headers)) return undefined;
  const parts: ResponseParts = { status, reason: statusText, headers: pairs, body: null };
  if (body === null || body === undefined) return parts;
  if (bodyless.has(status)) return undefined;
  if (typeof body === "string") {
    parts.body = body;
    if (!has(pairs, "content-type")) pairs.push("content-type", type);
    return parts;
  }
  if (!(body instanceof Uint8Array) || !(body.buffer instanceof ArrayBuffer)) return undefined;
  const { copy, isLent } = copyOf(body);
  parts.body = copy;
  if (isLent) parts.original = body;
  return parts;
}

function addHeaders(pairs: string[], headers: unknown): boolean {
  if (typeof headers !== "object" || headers === null) return false;
  const prototype = Object.getPrototypeOf(headers);
  if (prototype === Object.prototype) {
    const record = headers as Record<string, unknown>;
    for (const name of Object.keys(record)) if (!add(pairs, name, record[name])) return false;
    return Object.getOwnPropertySymbols(record).length === 0;
  }
  if (prototype === PlatformHeaders.prototype) {
    (headers as Headers).forEach((value, name) => pairs.push(name, value));
    return true;
  }
  if (prototype !== Array.prototype) return false;
  for (const pair of headers as unknown[]) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string" || !add(pairs, pair[0], pair[1])) return false;
  }
  return true;
}

function add(pairs: string[], name: string, given: unknown): boolean {
  const value = typeof given === "number" ? String(given) : given;
  const lower = plainName(name);
  if (lower === undefined || typeof value !== "string" || !plainValue.test(value)) return false;
  // Repeated ones are joined, except this.
  if (lower !== "set-cookie" && has(pairs, lower)) return false;
  pairs.push(lower, value);
  return true;
}

function has(pairs: readonly string[], name: string): boolean {
  for (let i = 0; i < pairs.length; i += 2) if (pairs[i] === name) return true;
  return false;
}
