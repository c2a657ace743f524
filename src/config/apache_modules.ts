/**
 * Apache with modules that are no longer in Debian.
 *
 * @module
 */
import { apacheSite } from "./apache_host.ts";
import { hostPort, type Server } from "./site.ts";

const oneMachine = "it connects to one machine; use apache for several";

export const modFastCgi: Server = {
  title: "Apache with mod_fastcgi",
  protocols: ["fcgi"],
  refuses: {
    hosts: oneMachine,
    keepalive: "it uses a connection for each request",
    program: "use apache-shared, where mod_fcgid starts programs",
  },
  file: "apache.conf",
  servesFolders: true,
  tellsMount: () => true,
  configuration(site) {
    const { name, mount, endpoints: [endpoint] } = site;
    // A name for the program, not a file.
    const file = `/srv/${name}/${name}.fcgi`;
    const address = "socket" in endpoint ? `-socket ${endpoint.socket}` : `-host ${hostPort(endpoint)}`;
    return apacheSite(site, {
      server: "Apache's mod_fastcgi",
      modules: ["fastcgi"],
      foreign: true,
      // Without the folder, Apache responds to everything with 403.
      prepare: `mkdir -p /srv/${name}`,
      before: [`FastCgiExternalServer "${file}" ${address} -flush -idle-timeout 300 -pass-header Authorization`],
      inside: [
        `ScriptAlias "${mount || "/"}" "${file}${mount ? "" : "/"}"`,
        `<Directory "/srv/${name}">`,
        ["Require all granted"],
        "</Directory>",
      ],
      // The Alias above comes first.
      spare: () => undefined,
    });
  },
};

export const modScgi: Server = {
  title: "Apache with mod_scgi",
  protocols: ["scgi"],
  refuses: {
    socket: "it connects over TCP only; give port=3033",
    mode: "it connects over TCP only",
    hosts: oneMachine,
    program: "it starts no programs",
  },
  overTcp: true,
  file: "apache.conf",
  servesFolders: true,
  tellsMount: () => true,
  configuration(site) {
    const { mount, endpoints: [endpoint] } = site;
    return apacheSite(site, {
      server: "Apache's mod_scgi",
      modules: ["scgi"],
      foreign: true,
      inside: [
        "host" in endpoint && `SCGIMount ${mount || "/"} ${hostPort(endpoint)}`,
        `<Location "${mount || "/"}">`,
        ["CGIPassAuth On"],
        "</Location>",
      ],
      spare: (path) => `<Location "${path}">\n    SCGIHandler Off\n  </Location>`,
    });
  },
};
