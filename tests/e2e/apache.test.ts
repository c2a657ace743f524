/** Apache's mod_proxy_fcgi, to a program that runs already. */
import { checkRow } from "./site.ts";

checkRow({
  name: "Apache mod_proxy_fcgi, TCP",
  server: "apache",
  listens: "port",
  site: ({ app }) => `
    ProxyPass "/" "fcgi://127.0.0.1:${app.port}/" flushpackets=on
    <Location "/">
      CGIPassAuth On
    </Location>`,
});

checkRow({
  name: "Apache mod_proxy_fcgi, Unix socket and kept connections",
  server: "apache",
  listens: "socket",
  site: ({ app }) => `
    ProxyPass "/" "unix:${app.socket}|fcgi://localhost/" enablereuse=on flushpackets=on
    <Location "/">
      CGIPassAuth On
    </Location>`,
});

checkRow({
  name: "Apache mod_proxy_fcgi, SetHandler",
  server: "apache",
  listens: "socket",
  site: ({ app }) => `
    <Proxy "fcgi://localhost/">
      ProxySet flushpackets=on
    </Proxy>
    <Location "/">
      SetHandler "proxy:unix:${app.socket}|fcgi://localhost/"
      ProxyFCGISetEnvIf true PATH_INFO "%{REQUEST_URI}"
      CGIPassAuth On
    </Location>`,
});
