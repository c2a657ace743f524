/**
 * What `help` prints.
 *
 * @module
 */
import { optionTable } from "./options.ts";

/** Version of the program. */
export const version = "0.1.0";

const WIDTH = 100;
const INDENT = 17;

/** The help text. @param program how the program was started, for the examples */
export function helpText(program: string): string {
  const options = Object.entries(optionTable).map(([name, option]) => {
    const lines = wrap(`${option.help} Default: ${option.default}. Example: ${option.example}`, WIDTH - INDENT);
    return `  ${name.padEnd(INDENT - 2)}${lines.join(`\n${" ".repeat(INDENT)}`)}`;
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
  help, version

Options, written as name=value, --name=value or --name value
${options.join("\n")}

Signals
  TERM, INT, USR1  finish the requests under way and exit; a second TERM or INT exits at once
`;
}

function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1];
    if (line && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines;
}
