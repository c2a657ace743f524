/**
 * The command `config`: prints the configuration of a web server.
 *
 * @module
 */
import process from "node:process";
import { programWords } from "../../app/application.ts";
import { screenOf } from "../../options/terminal.ts";
import { commandPage, optionSection, pageText } from "../../options/usage.ts";
import { apache } from "./apache.ts";
import { modJk } from "./apache_jk.ts";
import { modFastCgi, modScgi } from "./apache_modules.ts";
import { caddy } from "./caddy.ts";
import { cherokee } from "./cherokee.ts";
import { container } from "./container.ts";
import { haproxy } from "./haproxy.ts";
import { kubernetes } from "./kubernetes.ts";
import { lighttpd } from "./lighttpd.ts";
import { logrotate } from "./logrotate.ts";
import { nginx } from "./nginx.ts";
import { configTable, ownOptions } from "./options.ts";
import { apacheShared, passenger } from "./shared_hosting.ts";
import { readSite, type Server } from "./site.ts";
import { spawnFcgi } from "./spawn_fcgi.ts";
import { systemd } from "./systemd.ts";
import { type Configuration, configurationText } from "./text.ts";
import { nearest, UsageError } from "../../options/arguments.ts";

/** The web servers by name. A new one is one line here. */
export const servers: Readonly<Record<string, Server>> = {
  nginx,
  apache,
  "apache-shared": apacheShared,
  mod_jk: modJk,
  mod_fastcgi: modFastCgi,
  mod_scgi: modScgi,
  passenger,
  lighttpd,
  caddy,
  haproxy,
  cherokee,
  "spawn-fcgi": spawnFcgi,
  systemd,
  logrotate,
  container,
  kubernetes,
};

/** Prints a configuration, or help if no server is named. @throws {UsageError} */
export function run(args: readonly string[]): number {
  process.stdout.write(args.length === 0 ? pageText(commandPage(page), screenOf(process.stdout)) : configText(args));
  return 0;
}

/**
 * The configuration that the arguments of `config` ask for.
 *
 * @throws {UsageError}
 */
export function configText([name, ...args]: readonly string[]): string {
  return configurationText(configuration(name, args));
}

/**
 * The configuration of one web server.
 *
 * @param program how the program is started
 * @throws {UsageError}
 */
export function configuration(name: string, args: readonly string[], program: string = programWords()): Configuration {
  const server = serverOf(name);
  return server.configuration(readSite(name, server, args, program));
}

/** @throws {UsageError} if the name is unknown */
export function serverOf(name: string): Server {
  if (Object.hasOwn(servers, name)) return servers[name];
  const near = nearest(name, Object.keys(servers));
  const known = near === undefined ? `expected one of ${Object.keys(servers).join(", ")}` : `did you mean "${near}"?`;
  throw new UsageError(`there is no web server "${name}", ${known}`);
}

export const page = {
  usage: `
runfcgi config SERVER [app] [option=value …]

Prints the configuration of a web server, with the command that starts the program behind it.

  runfcgi config nginx app.ts socket=/run/mysite.sock servername=example.org
  runfcgi config apache app.ts port=3033 protocol=ajp scriptname=/shop
  runfcgi config haproxy app.ts hosts=10.0.0.1:3033,10.0.0.2:3033
  runfcgi config apache-shared program=/home/me/app/mysite.fcgi
`,
  options: configTable,
  sections: [
    {
      title: "Servers",
      rows: Object.entries(servers).map(([name, { title, protocols }]) => [name, `${title} (${protocols.join(", ")})`] as const),
    },
    optionSection("Options, besides those of serving", Object.fromEntries(ownOptions.map((name) => [name, configTable[name]]))),
  ],
  words: Object.keys(servers),
};
