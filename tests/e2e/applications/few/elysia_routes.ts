/** An application of Elysia, with a generator as its documentation has it. */
import { Elysia, t } from "elysia";
import { described } from "./routes.ts";

export const app = new Elysia()
  .get("/", ({ set }) => {
    set.headers["content-type"] = "text/html";
    return "<h1>Hello</h1>";
  })
  .get("/visits", ({ cookie: { visits } }) => {
    visits.value = Number(visits.value ?? 0) + 1;
    return String(visits.value);
  })
  .post("/form", ({ body }) => body)
  .post("/upload", ({ body: { title, file } }) => described(title, file), {
    body: t.Object({ title: t.String(), file: t.File() }),
  })
  // Its redirect() takes relative URLs with Bun only.
  .get("/old", ({ set }) => {
    set.status = 302;
    set.headers.location = "/new?a=1";
  })
  .get("/throw", () => {
    throw new Error("thrown for a test");
  })
  .get("/numbers", async function* () {
    for (const number of [1, 2, 3]) {
      yield number;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  });
