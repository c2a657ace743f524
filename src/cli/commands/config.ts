/**
 * The command `config`: prints the configuration of a web server.
 *
 * @module
 */
import process from "node:process";
import { screenOf } from "../../options/terminal.ts";
import { commandPage, optionSection, pageText } from "../../options/usage.ts";
import { configTable, ownOptions } from "../../config/options.ts";
import { configText, servers } from "../../config/servers.ts";

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

/** Prints a configuration, or help if no server is named. @throws {UsageError} */
export function run(args: readonly string[]): number {
  process.stdout.write(args.length === 0 ? pageText(commandPage(page), screenOf(process.stdout)) : configText(args));
  return 0;
}
