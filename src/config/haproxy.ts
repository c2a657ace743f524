/**
 * HAProxy.
 *
 * @module
 */
import { hostPort, networkNote, type Server, type Site, startSteps, titleOf, unmeasuredNote } from "./site.ts";
import type { Line } from "./text.ts";
import { UsageError } from "../options/arguments.ts";

export const haproxy: Server = {
  title: "HAProxy",
  protocols: ["fcgi", "http"],
  refuses: {
    keepalive: "it always keeps connections open",
    program: "it does not start programs",
  },
  file: "haproxy.cfg",
  // No mount is told: for the mount itself there would be no PATH_INFO.
  configuration(site) {
    const { name, protocol, mount, https } = site;
    if (https?.key !== undefined) {
      throw new UsageError(`https has two files, but HAProxy needs one that contains both: https=${https.certificate}`);
    }
    return {
      title: titleOf(site, "HAProxy"),
      steps: [
        ["Add this to", "/etc/haproxy/haproxy.cfg"],
        ["Check and load", "haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl reload haproxy"],
        ...startSteps(site),
      ],
      notes: [
        "An existing frontend only needs the lines acl and use_backend, or default_backend.",
        site.upload !== undefined && unmeasuredNote,
        networkNote(site),
      ],
      lines: [
        `frontend ${name}`,
        frontend(site),
        "",
        ...protocol === "fcgi"
          ? [
            `fcgi-app ${name}`,
            [
              "docroot /",
              mount !== "" && `path-info ^(${mount.replaceAll(/[.+]/g, "\\$&")})(/.*)?$`,
              "# Pass Authorization on.",
              "pass-header Authorization",
            ],
            "",
          ]
          : [],
        `backend ${name}`,
        backend(site),
      ],
    };
  },
};

function frontend({ name, names, listen: { host, port }, https, redirects, mount }: Site): Line[] {
  const exact = names.filter((one) => !one.startsWith("*"));
  const acl = (words: string) => `acl ${name}-host ${words}`;
  const conditions = [names.length > 0 && `${name}-host`, mount !== "" && `${name}-path`].filter(Boolean);
  return [
    "mode http",
    `bind ${host ?? ""}:${port}${https ? ` ssl crt ${https.certificate}` : ""}`,
    redirects && "bind :80",
    redirects && "http-request redirect scheme https code 301 unless { ssl_fc }",
    exact.length > 0 && acl(`hdr(host),field(1,:) -i ${exact.join(" ")}`),
    ...names.filter((one) => one.startsWith("*")).map((one) => acl(`hdr(host),field(1,:) -i -m end ${one.slice(1)}`)),
    mount !== "" && `acl ${name}-path path ${mount}`,
    mount !== "" && `acl ${name}-path path_beg ${mount}/`,
    conditions.length > 0 ? `use_backend ${name} if ${conditions.join(" ")}` : `default_backend ${name}`,
  ];
}

function backend({ name, protocol, endpoints, upload, websocket, ping }: Site): Line[] {
  const several = endpoints.length > 1;
  const suffix = `${protocol === "fcgi" ? " proto fcgi" : ""}${several ? " check inter 2s" : ""}`;
  return [
    "mode http",
    ...protocol === "fcgi" ? [`use-fcgi-app ${name}`] : [
      "option forwardfor",
      "http-request set-header X-Forwarded-Proto https if { ssl_fc }",
      "http-request set-header X-Forwarded-Proto http unless { ssl_fc }",
      "http-request del-header X-Forwarded-Host",
      "http-request del-header X-Forwarded-Port",
    ],
    "option http-no-delay",
    websocket && "# For WebSockets, which may be silent.",
    websocket && "timeout tunnel 1h",
    upload && `http-request deny deny_status 413 if { req.hdr_val(content-length) gt ${upload} }`,
    several && protocol === "http" && ping && "option httpchk",
    several && protocol === "http" && ping && `http-check send meth GET uri ${ping} ver HTTP/1.1 hdr Host localhost`,
    ...several
      ? [
        "option redispatch 1",
        "retries 2",
        "# A kept connection may close just when a request is sent. Only what may be sent twice is.",
        "retry-on conn-failure empty-response",
        "http-request disable-l7-retry unless METH_GET",
        "timeout connect 3s",
      ]
      : [],
    ...endpoints.map((endpoint, i) =>
      `server ${name}${several ? i + 1 : ""} ${"socket" in endpoint ? `unix@${endpoint.socket}` : hostPort(endpoint)}${suffix}`
    ),
  ];
}
