/**
 * What a visitor wants of a representation, given what he has: preconditions and ranges of RFC 9110.
 *
 * @module
 */

/** Facts about what would be sent. */
export interface Representation {
  /** Strong, or weak with `W/` before it. */
  etag: string;
  /** An HTTP date. */
  lastModified: string;
  /** In bytes. */
  size: number;
}

/** What to send: the bytes from `start` to before `end` for 200 and 206, and nothing for the others. */
export interface Wanted {
  status: 200 | 206 | 304 | 412 | 416;
  start: number;
  end: number;
}

/** Evaluates the conditions of a GET or HEAD in the order of RFC 9110, 13.2.2. */
export function wantedOf({ method, headers }: Request, it: Representation): Wanted {
  const wanted = (status: Wanted["status"], start = 0, end = it.size): Wanted => ({ status, start, end });
  const match = headers.get("if-match");
  if (match !== null ? !lists(match, it.etag, true) : isOlder(headers.get("if-unmodified-since"), it)) return wanted(412);
  const noneMatch = headers.get("if-none-match");
  const modifiedSince = httpDate(headers.get("if-modified-since"));
  if (noneMatch !== null ? lists(noneMatch, it.etag, false) : modifiedSince >= Date.parse(it.lastModified)) return wanted(304);
  // RFC 9110, 14.2: it has no meaning for HEAD.
  const range = method === "GET" ? headers.get("range") : null;
  if (range === null || !isCurrent(headers.get("if-range"), it)) return wanted(200);
  const part = parseRange(range, it.size);
  if (part === undefined) return wanted(200);
  return part === "unsatisfiable" ? wanted(416) : wanted(206, part.start, part.end);
}

/** Whether a list of entity tags has this one (RFC 9110, 8.8.3.2). Compared strongly, no weak one equals any. */
function lists(header: string, etag: string, strongly: boolean): boolean {
  if (header.trim() === "*") return true;
  if (strongly && etag.startsWith("W/")) return false;
  const tags = header.match(/(?:W\/)?"[^"]*"/g) ?? [];
  return tags.some((tag) => (strongly ? tag : opaque(tag)) === opaque(etag));
}

function opaque(etag: string): string {
  return etag.replace(/^W\//, "");
}

/** RFC 9110, 13.1.5: what the visitor has a part of is still the same. Only strong validators can say so. */
function isCurrent(ifRange: string | null, { etag, lastModified }: Representation): boolean {
  if (ifRange === null) return true;
  return !etag.startsWith("W/") && (ifRange === etag || ifRange === lastModified);
}

function isOlder(date: string | null, { lastModified }: Representation): boolean {
  return Date.parse(lastModified) > httpDate(date);
}

/** RFC 9110, 5.6.7: the form that is sent, and the two obsolete ones. */
const dateForms = [
  /^[A-Z][a-z]{2}, (?<day>\d\d) (?<month>[A-Z][a-z]{2}) (?<year>\d{4}) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^[A-Z][a-z]+day, (?<day>\d\d)-(?<month>[A-Z][a-z]{2})-(?<year>\d\d) (?<time>\d\d:\d\d:\d\d) GMT$/,
  /^[A-Z][a-z]{2} (?<month>[A-Z][a-z]{2}) (?<day>[ \d]\d) (?<time>\d\d:\d\d:\d\d) (?<year>\d{4})$/,
];

/** Milliseconds since 1970, or `NaN` for what is no date, which is as if nothing was sent. */
function httpDate(text: string | null): number {
  const { day, month, year, time } = dateForms.map((form) => form.exec(text ?? "")?.groups).find(Boolean) ?? {};
  return day === undefined ? NaN : Date.parse(`${day} ${month} ${year.length === 2 ? inFull(year) : year} ${time} GMT`);
}

/** A year of two digits: what seems more than 50 years ahead is past. */
function inFull(year: string): number {
  const full = 2000 + Number(year);
  return full > new Date().getUTCFullYear() + 50 ? full - 100 : full;
}

/**
 * RFC 9110, 14.1.2. Other units, several ranges and invalid ones are `undefined`, which RFC 9110, 14.2 allows
 * to be answered with the whole; and so is any range of an empty file, since some ask for all files from 0 on.
 */
function parseRange(header: string, size: number): { start: number; end: number } | "unsatisfiable" | undefined {
  const [, first, last] = /^bytes=[ \t]*(?=-?\d)(\d*)-(\d*)[ \t]*$/i.exec(header) ?? [];
  if (first === undefined || size === 0) return undefined;
  const isSuffix = first === "";
  if (!isSuffix && last !== "" && Number(last) < Number(first)) return undefined;
  const start = isSuffix ? Math.max(0, size - Number(last)) : Number(first);
  const end = isSuffix || last === "" ? size : Math.min(size, Number(last) + 1);
  return start < end ? { start, end } : "unsatisfiable";
}
