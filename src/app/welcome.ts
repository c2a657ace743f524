/**
 * The page that a program without an application shows: that it works, and where one is looked for.
 *
 * @module
 */
import { basename } from "node:path";
import process from "node:process";
import { explainUrl } from "../gateway/explain_url.ts";
import { Params } from "../protocol/params.ts";
import { runtime } from "../runtime/name.ts";
import type { Handler, ServeInfo } from "../server/handler.ts";
import { version } from "../server/version.ts";
import { nearMisses, placesOf } from "./places.ts";
import { escape, hidden, page } from "./page.ts";

/**
 * Says where an application is looked for.
 *
 * @param program the program's file
 * @param shows whether what arrived is shown, too: to who develops, and not to strangers
 */
export function welcomePage(program: string, shows: boolean): Handler {
  return (request, info) => {
    const body = `<h1>It works.</h1>
<p>This page comes from runfcgi, which found no application yet for <code>${escape(request.url)}</code></p>
${looked(program)}
<p>The next request gets it. This is one:</p>
<pre tabindex="0">export default {
  fetch(request: Request): Response {
    return new Response("Hello from " + request.url);
  },
};</pre>
${
      shows
        ? arrived(request, info)
        : "<p>With <code>debug=true</code> or <code>preview=8000</code> this page shows what arrives.</p>"
    }`;
    return page("runfcgi works", body);
  };
}

/** The names of files, as strangers may see them: without their folders. */
function looked(program: string): string {
  const code = (name: string) => `<code>${escape(name)}</code>`;
  const names = [...new Set(placesOf(program).map((file) => basename(file)))].map(code);
  const near = nearMisses(program).map(code);
  const [last] = names.slice(-1);
  const lines = [`<p>Put your application beside the program, as ${names.slice(0, -1).join(", ")} or ${last}.</p>`];
  if (near.length > 0) {
    const [first] = names;
    lines.push(
      `<p><strong>Is it ${near.join(" or ")}?</strong> Rename it to ${first}. Capitals matter, and so does what follows: some
systems hide the end of a name, such as <code>.txt</code>.</p>`,
    );
  }
  return lines.join("\n");
}

/** Shows what arrived, like phpinfo, with secrets masked. */
export function arrived(request: Request, info: ServeInfo): string {
  const { hostname, port } = info.remoteAddr;
  const facts: [string, string][] = [
    ["URL", request.url],
    ["Method", request.method],
    ["Mounted at", info.scriptName || "the root of the host"],
    ["Visitor", port ? `${hostname} port ${port}` : hostname || "not sent"],
    ["Web server", info.params.SERVER_SOFTWARE ?? "not sent"],
    ["Protocol", `${info.protocol}, role ${info.role}`],
    ["Runtime", `${runtime.name} ${runtime.version} on ${process.platform} ${process.arch}`],
    ["Worker", `process ${process.pid}, up ${Math.round(process.uptime())} s`],
    ["Program", `${process.execPath}, runfcgi ${version}`],
    ["Working directory", process.cwd()],
  ];
  const headers = [...request.headers].map(([name, value]) => [name, value] as [string, string]);
  const params = Object.entries(info.params).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${table("This request", facts)}
${found(info)}
${table("Headers", headers)}
${table("Params", params)}`;
}

/** Where the URL comes from, which is what goes wrong between a web server and an application. */
function found({ params, protocol }: ServeInfo): string {
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
