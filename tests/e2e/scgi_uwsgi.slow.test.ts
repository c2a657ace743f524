/** SCGI and uwsgi, which have no error log of their own: what the application logs is in the program's. */
import { checkRow } from "./site.ts";

for (const [protocol, label] of [["scgi", "SCGI"], ["uwsgi", "uwsgi"]] as const) {
  checkRow({
    name: `nginx, ${label} over a Unix socket`,
    server: "nginx",
    protocol,
    listens: "socket",
    config: ["nginx", "upload=200m"],
    logs: "program",
  });

  checkRow({
    name: `nginx, ${label} without buffers`,
    server: "nginx",
    protocol,
    listens: "port",
    site: ({ port, app }) => `
    server {
      listen 127.0.0.1:${port};
      location / {
        include ${protocol}_params;
        ${protocol}_param HTTP_HOST $http_host;
        ${protocol}_request_buffering off;
        ${protocol}_buffering off;
        ${protocol}_pass 127.0.0.1:${app.port};
      }
    }`,
    logs: "program",
  });

  checkRow({
    name: `Apache mod_proxy_${protocol}`,
    server: "apache",
    protocol,
    listens: "socket",
    config: ["apache"],
    logs: "program",
    cannot: { "a body in chunks arrives": "Apache wants its length and answers 411" },
  });

  checkRow({
    name: `lighttpd, ${label}`,
    server: "lighttpd",
    protocol,
    listens: "socket",
    config: ["lighttpd"],
    logs: "program",
  });
}
