/**
 * Apache with its own proxy modules.
 *
 * @module
 */
import { apacheSite } from "./apache_host.ts";
import type { Endpoint } from "./options.ts";
import { hostPort, type Server, type Site } from "./site.ts";
import type { Line } from "./text.ts";

const schemes: Readonly<Record<string, string>> = { fcgi: "fcgi", scgi: "scgi", ajp: "ajp", uwsgi: "uwsgi", http: "http" };

export const apache: Server = {
  title: "Apache with mod_proxy_fcgi, or the module of another protocol",
  protocols: ["fcgi", "scgi", "ajp", "uwsgi", "http"],
  refuses: { program: "mod_proxy does not start programs; use apache-shared" },
  file: "apache.conf",
  servesFolders: true,
  tellsMount: (protocol) => protocol === "fcgi" || protocol === "uwsgi",
  configuration(site) {
    const { protocol, endpoints } = site;
    const balancer = ["proxy_balancer", "proxy_hcheck", "lbmethod_byrequests", "slotmem_shm"];
    return apacheSite(site, {
      server: `Apache's mod_proxy_${schemes[protocol]}`,
      modules: [
        "proxy",
        `proxy_${schemes[protocol]}`,
        ...protocol === "http" ? ["headers"] : [],
        ...trustsLength(protocol) ? ["env"] : [],
        ...protocol === "fcgi" && site.mount ? ["setenvif"] : [],
        ...endpoints.length > 1 ? balancer : [],
      ],
      inside: inside(site),
      uncounted: protocol === "fcgi" || protocol === "ajp" || protocol === "http",
      spare: (path) => `ProxyPass "${path}" "!"`,
    });
  },
};

/** Whether Apache drops the Content-Length of responses unless it is told to trust it. */
const trustsLength = (protocol: string) => protocol === "fcgi" || protocol === "scgi" || protocol === "ajp";

function inside(site: Site): Line[] {
  const { name, protocol, endpoints, mount, packetSize } = site;
  const path = mount || "/";
  const below = remotePath(site);
  const way = endpoints.length > 1
    ? [
      `<Proxy "balancer://${name}">`,
      endpoints.map((endpoint) => `BalancerMember "${remote(site, endpoint)}" ${parameters(site)}`),
      "</Proxy>",
      `ProxyPass "${path}" "balancer://${name}${below}"${canonical(site)}`,
    ]
    : [`ProxyPass "${path}" "${remote(site, endpoints[0])}${below}" ${parameters(site)}${canonical(site)}`.trimEnd()];
  return [
    ...protocol === "http"
      ? [
        "ProxyPreserveHost On",
        "# Otherwise a visitor could have the next line dropped (RFC 9110, 7.6.1).",
        'RequestHeader edit* Connection "(?i)X-Forwarded-Proto" "-"',
        "RequestHeader set X-Forwarded-Proto expr=%{REQUEST_SCHEME}",
        "RequestHeader unset X-Forwarded-Port",
      ]
      : [],
    packetSize && `ProxyIOBufferSize ${packetSize}`,
    ...trustsLength(protocol)
      ? ["# Keep the Content-Length of responses, which Apache has dropped since 2.4.59.", "SetEnv ap_trust_cgilike_cl 1"]
      : [],
    ...protocol === "fcgi" && mount ? [`SetEnvIf Request_URI "^" proxy-fcgi-pathinfo=unescape`] : [],
    ...way,
    // AJP and HTTP pass Authorization on by default.
    ...["fcgi", "scgi", "uwsgi"].includes(protocol)
      ? ["# Pass Authorization on.", `<Location "${path}">`, ["CGIPassAuth On"], "</Location>"]
      : [],
  ];
}

/** The path in the program's URL, without the mount where the module strips it. */
function remotePath({ protocol, mount }: Site): string {
  return mount === "" ? "/" : protocol === "fcgi" ? "" : protocol === "uwsgi" ? "" : mount;
}

/** The program's URL. Its host name is the site's, since mod_proxy shares workers of one name. */
function remote({ name, protocol }: Site, endpoint: Endpoint): string {
  const scheme = schemes[protocol];
  return "socket" in endpoint ? `unix:${endpoint.socket}|${scheme}://${name}` : `${scheme}://${hostPort(endpoint)}`;
}

function parameters({ protocol, endpoints, keepalive, websocket, secret, packetSize, ping }: Site): string {
  const several = endpoints.length > 1;
  const check = protocol === "http" && ping ? `hcmethod=GET hcuri=${ping}` : "hcmethod=TCP";
  return [
    protocol === "fcgi" && keepalive !== undefined && "enablereuse=on",
    keepalive !== undefined && `max=${keepalive}`,
    protocol === "fcgi" && "flushpackets=on",
    websocket && "upgrade=websocket",
    protocol === "ajp" && secret !== undefined && `secret=${secret}`,
    protocol === "ajp" && "ping=10",
    protocol === "ajp" && packetSize !== undefined && `iobuffersize=${packetSize}`,
    several && `connectiontimeout=3 retry=10 ${check} hcinterval=10`,
  ].filter(Boolean).join(" ");
}

/** Passes the path on as the visitor requested it. */
function canonical({ protocol }: Site): string {
  return protocol === "ajp" || protocol === "http" ? " nocanon" : "";
}
