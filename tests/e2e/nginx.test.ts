/** nginx, which buffers unless told otherwise. */
import { checkRow } from "./site.ts";

checkRow({ name: "nginx, Unix socket", server: "nginx", listens: "socket", config: ["nginx", "upload=200m"] });

checkRow({ name: "nginx, kept connections", server: "nginx", listens: "port", config: ["nginx", "upload=200m", "keepalive=8"] });

checkRow({
  name: "nginx, uploads that are not buffered",
  server: "nginx",
  listens: "port",
  site: ({ port, app }) => `
    upstream mysite {
      server 127.0.0.1:${app.port};
      keepalive 8;
    }
    server {
      listen 127.0.0.1:${port};
      location / {
        include fastcgi_params;
        fastcgi_param HTTP_HOST $http_host;
        fastcgi_keep_conn on;
        fastcgi_request_buffering off;
        fastcgi_pass mysite;
      }
    }`,
});
