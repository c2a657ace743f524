/**
 * What the program can do besides serving. A new command is one entry here.
 *
 * @module
 */
import type { Built } from "../../app/application.ts";
import { namingOptions, optionTable } from "../../options/options.ts";
import type { CommandUsage } from "../../options/usage.ts";
import { json } from "./output.ts";

/** A command that parses its own arguments. */
export interface CommandModule {
  page: CommandUsage;
  /** Runs it with the arguments behind its name and resolves with the exit status. */
  run(args: readonly string[], built: Built): number | Promise<number>;
}

export interface Command {
  /** What it does, for the list of commands. */
  summary: string;
  /** Loaded only when it is asked for. */
  load?(): Promise<CommandModule>;
  /** Of a command that takes the options of serving. */
  page?: CommandUsage;
}

const { pidfile, grace } = optionTable;
const running = { ...pidfile, default: undefined, help: "The pidfile that the server was started with." };

/** All commands by name, in the order of the help. */
export const commands: Readonly<Record<string, Command>> = {
  help: {
    summary:
      "prints this; help NAME is about a command, an option or a chapter of the manual, help budget about the host's limits",
    page: {
      usage:
        "runfcgi help [COMMAND|OPTION|CHAPTER|budget]\n\nPrints help, or a chapter of the manual.\n\n  runfcgi help get\n  runfcgi help socket\n  runfcgi help nginx",
      options: {},
    },
  },
  version: {
    summary: "prints the version, the runtime and the target",
    page: {
      usage: "runfcgi version\n\nPrints the version, the commit it was built of, the runtime and the target.",
      options: {},
    },
  },
  init: {
    summary: "creates a working site in a folder: init mysite for=nginx",
    load: () => import("./init.ts"),
  },
  config: {
    summary: "prints the configuration of a web server: config nginx; alone it lists the servers",
    load: () => import("./config.ts"),
  },
  build: {
    summary: "builds one file with the application inside, which needs nothing else: build app.ts -o mysite.fcgi",
    load: () => import("./build.ts"),
  },
  types: {
    summary: 'has editors know what an application imports from "runfcgi": types mysite',
    load: () => import("./types.ts"),
  },
  stop: {
    summary: "stops a server by its name or pidfile, after the requests in flight",
    page: {
      usage:
        "runfcgi stop NAME|pidfile=PATH|socket=PATH\n\nStops a server and waits until it has ended. Requests in flight are finished.",
      options: { ...namingOptions, grace },
    },
  },
  restart: {
    summary: "replaces the server by a new one, without a refused connection",
    page: {
      usage:
        "runfcgi restart pidfile=PATH [app] [option=value …]\n\nReplaces a server in the background by a new one with the same " +
        "arguments, or with those that are given, and waits until the new one serves. No connection is refused. If the new " +
        "one cannot start, the old one goes on. All options of serving are accepted.",
      options: { pidfile: running, grace },
    },
  },
  reload: {
    summary: "loads new code without a refused connection, and waits until it serves",
    page: {
      usage:
        "runfcgi reload NAME|pidfile=PATH|socket=PATH\n\nMakes a server load the new code of its application, and waits until that serves. " +
        "If it cannot be loaded, the old code goes on. A server without a pidfile is signalled, and only its log says what came " +
        "of it.",
      options: namingOptions,
    },
  },
  status: {
    summary: "shows whether the server runs, and what it does; --json for programs",
    page: {
      usage:
        "runfcgi status NAME|pidfile=PATH|socket=PATH [--json]\n\nShows whether a server runs, its workers and the requests in flight. The exit " +
        "status is 0 if it runs, otherwise 1.",
      options: { ...namingOptions, json },
    },
  },
  ls: {
    summary: "lists the servers that run, with their names",
    load: () => import("./ls.ts"),
  },
  logs: {
    summary: "prints the end of a server's log; -f keeps printing",
    load: () => import("./logs.ts"),
  },
  down: {
    summary: "takes a site down for maintenance: visitors get maintenance.html",
    load: () => import("./down.ts"),
  },
  up: {
    summary: "brings a site up again that is down for maintenance",
    load: () => import("./down.ts").then(({ page, runUp }) => ({ page, run: runUp })),
  },
  doctor: {
    summary: "checks everything between a visitor and the application, and says how to fix problems",
    load: () => import("./doctor.ts"),
  },
  get: {
    summary: "sends a request to an endpoint, or to an application without a server, as a web server would",
    load: () => import("./get.ts"),
  },
  replay: {
    summary: "gives captured requests to an application, and shows its responses",
    load: () => import("./replay.ts"),
  },
  explain: {
    summary: "shows which variables the URL of a request comes from",
    load: () => import("./explain.ts"),
  },
  completion: {
    summary: "prints completion for a shell: completion bash|zsh|fish",
    page: {
      usage: `runfcgi completion bash|zsh|fish

Prints a script that completes commands, options and their values.

  eval "$(runfcgi completion bash)"                              in ~/.bashrc
  eval "$(runfcgi completion zsh)"                               in ~/.zshrc, behind compinit
  runfcgi completion fish > ~/.config/fish/completions/runfcgi.fish`,
      options: {},
      words: ["bash", "zsh", "fish"],
    },
  },
  manpage: {
    summary: "prints the manual page, in the format of man",
    page: {
      usage: "runfcgi manpage\n\nPrints the manual page.\n\n  runfcgi manpage > /usr/local/share/man/man1/runfcgi.1",
      options: {},
    },
  },
};

/** Whether an argument is the name of a command. */
export function isCommand(word: string): boolean {
  return Object.hasOwn(commands, word);
}

/** What a command's help is made of. */
export async function usageOf(name: string): Promise<CommandUsage> {
  const { load, page } = commands[name];
  return page ?? (await load!()).page;
}
