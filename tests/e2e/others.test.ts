/** Web servers that are less often asked to speak FastCGI. */
import { checkRow } from "./site.ts";

checkRow({
  name: "Caddy",
  server: "caddy",
  listens: "socket",
  site: ({ app }) => `
    reverse_proxy unix/${app.socket} {
      transport fastcgi
      flush_interval -1
    }`,
  cannot: { "what the application logs is in the error log": "Caddy 2.6 drops it" },
});

checkRow({
  name: "HAProxy",
  server: "haproxy",
  listens: "port",
  site: ({ app }) => `
    fcgi-app mysite
      docroot /
      pass-header Authorization
    backend app
      use-fcgi-app mysite
      option http-no-delay
      server mysite 127.0.0.1:${app.port} proto fcgi`,
  // It would die of a line for its own.
  logs: "program",
  cannot: { "a body in chunks arrives": "HAProxy 2.6 wants its length, so that all of it has to fit into its buffer" },
});
