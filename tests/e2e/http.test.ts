/** HTTP, which has no error log for applications: what the application logs is in the program's. */
import { checkRow } from "./site.ts";

checkRow({
  name: "nginx proxy_pass, TCP",
  server: "nginx",
  protocol: "http",
  listens: "port",
  words: ["trust=127.0.0.1"],
  site: ({ port, app }) => `
    upstream mysite {
      server 127.0.0.1:${app.port};
      keepalive 8;
    }
    server {
      listen 127.0.0.1:${port};
      location / {
        proxy_pass http://mysite;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host "";
        proxy_set_header X-Forwarded-Port "";
        proxy_request_buffering off;
      }
    }`,
  logs: "program",
});

checkRow({
  name: "nginx proxy_pass, Unix socket",
  server: "nginx",
  protocol: "http",
  listens: "socket",
  site: ({ port, app }) => `
    server {
      listen 127.0.0.1:${port};
      location / {
        proxy_pass http://unix:${app.socket};
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host "";
        proxy_set_header X-Forwarded-Port "";
      }
    }`,
  logs: "program",
});

checkRow({
  name: "Apache mod_proxy_http, TCP",
  server: "apache",
  protocol: "http",
  listens: "port",
  words: ["trust=127.0.0.1"],
  site: ({ app }) => `
    ProxyPreserveHost On
    RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}
    RequestHeader unset X-Forwarded-Port
    ProxyPass "/" "http://127.0.0.1:${app.port}/" nocanon`,
  logs: "program",
});

checkRow({
  name: "Apache mod_proxy_http, Unix socket",
  server: "apache",
  protocol: "http",
  listens: "socket",
  site: ({ app }) => `
    ProxyPreserveHost On
    RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}
    RequestHeader unset X-Forwarded-Port
    ProxyPass "/" "unix:${app.socket}|http://localhost/" nocanon`,
  logs: "program",
});

checkRow({
  name: "lighttpd mod_proxy",
  server: "lighttpd",
  protocol: "http",
  listens: "port",
  words: ["trust=127.0.0.1"],
  site: ({ app }) => `
    server.modules += ( "mod_setenv" )
    server.stream-response-body = 1
    setenv.set-request-header = ( "X-Forwarded-Host" => "", "X-Forwarded-Port" => "" )
    proxy.server = ( "" => (( "host" => "127.0.0.1", "port" => ${app.port} )) )`,
  logs: "program",
});

checkRow({
  name: "Caddy reverse_proxy",
  server: "caddy",
  protocol: "http",
  listens: "socket",
  site: ({ app }) => `
    reverse_proxy unix/${app.socket} {
      header_up -X-Forwarded-Port
    }`,
  logs: "program",
});

checkRow({
  name: "HAProxy, HTTP",
  server: "haproxy",
  protocol: "http",
  listens: "port",
  words: ["trust=127.0.0.1"],
  site: ({ app }) => `
    backend app
      option forwardfor
      http-request set-header X-Forwarded-Proto https if { ssl_fc }
      http-request set-header X-Forwarded-Proto http unless { ssl_fc }
      http-request del-header X-Forwarded-Host
      http-request del-header X-Forwarded-Port
      server mysite 127.0.0.1:${app.port}`,
  logs: "program",
});
