/** What every application of the table answers, for those whose package answers something else. */
export async function routes(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  switch (`${request.method} ${pathname}`) {
    case "GET /":
      return new Response("<h1>Hello</h1>", { headers: { "content-type": "text/html" } });
    case "GET /visits": {
      const visits = Number(/visits=(\d+)/.exec(request.headers.get("cookie") ?? "")?.[1] ?? 0) + 1;
      return new Response(String(visits), { headers: { "set-cookie": `visits=${visits}; Path=/; HttpOnly` } });
    }
    case "POST /form":
      return Response.json(Object.fromEntries(await request.formData()));
    case "POST /upload": {
      const form = await request.formData();
      return Response.json(await described(String(form.get("title")), form.get("file") as File));
    }
    case "GET /old":
      return new Response(null, { status: 302, headers: { location: "/new?a=1" } });
    case "GET /throw":
      throw new Error("thrown for a test");
    default:
      return new Response("Not found", { status: 404 });
  }
}

/** What is expected of an upload. */
export async function described(title: string, file: File): Promise<object> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  return { title, name: file.name, size: bytes.length, last: bytes.at(-1) };
}
