/**
 * The page that a program without an application shows: that it works, and what arrived.
 *
 * @module
 */
import process from "node:process";
import { runtime } from "../runtime/name.ts";
import type { Handler, ServeInfo } from "../server/handler.ts";
import { version } from "../server/version.ts";

/** Values of these are known to the visitor or to the server alone. */
const secret = /COOKIE|AUTHORIZATION|PASS|SECRET|TOKEN|API_?KEY|PRIVATE|CREDENTIAL|SESSION/i;

/** Shows what arrived, like phpinfo, with secrets masked. */
export const welcome: Handler = (request, info) => {
  const page = render(request, info);
  return new Response(page, {
    headers: {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
      "x-robots-tag": "noindex",
    },
  });
};

function render(request: Request, info: ServeInfo): string {
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
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>runfcgi works</title>
<style>
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); --soft: color-mix(in srgb, currentColor 6%, transparent) }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto; padding: 0 1rem }
h1 { font-size: 1.8rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem }
p { max-width: 42rem }
pre { background: var(--soft); padding: .8rem 1rem; border-radius: .4rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-top: 1px solid var(--line) }
th { width: 16rem; font-weight: 500 }
td { font-family: ui-monospace, monospace; font-size: .9rem; overflow-wrap: anywhere }
i { opacity: .6 }
</style>
</head>
<body>
<h1>It works.</h1>
<p>This page comes from runfcgi, which found no application to serve. Put one beside the program or in its working
directory, or name it on the command line:</p>
<pre>export default {
  fetch(request: Request): Response {
    return new Response("Hello from " + request.url);
  },
};</pre>
${table("This request", facts)}
${table("Headers", headers)}
${table("Params", params)}
</body>
</html>
`;
}

function table(title: string, rows: [string, string][]): string {
  const lines = rows.map(([name, value]) => {
    const shown = secret.test(name) && value ? "<i>hidden</i>" : value ? escape(value) : "<i>empty</i>";
    return `<tr><th scope="row">${escape(name)}</th><td>${shown}</td></tr>`;
  });
  return `<h2>${title}</h2>\n<table>\n${lines.join("\n")}\n</table>`;
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
