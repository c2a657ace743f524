/**
 * Help, the manual page and completion: all from the tables of commands and options.
 *
 * @module
 */
import process from "node:process";
import { type Built, programWords } from "../app/application.ts";
import { type Option, type OptionTable, suggestion, UsageError } from "../options/arguments.ts";
import { shells } from "../options/completion.ts";
import { manualPage } from "../options/manpage.ts";
import { markdownText } from "../options/markdown.ts";
import { groups, optionTable } from "../options/options.ts";
import { type Screen, screenOf } from "../options/terminal.ts";
import { commandPage, optionSection, type Page, pageText, type Section } from "../options/usage.ts";
import { version } from "../server/version.ts";
import { budgetRows, findBudget } from "../supervisor/budget.ts";
import { commands, isCommand, usageOf } from "./commands/commands.ts";
import { chapterFile, chapters } from "./manual.ts";
import { textAt } from "./texts.ts";

const summary = "puts a TypeScript application behind a web server";

/** The page about the program. @param program how the program was started, for the examples */
function mainPage(program: string): Page {
  return {
    text: `
runfcgi ${version} ${summary}.

  ${program} [app] [option=value …]
  ${program} COMMAND …

The app is a module with \`export default { fetch(request, info) { … } }\`, or with an Express, Koa or other Node-style app. \
Without one, the program takes mysite.ts beside a program named mysite.fcgi, or app.ts in the working directory, or shows a \
welcome page.`,
    sections: [
      {
        title: "Examples",
        rows: [
          [`${program} preview=8000`, "look at the welcome page in a browser"],
          [`${program} app.ts preview=8000`, "try an application without a web server"],
          [`${program} app.ts socket=/run/mysite.sock`, "serve on a Unix socket"],
          [`${program} app.ts host=127.0.0.1 port=3033`, "serve on a TCP port"],
          [`${program} exec="node server.js" port=3033`, "serve any program that speaks HTTP"],
          ["mysite.fcgi", "started by the web server: no arguments needed"],
        ],
      },
      {
        title: "Commands (COMMAND help prints more about one)",
        rows: Object.entries(commands).map(([name, { summary }]) => [name, summary]),
      },
      { title: "Chapters of the manual (help NAME prints one)", rows: Object.entries(chapters) },
      ...optionSections(),
      {
        title: "Signals",
        rows: [
          ["TERM, INT, USR1", "finish the requests in flight and exit; a second TERM or INT exits at once"],
          ["HUP", "load new code: first new workers start, then the old ones finish"],
          ["USR2", "reopen the log files (they also follow a rename by themselves)"],
          ["TTIN, TTOU", "add a worker, remove a worker"],
        ],
      },
      {
        title: "Exit status",
        rows: [["0", "success"], ["1", "failure"], ["2", "invalid arguments"]],
      },
    ],
  };
}

/** The options of serving by group. */
function optionSections(): Section[] {
  const sections: { title: string; table: Record<string, Option> }[] = [];
  for (const [name, option] of Object.entries(optionTable)) {
    if ("group" in option) sections.push({ title: groups[option.group], table: {} });
    sections.at(-1)!.table[name] = option;
  }
  const how = {
    title: "Options",
    rows: [
      ["Command line", "name=value, --name=value or --name value. Overrides the environment and the application."],
      ["Environment", "RUNFCGI_NAME=value. Overrides the application."],
      ["Application", "export const runfcgi = { maxrequests: 1000 }"],
    ],
  } as const;
  return [how, ...sections.map(({ title, table }) => optionSection(title, table))];
}

/** The help text about the program. */
export function helpText(program: string, screen: Screen = screenOf(process.stdout)): string {
  return pageText(mainPage(program), screen);
}

/** The help text about a command. */
export async function commandHelp(name: string, screen: Screen = screenOf(process.stdout)): Promise<string> {
  return pageText(commandPage(await usageOf(name)), screen);
}

/** A chapter of the manual. */
async function chapterHelp(name: string, built: Built, screen: Screen): Promise<string> {
  const linked = (target: string) => {
    const [, file] = /^(?:.*\/)?([\w-]+)\.md/.exec(target) ?? [];
    return file !== undefined && Object.hasOwn(chapters, file) ? `help ${file}` : undefined;
  };
  return markdownText(await textAt(chapterFile(name), built.texts), screen, linked);
}

/** The chapter that is meant by a word of its name or its summary. */
function chapterAbout(word: string): string | undefined {
  const told = (text: string) => text.toLowerCase().split(/[^a-z.]+/).includes(word.toLowerCase());
  const names = Object.keys(chapters);
  return names.find((name) => told(name)) ?? names.find((name) => word.length > 3 && name.startsWith(word)) ??
    names.find((name) => told(chapters[name]));
}

/** The help text about a topic. @throws {UsageError} if there is none */
export async function topicHelp(topic: string, screen: Screen = screenOf(process.stdout), built: Built = {}): Promise<string> {
  if (topic === "budget") {
    const title = "The defaults that follow from the limits of this host";
    return pageText({ text: "", sections: [{ title, rows: budgetRows(findBudget()) }] }, screen).trimStart();
  }
  if (Object.hasOwn(chapters, topic)) return await chapterHelp(topic, built, screen);
  if (isCommand(topic)) return await commandHelp(topic, screen);
  const tables = await optionTables();
  // Most commands take an option of serving, or of another command, as it is.
  const found = new Map<string, { option: Option; owners: string[] }>();
  for (const [owner, { [topic]: option }] of tables.filter(([, table]) => Object.hasOwn(table, topic))) {
    const { owners } = found.get(option.help) ?? found.set(option.help, { option, owners: [] }).get(option.help)!;
    owners.push(owner);
  }
  if (found.size === 0) {
    const names = [...Object.keys(commands), ...Object.keys(chapters), ...tables.flatMap(([, table]) => Object.keys(table))];
    const chapter = chapterAbout(topic);
    throw new UsageError(
      `there is no help about "${topic}"${chapter === undefined ? suggestion(topic, names) : `, but a chapter: help ${chapter}`}`,
    );
  }
  return [...found.values()].map(({ option, owners }) => pageText(optionPage(topic, owners, option), screen)).join("\n");
}

async function optionTables(): Promise<(readonly [command: string, table: OptionTable])[]> {
  const others = Object.keys(commands).map(async (name) => [name, (await usageOf(name)).options] as const);
  return [["", optionTable], ...await Promise.all(others)];
}

/** @param owners commands that have the option; "" for serving */
function optionPage(name: string, owners: readonly string[], option: Option): Page {
  const { kind, short, help, default: value, example, repeatable } = option;
  const serving = owners.includes("");
  const rows = [
    ["Value", kind ? `${kind.name}${repeatable ? "; repeatable" : ""}` : "none: a flag"],
    ["Default", value],
    ["Example", example],
    ["Short", short && `-${short}`],
    ["Environment", serving ? `RUNFCGI_${name.toUpperCase()}` : undefined],
  ] as const;
  return {
    text: `${name}${serving ? "" : ` (${owners.join(", ")})`}\n\n${help}`,
    sections: [{ title: "Use", rows: rows.flatMap(([label, text]) => text === undefined ? [] : [[label, text] as const]) }],
  };
}

/** The source of the manual page. */
export async function manual(): Promise<string> {
  const pages = Object.keys(commands).map(async (name) => ({ name, page: commandPage(await usageOf(name)) }));
  return manualPage({ name: "runfcgi", version, summary, page: mainPage("runfcgi"), commands: await Promise.all(pages) });
}

/** A script for a shell. @throws {UsageError} if the shell is unknown */
export async function completion([shell, ...more]: readonly string[]): Promise<string> {
  if (shell === undefined || more.length > 0 || !Object.hasOwn(shells, shell)) {
    throw new UsageError(`completion for which shell? Give one of ${Object.keys(shells).join(", ")}`);
  }
  const named = Object.entries(commands).map(async ([name, { summary }]) => {
    const { options, words } = await usageOf(name);
    return { name, summary, options, words: name === "help" ? [...Object.keys(commands), ...Object.keys(chapters)] : words };
  });
  return shells[shell]("runfcgi", [{ name: "", summary: "", options: optionTable }, ...await Promise.all(named)]);
}

/** What `help`, with or without a topic, prints. */
export async function help(words: readonly string[], built: Built): Promise<string> {
  const [topic, ...more] = words;
  if (topic === undefined) return helpText(programWords());
  // As people say it: help shared hosting.
  const chapter = words.join("-");
  if (more.length > 0 && !Object.hasOwn(chapters, chapter)) {
    throw new UsageError(`help about which? Give one of ${words.join(" and ")}`);
  }
  return await topicHelp(chapter, screenOf(process.stdout), built);
}
