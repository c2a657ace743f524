/**
 * Pages of the program: one look for all.
 *
 * @module
 */

const style =
  `:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); --soft: color-mix(in srgb, currentColor 6%, transparent) }
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
`;

/** A page that no browser keeps and that can load nothing from elsewhere. */
export function page(title: string, body: string, status = 200): Response {
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
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
      "x-robots-tag": "noindex",
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
