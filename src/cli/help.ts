/**
 * What `help` prints.
 *
 * @module
 */
import { version } from "../server/version.ts";
import { commands } from "./commands/commands.ts";
import { groups, optionTable } from "../options/options.ts";
import { entry, optionEntry } from "../options/usage.ts";

/** The help text. @param program how the program was started, for the examples */
export function helpText(program: string): string {
  const options = Object.entries(optionTable).flatMap(([name, option]) => {
    const entry = optionEntry(name, option);
    return "group" in option && option.group ? ["", groups[option.group], entry] : [entry];
  });
  const examples = [
    [`${program} preview=8000`, "look at the welcome page in a browser"],
    [`${program} app.ts preview=8000`, "try an application without a web server"],
    [`${program} app.ts socket=/run/mysite.sock`, "serve on a Unix socket"],
    [`${program} app.ts host=127.0.0.1 port=3033`, "serve on a TCP port"],
    [`${program} exec="node server.js" port=3033`, "serve any program that speaks HTTP"],
    ["mysite.fcgi", "started by the web server: no words needed"],
  ].map(([words, meaning]) => `  ${words.padEnd(program.length + 36)}${meaning}`);
  const rows = Object.entries(commands).map(([name, { help }]) => entry(name, help));
  return `runfcgi ${version} puts a TypeScript application behind a web server.

  ${program} [app] [option=value …]

The app is a module with \`export default { fetch(request, info) { … } }\`, or with an Express, Koa or other
Node-style app. Without one, the program takes mysite.ts beside a program named mysite.fcgi, or app.ts in the
working directory, or shows a welcome page.

Examples
${examples.join("\n")}

Commands
${rows.join("\n")}

Each of init, config, build, doctor, get, replay and explain has a help of its own: get help.

Options, written as name=value, --name=value or --name value. They can also come from the environment, as
RUNFCGI_NAME=value, and from the application, which exports them: export const runfcgi = { maxrequests: 1000 }.
The command line counts for more than the environment, and that for more than the application.
${options.join("\n")}

Signals
  TERM, INT, USR1  finish the requests under way and exit; a second TERM or INT exits at once
  HUP              take over new code: new workers first, then the old ones finish
  USR2             open the log files again (they also follow a rename of their own accord)
  TTIN, TTOU       one worker more, one less
`;
}
