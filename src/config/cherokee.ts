/**
 * Cherokee.
 *
 * @module
 */
import { privatePattern } from "../handlers/static/private.ts";
import { hostPort, networkNote, type Server, startSteps, titleOf, untriedNote } from "./site.ts";

const handlers: Readonly<Record<string, string>> = { fcgi: "fcgi", scgi: "scgi", uwsgi: "uwsgi", http: "proxy" };

export const cherokee: Server = {
  title: "Cherokee",
  protocols: ["fcgi", "scgi", "uwsgi", "http"],
  refuses: {
    listen: "server!bind sets it for all sites",
    websocket: "it passes none on",
    keepalive: "set it for the handler in cherokee-admin",
    program: "start it yourself, or configure an interpreter source in cherokee-admin",
  },
  file: "cherokee.conf",
  servesFolders: true,
  tellsMount: (protocol) => protocol !== "http",
  configuration(site) {
    const { names, folders, mount, protocol, endpoints, https, upload } = site;
    const vserver = (line: string) => `vserver!50!${line}`;
    const rule = (number: number, line: string) => vserver(`rule!${number}!${line}`);
    return {
      title: titleOf(site, "Cherokee"),
      steps: [
        ["Add this to", "/etc/cherokee/cherokee.conf, with numbers that are not used there"],
        ["Check and load", "cherokee -t && service cherokee restart"],
        ...startSteps(site),
      ],
      notes: [untriedNote, networkNote(site)],
      lines: [
        ...endpoints.flatMap((endpoint, i) => [
          `source!${50 + i}!nick = ${site.name}${endpoints.length > 1 ? i + 1 : ""}`,
          `source!${50 + i}!type = host`,
          `source!${50 + i}!host = ${"socket" in endpoint ? endpoint.socket : hostPort(endpoint)}`,
        ]),
        "",
        vserver(`nick = ${site.name}`),
        vserver("document_root = /var/www"),
        vserver("match = wildcard"),
        ...(names.length > 0 ? names : ["*"]).map((name, i) => vserver(`match!domain!${i + 1} = ${name}`)),
        ...https ? ["server!tls = libssl", "server!bind!2!port = 443", "server!bind!2!tls = 1"] : [],
        https && vserver(`ssl_certificate_file = ${https.certificate}`),
        https && vserver(`ssl_certificate_key_file = ${https.key ?? https.certificate}`),
        upload && vserver(`post_max_len = ${upload}`),
        ...folders.flatMap(({ path, folder }, i) => [
          rule(600 - i, "match = request"),
          rule(600 - i, `match!request = (?i)${privatePattern(path)}`),
          rule(600 - i, "handler = custom_error"),
          rule(600 - i, "handler!error = 404"),
          rule(500 - i, "match = directory"),
          rule(500 - i, `match!directory = ${path.slice(0, -1)}`),
          rule(500 - i, `document_root = ${folder.slice(0, -1)}`),
          rule(500 - i, "handler = file"),
        ]),
        ...mount ? [rule(400, "match = directory"), rule(400, `match!directory = ${mount}`)] : [rule(400, "match = default")],
        rule(400, `handler = ${handlers[protocol]}`),
        rule(400, "handler!check_file = 0"),
        rule(400, "handler!pass_req_headers = 1"),
        rule(400, "handler!balancer = round_robin"),
        ...endpoints.map((_, i) => rule(400, `handler!balancer!source!${i + 1} = ${50 + i}`)),
      ],
    };
  },
};
