/** @jsxImportSource hono/jsx */

const Page = ({ name }: { name: string }) => (
  <html lang="en">
    <title>Hello</title>
    <h1>Hello {name}</h1>
  </html>
);

export default (request: Request): Response => {
  const name = new URL(request.url).searchParams.get("name") ?? "you";
  return new Response(`<!doctype html>${<Page name={name} />}`, { headers: { "content-type": "text/html; charset=utf-8" } });
};
