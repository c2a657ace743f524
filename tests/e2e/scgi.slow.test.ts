/** SCGI, which has no error log of its own: what the application logs is in the program's. */
import { checkRow } from "./site.ts";

checkRow({
  name: "nginx, SCGI over a Unix socket",
  server: "nginx",
  protocol: "scgi",
  listens: "socket",
  config: ["nginx", "upload=200m"],
  logs: "program",
});

checkRow({
  name: "nginx, SCGI without buffers",
  server: "nginx",
  protocol: "scgi",
  listens: "port",
  site: ({ port, app }) => `
    server {
      listen 127.0.0.1:${port};
      location / {
        include scgi_params;
        scgi_param HTTP_HOST $http_host;
        scgi_request_buffering off;
        scgi_buffering off;
        scgi_pass 127.0.0.1:${app.port};
      }
    }`,
  logs: "program",
});

checkRow({
  name: "Apache mod_proxy_scgi",
  server: "apache",
  protocol: "scgi",
  listens: "socket",
  config: ["apache"],
  logs: "program",
  cannot: { "a body in chunks arrives": "Apache wants its length and answers 411" },
});

checkRow({
  name: "lighttpd, SCGI",
  server: "lighttpd",
  protocol: "scgi",
  listens: "socket",
  config: ["lighttpd"],
  logs: "program",
});
