const escape = (text: string) => text.replace(/[<>&"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

const page = (text: string) =>
  new Response(`<!doctype html><meta charset="utf-8"><title>Hello</title>${text}`, {
    // A page that runs no script, whatever is in it.
    headers: { "content-type": "text/html; charset=utf-8", "content-security-policy": "default-src 'self'" },
  });

export default async (request: Request): Promise<Response> => {
  if (request.method !== "POST") return page('<form method="post"><input name="name" required> <button>Greet me</button></form>');
  // Browsers say where a form comes from: other sites may not send it.
  if (request.headers.get("sec-fetch-site") === "cross-site") return new Response("Not from there\n", { status: 403 });
  const name = String((await request.formData()).get("name") ?? "");
  return page(`<p>Hello ${escape(name)}`);
};
