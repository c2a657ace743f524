/**
 * Apache with mod_jk, Tomcat's module.
 *
 * @module
 */
import { apacheSite } from "./apache_host.ts";
import type { Server, Site } from "./site.ts";
import type { Line } from "./text.ts";

export const modJk: Server = {
  title: "Apache with mod_jk, which speaks AJP",
  protocols: ["ajp"],
  refuses: {
    socket: "it connects over TCP only; give port=3033",
    mode: "it connects over TCP only",
    keepalive: "it always keeps connections open",
    program: "it does not start programs",
  },
  overTcp: true,
  file: "apache.conf",
  servesFolders: true,
  configuration: (site) =>
    apacheSite(site, {
      server: "Apache's mod_jk",
      modules: ["jk"],
      before: workers(site),
      inside: ["JkOptions +ForwardURICompatUnparsed", `JkMount "${site.mount ? `${site.mount}|` : ""}/*" ${site.name}`],
      spare: (path) => `JkUnMount "${path}*" ${site.name}`,
    }),
};

function workers({ name, endpoints, secret, packetSize }: Site): Line[] {
  const several = endpoints.length > 1;
  const names = endpoints.map((_, i) => several ? `${name}${i + 1}` : name);
  const property = (words: string) => `JkWorkerProperty worker.${words}`;
  return [
    property(`list=${name}`),
    ...several ? [property(`${name}.type=lb`), property(`${name}.balance_workers=${names.join(",")}`)] : [],
    ...endpoints.flatMap((endpoint, i) => [
      property(`${names[i]}.type=ajp13`),
      ..."host" in endpoint ? [property(`${names[i]}.host=${endpoint.host}`), property(`${names[i]}.port=${endpoint.port}`)] : [],
      property(`${names[i]}.ping_mode=A`),
      secret && property(`${names[i]}.secret=${secret}`),
      packetSize && property(`${names[i]}.max_packet_size=${packetSize}`),
    ]),
  ];
}
