/**
 * Web servers, and all else that a configuration is made for.
 *
 * @module
 */
import { programWords } from "../app/application.ts";
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
import { apacheShared, passenger } from "./shared_hosting.ts";
import { readSite, type Server } from "./site.ts";
import { spawnFcgi } from "./spawn_fcgi.ts";
import { systemd } from "./systemd.ts";
import { type Configuration, configurationText } from "./text.ts";
import { nearest, UsageError } from "../options/arguments.ts";

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
