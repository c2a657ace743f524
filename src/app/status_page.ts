/**
 * The status page for browsers.
 *
 * @module
 */
import { mib, type StatusFacts } from "../supervisor/status.ts";
import { escape, page } from "./page.ts";

/** Seconds after which a browser asks again. */
const AGAIN = 5;

/** Reads well on a phone: each worker is a row of two cells. */
export function statusHtml({ facts, workers, underWay }: StatusFacts): Response {
  const [[, name]] = facts;
  const table = (rows: readonly (readonly [string, string | number])[]) =>
    `<table>\n${
      rows.map(([title, text]) => `<tr><th scope="row">${escape(title)}</th><td>${escape(String(text))}</td></tr>`).join("\n")
    }\n</table>`;
  const rows = workers.map(({ pid, thread, state, uptime, memory, counts }) =>
    [
      `process ${pid}${thread ? `, thread ${thread}` : ""}`,
      `${state}, ${uptime} s, ${counts.requests} request${counts.requests === 1 ? "" : "s"}, ${counts.inFlight} in flight, ${
        mib(memory)
      } MiB`,
    ] as const
  );
  const body = `<h1>Status</h1>
${table(facts)}
<h2>Workers</h2>
${table(rows)}
<h2>Under way</h2>
${underWay.length === 0 ? "<p>None.</p>" : `<pre tabindex="0">${escape(underWay.join("\n"))}</pre>`}
<p><a href="?text">Text</a> · <a href="?json">JSON</a> · <a href="?metrics">Prometheus</a></p>`;
  const response = page(`Status of ${name}`, body);
  response.headers.set("refresh", String(AGAIN));
  return response;
}
