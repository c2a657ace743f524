/** Apache's mod_proxy_fcgi, to a program that runs already. */
import { checkRow } from "./site.ts";

checkRow({ name: "Apache mod_proxy_fcgi, TCP", server: "apache", listens: "port", config: ["apache"] });

checkRow({
  name: "Apache mod_proxy_fcgi, Unix socket and kept connections",
  server: "apache",
  listens: "socket",
  config: ["apache", "keepalive=8"],
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
