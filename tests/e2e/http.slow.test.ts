/** HTTP, which has no error log for applications: what the application logs is in the program's. */
import { checkRow } from "./site.ts";

checkRow({
  name: "nginx proxy_pass, TCP",
  server: "nginx",
  protocol: "http",
  listens: "port",
  config: ["nginx", "upload=200m", "keepalive=8"],
  logs: "program",
});

checkRow({
  name: "nginx proxy_pass, Unix socket",
  server: "nginx",
  protocol: "http",
  listens: "socket",
  config: ["nginx", "upload=200m"],
  logs: "program",
});

checkRow({
  name: "Apache mod_proxy_http, TCP",
  server: "apache",
  protocol: "http",
  listens: "port",
  config: ["apache"],
  logs: "program",
});

checkRow({
  name: "Apache mod_proxy_http, Unix socket",
  server: "apache",
  protocol: "http",
  listens: "socket",
  config: ["apache"],
  logs: "program",
});

checkRow({
  name: "lighttpd mod_proxy",
  server: "lighttpd",
  protocol: "http",
  listens: "port",
  config: ["lighttpd"],
  logs: "program",
});

checkRow({
  name: "Caddy reverse_proxy",
  server: "caddy",
  protocol: "http",
  listens: "socket",
  config: ["caddy"],
  logs: "program",
});

checkRow({
  name: "HAProxy, HTTP",
  server: "haproxy",
  protocol: "http",
  listens: "port",
  config: ["haproxy"],
  logs: "program",
});

checkRow({
  name: "nginx proxy_pass, uploads that are not buffered",
  server: "nginx",
  protocol: "http",
  listens: "port",
  words: ["trust=127.0.0.1"],
  site: ({ port, app }) => `
    server {
      listen 127.0.0.1:${port};
      location / {
        proxy_pass http://127.0.0.1:${app.port};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_request_buffering off;
      }
    }`,
  logs: "program",
});
