/**
 * The application that `init` writes.
 *
 * @module
 */

/** A module that shows routing by URL, a form, and what is known of the visitor. */
export const appText = `/** What is known of a request besides the request itself. */
interface Info {
  readonly remoteAddr: { readonly hostname: string };
  /** Where the site is mounted, "" at the root of the host. */
  readonly scriptName: string;
  /** The path below that. */
  readonly pathInfo: string;
}

export default {
  fetch(request: Request, info: Info): Response | Promise<Response> {
    switch (info.pathInfo) {
      case "/":
        return home(info);
      case "/greet":
        return request.method === "POST" ? greet(request, info) : Response.redirect(new URL("./", request.url), 303);
      case "/time":
        return Response.json({ now: new Date() });
      default:
        return page("Nothing is here", \`<p><a href="\${info.scriptName}/">To the start</a></p>\`, 404);
    }
  },
};

function home({ scriptName, remoteAddr }: Info): Response {
  return page(
    "It works",
    \`<p>You come from \${escape(remoteAddr.hostname)}, and it is <a href="\${scriptName}/time">now</a>.</p>
<form method="post" action="\${scriptName}/greet">
  <label>Your name <input name="name" required></label>
  <button>Greet me</button>
</form>\`,
  );
}

async function greet(request: Request, { scriptName }: Info): Promise<Response> {
  const form = await request.formData();
  const name = String(form.get("name") ?? "stranger");
  return page(\`Hello \${name}\`, \`<p><a href="\${scriptName}/">Back</a></p>\`);
}

function page(title: string, body: string, status = 200): Response {
  const html = \`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>\${escape(title)}</title>
<h1>\${escape(title)}</h1>
\${body}
</html>
\`;
  return new Response(html, { status, headers: { "content-type": "text/html; charset=utf-8" } });
}

/** Text from elsewhere, so that it cannot become a part of the page's own code. */
function escape(text: string): string {
  return text.replace(/[&<>"]/g, (character) => \`&#\${character.charCodeAt(0)};\`);
}
`;
