/**
 * The application of the benchmark of tails: three million live objects, and an upload that is read.
 *
 * @module
 */
import process from "node:process";

const count = Number(process.env.BENCH_OBJECTS ?? 0);
const objects = Array.from({ length: count }, (_, i) => ({ i, next: { i } }));

export default {
  async fetch(request: Request): Promise<Response> {
    let length = 0;
    if (request.method === "POST") { for await (const piece of request.body ?? []) length += piece.length; }
    return new Response(`hello world\n${length + objects.length}`, { headers: { "content-type": "text/plain" } });
  },
};
