/**
 * The page that shows an error of the application to who develops it, with `debug=true`.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import type { ErrorContext } from "../server/handler.ts";
import { explain } from "./app.ts";
import { escape, isSecret, page } from "./page.ts";

/** Lines of source before and after the one that the error came from. */
const AROUND = 5;

/** The error, the source around it, and the params with secrets masked. */
export function errorPage(error: Error, { during, params = {} }: ErrorContext): Response {
  const text = explain(error);
  const [, file, line] = /(?:at |\()(?:.*?\()?(?:file:\/\/)?(\/[^\s():]+):(\d+)(?::\d+)?/.exec(text) ?? [];
  const rows = Object.entries(params).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) =>
    `<tr><th scope="row">${escape(name)}</th><td>${isSecret(name) && value ? "<i>hidden</i>" : escape(value)}</td></tr>`
  );
  const body = `<h1>${escape(error.name)}: ${escape(error.message)}</h1>
<p>The application failed at <code>${escape(during)}</code>. Visitors see this page only with <code>debug=true</code>.</p>
${file ? source(file, Number(line)) : ""}
<h2>Where it came from</h2>
<pre>${escape(text)}</pre>
<h2>Params</h2>
<table>
${rows.join("\n")}
</table>`;
  return page(`${error.name}: ${error.message}`, body, 500);
}

function source(file: string, line: number): string {
  let lines: string[];
  try {
    lines = readFileSync(file, "utf8").split("\n");
  } catch {
    return "";
  }
  const first = Math.max(line - 1 - AROUND, 0);
  const shown = lines.slice(first, line + AROUND).map((text, i) => {
    const number = first + i + 1;
    const row = `${String(number).padStart(5)}  ${escape(text)}`;
    return number === line ? `<mark>${row}</mark>` : row;
  });
  return `<h2>${escape(file)}, line ${line}</h2>\n<pre>${shown.join("\n")}</pre>`;
}
