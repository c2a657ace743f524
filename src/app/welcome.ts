/**
 * The page that a program without an application shows: that it works, and what arrived.
 *
 * @module
 */
import process from "node:process";
import { explainUrl } from "../gateway/explain_url.ts";
import { Params } from "../protocol/params.ts";
import { runtime } from "../runtime/name.ts";
import type { Handler } from "../server/handler.ts";
import { version } from "../server/version.ts";
import { escape, hidden, page } from "./page.ts";

/** Shows what arrived, like phpinfo, with secrets masked. */
export const welcome: Handler = (request, info) => {
  const { hostname, port } = info.remoteAddr;
  const facts: [string, string][] = [
    ["URL", request.url],
    ["Method", request.method],
    ["Mounted at", info.scriptName || "the root of the host"],
    ["Visitor", port ? `${hostname} port ${port}` : hostname || "not told"],
    ["Web server", info.params.SERVER_SOFTWARE ?? "not told"],
    ["Protocol", `${info.protocol}, role ${info.role}`],
    ["Runtime", `${runtime.name} ${runtime.version} on ${process.platform} ${process.arch}`],
    ["Worker", `process ${process.pid}, up ${Math.round(process.uptime())} s`],
    ["Program", `${process.execPath}, runfcgi ${version}`],
    ["Working directory", process.cwd()],
  ];
  const headers = [...request.headers].map(([name, value]) => [name, value] as [string, string]);
  const params = Object.entries(info.params).sort(([a], [b]) => (a < b ? -1 : 1));
  const body = `<h1>It works.</h1>
<p>This page comes from runfcgi, which found no application to serve. Put one beside the program or in its working
directory, or name it on the command line:</p>
<pre>export default {
  fetch(request: Request): Response {
    return new Response("Hello from " + request.url);
  },
};</pre>
${table("This request", facts)}
${found(info)}
${table("Headers", headers)}
${table("Params", params)}`;
  return page("runfcgi works", body);
};

/** Where the URL comes from, which is what goes wrong between a web server and an application. */
function found({ params, protocol }: Parameters<Handler>[1]): string {
  const peer = params.SERVER_ADDR === undefined ? undefined : params.REMOTE_ADDR;
  const { parts, ignored } = explainUrl(Params.from(Object.entries(params)), {
    protocol,
    trusted: protocol === "http" && peer === undefined,
  });
  const rows: [string, string][] = parts.map(({ part, value, from, reason }) => [
    part,
    `${value} (${from.length > 0 ? `${from.join(", ")}: ` : ""}${reason})`,
  ]);
  const others: [string, string][] = ignored.map(({ name, reason }) => [`${name} is ignored`, reason]);
  return table("How this URL was found", [...rows, ...others]);
}

function table(title: string, rows: [string, string][]): string {
  const lines = rows.map(([name, value]) => `<tr><th scope="row">${escape(name)}</th><td>${hidden(name, value)}</td></tr>`);
  return `<h2>${title}</h2>\n<table>\n${lines.join("\n")}\n</table>`;
}
