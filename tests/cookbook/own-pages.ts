import { readFile } from "node:fs/promises";

export default async (request: Request): Promise<Response> => {
  const { pathname } = new URL(request.url);
  if (pathname === "/") return new Response("Home\n");
  if (pathname === "/broken") await readFile("no such file");
  // Without a body, so that 404.html beside this file is the page.
  return new Response(null, { status: 404 });
};
