/** hapi as its documentation starts it. */
import Hapi from "@hapi/hapi";

const server = Hapi.server({ port: 3000, host: "localhost" });
server.state("visits", { isSecure: false, ignoreErrors: true });
server.route([
  { method: "GET", path: "/", handler: () => "<h1>Hello</h1>" },
  {
    method: "GET",
    path: "/visits",
    handler(request, h) {
      const visits = Number(request.state.visits ?? 0) + 1;
      return h.response(String(visits)).state("visits", String(visits));
    },
  },
  { method: "POST", path: "/form", handler: ({ payload }) => payload },
  {
    method: "POST",
    path: "/upload",
    options: { payload: { multipart: { output: "annotated" } } },
    handler: ({ payload: { title, file } }) => {
      const bytes = Buffer.from(file.payload);
      return { title, name: file.filename, size: bytes.length, last: bytes.at(-1) };
    },
  },
  { method: "GET", path: "/old", handler: (_request, h) => h.redirect("/new?a=1") },
  {
    method: "GET",
    path: "/throw",
    handler() {
      throw new Error("thrown for a test");
    },
  },
]);
await server.start();
