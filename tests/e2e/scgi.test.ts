/** SCGI, which has no error log of its own: what the application logs is in the program's. */
import { checkRow } from "./site.ts";

checkRow({
  name: "nginx, SCGI over a Unix socket",
  server: "nginx",
  protocol: "scgi",
  listens: "socket",
  site: ({ port, app }) => `
    server {
      listen 127.0.0.1:${port};
      location / {
        include scgi_params;
        scgi_param HTTP_HOST $http_host;
        scgi_pass unix:${app.socket};
      }
    }`,
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
  site: ({ app }) => `
    ProxyPass "/" "unix:${app.socket}|scgi://localhost/"
    <Location "/">
      CGIPassAuth On
    </Location>`,
  logs: "program",
  cannot: { "a body in chunks arrives": "Apache wants its length and answers 411" },
});

checkRow({
  name: "lighttpd, SCGI",
  server: "lighttpd",
  protocol: "scgi",
  listens: "socket",
  site: ({ app }) => `
    server.stream-response-body = 1
    scgi.server = ( "/" => ((
      "socket" => "${app.socket}",
      "check-local" => "disable",
      "fix-root-scriptname" => "enable",
    )) )`,
  logs: "program",
});
