/**
 * What all configurations of an Apache with a site of its own share: the virtual host around the way to the program.
 *
 * @module
 */
import { privatePattern } from "../handlers/static/private.ts";
import { networkNote, type Site, startSteps, titleOf, unmeasuredNote, untriedNote } from "./site.ts";
import type { Configuration, Line } from "./text.ts";

/** What leads to the program. */
export interface ApacheWay {
  /** What the web server is called in the title. */
  server: string;
  /** Modules to be switched on. */
  modules: readonly string[];
  /** Directives before the virtual host. */
  before?: readonly Line[];
  /** Directives in it. */
  inside: readonly Line[];
  /** A directive that keeps a path from the program. */
  spare(path: string): string | undefined;
  /** Apache does not count what its proxy modules pass on, so that the length is looked at before. */
  uncounted?: boolean;
  /** A module that Debian does not have. */
  foreign?: boolean;
  /** A command that is needed first. */
  prepare?: string;
}

/** The file of a site. */
export function apacheSite(
  site: Site,
  { server, modules, before = [], inside, spare, uncounted = false, foreign = false, prepare }: ApacheWay,
): Configuration {
  const { name, names, listen: { host, port }, https, upload, folders } = site;
  const all = [
    ...foreign ? [] : modules,
    ...folders.length > 0 || site.redirects ? ["alias"] : [],
    ...https ? ["ssl"] : [],
    ...upload && uncounted ? ["rewrite"] : [],
  ];
  const file = `/etc/apache2/sites-available/${name}.conf`;
  const host80 = [`<VirtualHost *:80>`, [...serverNames(names), ...redirect(names)], "</VirtualHost>", ""];
  return {
    title: titleOf(site, server),
    steps: [
      ["Put this into", file],
      ...foreign ? [["Needs", modules.map((module) => `mod_${module}`).join(", ")] as const] : [],
      ...all.length > 0 ? [["Enable modules", `a2enmod ${all.join(" ")}`] as const] : [],
      ...prepare === undefined ? [] : [["Create", prepare] as const],
      ["Check and load", `a2ensite ${name} && apachectl configtest && apachectl restart`],
      ...startSteps(site),
    ],
    notes: [foreign && untriedNote, upload !== undefined && uncounted && unmeasuredNote, networkNote(site)],
    lines: [
      port !== 80 && port !== 443 && `Listen ${host === undefined ? port : `${host}:${port}`}`,
      ...before,
      "",
      ...site.redirects ? host80 : [],
      `<VirtualHost ${host ?? "*"}:${port}>`,
      [
        ...serverNames(names),
        ...https
          ? [
            "SSLEngine on",
            `SSLCertificateFile "${https.certificate}"`,
            https.key && `SSLCertificateKeyFile "${https.key}"`,
          ]
          : [],
        ...upload ? uploadLimit(upload, uncounted) : [],
        "",
        ...folders.flatMap(({ path, folder }) => [
          "# Files, except private ones.",
          `Alias "${path}" "${folder}"`,
          `RedirectMatch 404 "(?i)${privatePattern(path)}"`,
          `<Directory "${folder}">`,
          ["Require all granted"],
          "</Directory>",
          spare(path),
          "",
        ]),
        ...inside,
      ],
      "</VirtualHost>",
    ],
  };
}

function uploadLimit(bytes: number, uncounted: boolean): Line[] {
  if (!uncounted) return [`LimitRequestBody ${bytes}`];
  return [
    "RewriteEngine On",
    `RewriteCond expr "%{HTTP:Content-Length} -gt ${bytes}"`,
    "RewriteRule ^ - [R=413]",
  ];
}

function serverNames([first, ...others]: readonly string[]): Line[] {
  return [
    first && `ServerName ${first}`,
    others.length > 0 && `ServerAlias ${others.join(" ")}`,
  ];
}

function redirect([name]: readonly string[]): Line[] {
  if (name !== undefined && !name.startsWith("*")) return [`Redirect permanent "/" "https://${name}/"`];
  return ['<Location "/">', ['Redirect permanent "https://%{HTTP_HOST}%{REQUEST_URI}"'], "</Location>"];
}
