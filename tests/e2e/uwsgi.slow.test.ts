/** uwsgi, which has no error log of its own: what the application logs is in the program's. */
import { checkRow } from "./site.ts";

checkRow({
  name: "nginx, uwsgi over a Unix socket",
  server: "nginx",
  protocol: "uwsgi",
  listens: "socket",
  config: ["nginx", "upload=200m"],
  logs: "program",
});

checkRow({
  name: "nginx, uwsgi without buffers",
  server: "nginx",
  protocol: "uwsgi",
  listens: "port",
  site: ({ port, app }) => `
    server {
      listen 127.0.0.1:${port};
      location / {
        include uwsgi_params;
        uwsgi_param HTTP_HOST $http_host;
        uwsgi_request_buffering off;
        uwsgi_buffering off;
        uwsgi_pass 127.0.0.1:${app.port};
      }
    }`,
  logs: "program",
});

checkRow({
  name: "Apache mod_proxy_uwsgi",
  server: "apache",
  protocol: "uwsgi",
  listens: "socket",
  config: ["apache"],
  logs: "program",
  cannot: { "a body in chunks arrives": "Apache wants its length and answers 411" },
});

checkRow({
  name: "lighttpd, uwsgi",
  server: "lighttpd",
  protocol: "uwsgi",
  listens: "socket",
  config: ["lighttpd"],
  logs: "program",
});
