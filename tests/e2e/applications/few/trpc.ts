/** tRPC with its adapter for fetch. */
import { initTRPC } from "@trpc/server";
import { fetchRequestHandler } from "@trpc/server/adapters/fetch";
import { routes } from "./routes.ts";

const t = initTRPC.create();
const text = (value: unknown) => {
  if (typeof value === "string") return value;
  throw new TypeError("expected a text");
};
export const router = t.router({
  greet: t.procedure.input(text).query(({ input }) => `Hello ${input}`),
  store: t.procedure.input(text).mutation(({ input }) => input.length),
});

export default {
  fetch(request: Request) {
    if (!new URL(request.url).pathname.startsWith("/trpc/")) return routes(request);
    return fetchRequestHandler({ endpoint: "/trpc", req: request, router, createContext: () => ({}) });
  },
};
