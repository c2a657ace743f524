/**
 * Pages of the program: one look for all.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** The look of all pages, and of the one that PHP serves. */
export const style =
  `:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); --soft: color-mix(in srgb, currentColor 6%, transparent) }
html { background: Canvas; color: CanvasText }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 3rem auto; padding: 0 1rem }
h1 { font-size: 1.8rem; margin: 0 }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem }
p { max-width: 42rem }
pre { background: var(--soft); padding: .8rem 1rem; border-radius: .4rem; overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-top: 1px solid var(--line) }
th { width: 16rem; font-weight: 500 }
td { font-family: ui-monospace, monospace; font-size: .9rem; overflow-wrap: anywhere }
h1, h2, p, code { overflow-wrap: anywhere }
@media (max-width: 40rem) { body { margin: 1.5rem auto } th, td { display: block; width: auto; padding: .3rem 0 } td { border-top: 0; padding-top: 0 } }
i { opacity: .6 }
mark { background: color-mix(in srgb, #e33 22%, transparent); color: inherit }
form { display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; margin: 1rem 0 }
label { flex-basis: 100% }
input, button { font: inherit; min-height: 2.75rem; padding: .3rem .9rem; border: 1px solid color-mix(in srgb, currentColor 55%, transparent); border-radius: .4rem; box-sizing: border-box; max-width: 100% }
input { flex: 1 1 16rem }
button { cursor: pointer }
summary { cursor: pointer; padding: .7rem 0; font-weight: 600 }
dd { margin: 0 0 .6rem }
.log { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 32rem; overflow-y: auto }
.findings { list-style: none; padding: 0 }
.findings li { overflow-wrap: anywhere; padding: .4rem .8rem; margin: .4rem 0; border-left: .3rem solid var(--line) }
.ok, .note, .problem { padding: .5rem .8rem; border-left: .3rem solid #2a9d55 }
.note, .findings .note { border-left-color: #d9a300 }
.problem, .findings .problem { border-left-color: #d33; background: color-mix(in srgb, #d33 8%, transparent) }
.findings pre { white-space: pre-wrap }
.findings .ok { border-left-color: #2a9d55 }
`;

/** Nothing but this style is loaded, no script runs, and no other site shows the page in a frame or gets its forms. */
export const policy: string =
  `default-src 'none'; style-src 'sha256-${createHash("sha256").update(`\n${style}`).digest("base64")}'; ` +
  "form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/** A page that no browser keeps and that can load nothing from elsewhere. @param headers besides those */
export function page(title: string, body: string, status = 200, headers: Record<string, string> = {}): Response {
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escape(title)}</title>
<style>
${style}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
  return new Response(html, {
    status,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "content-security-policy": policy,
      "x-robots-tag": "noindex",
      ...headers,
    },
  });
}

/** Text in HTML. */
export function escape(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** The value of a header or param in HTML, without what is known to the visitor or to the server alone. */
export function hidden(name: string, value: string): string {
  if (value === "") return "<i>empty</i>";
  if (isSecret(name)) return "<i>hidden</i>";
  // The password in a URL, such as that of a database.
  return escape(value.replace(/(:\/\/[^\s/:@]*:)[^\s/@]+@/g, "$1…@"));
}

/** Whether a value of this name is known to the visitor or to the server alone. */
export function isSecret(name: string): boolean {
  return secret.test(name);
}

const secret = /COOKIE|AUTHORIZATION|PASS|PWD|SECRET|TOKEN|API_?KEY|_KEY$|PRIVATE|CREDENTIAL|SESSION|SALT|DSN/i;
