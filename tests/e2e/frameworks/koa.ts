/** Koa, whose application is exported as it is. */
import { load } from "./packages.ts";

const Koa = await load("koa");
const busboy = await load("busboy");

const app = new Koa();
app.keys = ["for a test"];
app.silent = true;

// deno-lint-ignore no-explicit-any
type Any = any;

/** Fields and files of a form, whatever it is encoded as. */
function formOf(request: Any): Promise<{ fields: Record<string, string>; files: Any[] }> {
  const form = { fields: {} as Record<string, string>, files: [] as Any[] };
  const parser = busboy({ headers: request.headers });
  parser.on("field", (name: string, value: string) => form.fields[name] = value);
  parser.on("file", async (_name: string, stream: Any, { filename }: Any) => {
    const file = { name: filename, size: 0, last: 0 };
    form.files.push(file);
    for await (const bytes of stream) {
      file.size += bytes.length;
      file.last = bytes.at(-1);
    }
  });
  return new Promise((resolve, reject) => {
    parser.on("close", () => resolve(form));
    parser.on("error", reject);
    request.pipe(parser);
  });
}

const routes: Record<string, (ctx: Any) => unknown> = {
  "GET /where": (ctx) => ctx.body = { url: ctx.originalUrl, ip: ctx.ip, host: ctx.host, protocol: ctx.protocol },
  "GET /visits"(ctx) {
    const visits = Number(ctx.cookies.get("visits", { signed: true }) ?? 0) + 1;
    ctx.cookies.set("visits", String(visits), { signed: true });
    ctx.body = String(visits);
  },
  "POST /form": async (ctx) => ctx.body = (await formOf(ctx.req)).fields,
  async "POST /upload"(ctx) {
    const { fields, files } = await formOf(ctx.req);
    ctx.body = { ...fields, ...files[0] };
  },
  "GET /old": (ctx) => ctx.redirect("/new?a=1"),
  "GET /throw"() {
    throw new Error("thrown for a test");
  },
};
app.use((ctx: Any) => routes[`${ctx.method} ${ctx.path}`]?.(ctx));

export default app;
