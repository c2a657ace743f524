/**
 * What `help` prints.
 *
 * @module
 */
import { version } from "../server/version.ts";
import { groups, type Option, optionTable } from "./options.ts";

const WIDTH = 100;
const INDENT = 17;

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
  return `runfcgi ${version} puts a TypeScript application behind a web server.

  ${program} [app] [option=value …]

The app is a module with \`export default { fetch(request, info) { … } }\`, or with an Express, Koa or other
Node-style app. Without one, the program takes mysite.ts beside a program named mysite.fcgi, or app.ts in the
working directory, or shows a welcome page.

Examples
${examples.join("\n")}

Commands
  help             prints this; help=budget shows how defaults follow from the limits of the host
  version          prints the version
  init             writes a site that works into a folder: init mysite for=nginx
  config           prints the configuration of a web server: config nginx; alone it lists the servers
  build app.ts     makes one file with the application inside, which needs nothing else: -o mysite.fcgi names it,
                   --target linux-arm64 is another machine
  stop             stops the server of pidfile=PATH: the requests under way are finished
  restart          stops it and starts it with the words given
  reload           makes it take over new code without a refused connection
  status           tells whether it runs
  doctor           looks at all between a visitor and the application, and says what to do about problems
  get              asks an endpoint as a web server would, and shows what passes; get help tells more
  replay           gives an application what capture has kept, and shows its answer
  explain          tells where the URL of a request comes from

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

/** What the help says of one option. */
export function optionEntry(name: string, { help, default: value, example }: Option<unknown>): string {
  const lines = wrap(`${help} Default: ${value}. Example: ${example}`, WIDTH - INDENT);
  return `  ${name.padEnd(INDENT - 2)}${lines.join(`\n${" ".repeat(INDENT)}`)}`;
}

/** Lines of at most this many characters. */
export function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1];
    if (line && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines;
}
