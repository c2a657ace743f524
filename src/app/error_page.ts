/**
 * The page that shows an error of the application to who develops it, with `debug=true`.
 *
 * @module
 */
import { readFileSync, statSync } from "node:fs";
import { isAbsolute } from "node:path";
import type { ErrorContext } from "../server/handler.ts";
import { explain, type Explanation, explanationOf, type Place } from "./error_text.ts";
import { escape, hidden, isSecret, page } from "./page.ts";

/** Lines of source before and after the one that the error came from. */
const AROUND = 5;
/** Frames of the application whose source is shown. */
const MAX_SOURCES = 3;
/** Bytes of a source file that is read for the page, and characters of a line that are shown. */
const MAX_BYTES = 2 ** 21;
const MAX_LINE = 300;

/** The error, the source around it, and the params and the body with secrets masked. */
export function errorPage(error: unknown, { during, params = {}, body: sent, status = 500 }: ErrorContext): Response {
  const explanation = explanationOf(error);
  const sorted = Object.entries(params).sort(([a], [b]) => (a < b ? -1 : 1));
  const body = `<h1>${escape(explanation.title)}</h1>
<p>The application failed at: <code>${escape(during)}</code>. Visitors see this page only with <code>debug=true</code>.</p>
${described(explanation)}
<h2>Where it came from</h2>
<pre tabindex="0">${escape(explain(error))}</pre>
${sent ? `<h2>Body</h2>\n${bodyText(sent, params.CONTENT_TYPE ?? "", Number(params.CONTENT_LENGTH) || 0)}\n` : ""}<h2>Params</h2>
${tableOf(sorted)}`;
  return page(explanation.title, body, status);
}

function tableOf(values: Iterable<readonly [name: string, value: string]>): string {
  const rows = [...values].map(([name, value]) => `<tr><th scope="row">${escape(name)}</th><td>${hidden(name, value)}</td></tr>`);
  return `<table>\n${rows.join("\n")}\n</table>`;
}

/** The beginning of a body: a form as a table, text as it is, and the length of anything else. */
function bodyText(bytes: Uint8Array, type: string, length: number): string {
  const text = new TextDecoder().decode(bytes);
  const rest = length > bytes.length ? `<p>The first ${bytes.length} of ${length} bytes.</p>\n` : "";
  if (/^application\/x-www-form-urlencoded\b/i.test(type)) return rest + tableOf(new URLSearchParams(text));
  // deno-lint-ignore no-control-regex
  const binary = /[\0-\x08\x0e-\x1a]|\ufffd(?!$)/.test(text);
  if (binary) return `<p>${Math.max(length, bytes.length)} bytes of ${escape(type || "an unknown type")}.</p>`;
  return `${rest}<pre tabindex="0">${escape(jsonText(text) ?? text)}</pre>`;
}

/** JSON with its secrets masked, `undefined` for anything else. */
function jsonText(text: string): string | undefined {
  try {
    return JSON.stringify(JSON.parse(text), (name, value) => typeof value === "string" && isSecret(name) ? "hidden" : value, 2);
  } catch {
    return undefined;
  }
}

/** What an error says, and the source around its places. */
function described({ title, text, frames, place, parts }: Explanation): string {
  const places = [...place ? [place] : [], ...frames.filter(({ own }) => own)];
  const different = places.filter((one, i) => places.findIndex(({ file, line }) => one.file === file && one.line === line) === i);
  const sections = different.slice(0, MAX_SOURCES).map(source);
  if (text !== title) sections.unshift(`<pre tabindex="0">${escape(text)}</pre>`);
  for (const { label, explanation } of parts) {
    const [first, ...rest] = label.replace(/:? *$/, "");
    sections.push(`<h2>${first.toUpperCase()}${rest.join("")}: ${escape(explanation.title)}</h2>`, described(explanation));
  }
  return sections.filter(Boolean).join("\n");
}

function source({ file, line }: Place): string {
  // A program that was built has no source with it.
  if (!isAbsolute(file)) return "";
  let lines: string[];
  try {
    if (statSync(file).size > MAX_BYTES) return "";
    lines = readFileSync(file, "utf8").split("\n");
  } catch {
    return "";
  }
  const first = Math.max(line - 1 - AROUND, 0);
  const shown = lines.slice(first, line + AROUND).map((text, i) => {
    const number = first + i + 1;
    const row = `${String(number).padStart(5)}  ${escape(text.slice(0, MAX_LINE))}`;
    return number === line ? `<mark>${row}</mark>` : row;
  });
  return `<h2>${escape(file)}, line ${line}</h2>\n<pre tabindex="0">${shown.join("\n")}</pre>`;
}
