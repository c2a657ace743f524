/** Web servers that are less often asked to speak FastCGI. */
import { checkRow } from "./site.ts";

checkRow({
  name: "Caddy",
  server: "caddy",
  listens: "socket",
  config: ["caddy"],
  cannot: { "what the application logs is in the error log": "Caddy 2.6 drops it" },
});

for (const listens of ["socket", "port"] as const) {
  checkRow({
    name: `HAProxy, ${listens}`,
    server: "haproxy",
    listens,
    config: ["haproxy"],
    // It would die of a line for its own.
    logs: "program",
    cannot: { "a body in chunks arrives": "HAProxy 2.6 wants its length, so that all of it has to fit into its buffer" },
  });
}
