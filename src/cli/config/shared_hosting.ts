/**
 * Shared hosting, where all that one may write is a `.htaccess`.
 *
 * @module
 */
import type { ConfigOption } from "./options.ts";
import { programStep, type Server, type Site } from "./site.ts";
import type { Configuration } from "./text.ts";
import { UsageError } from "../words.ts";

const hostOwn = "it is the host's to set";
const started = "the web server starts the program, which finds its socket on descriptor 0";

/** What is not in the hands of who writes a `.htaccess`. */
const refuses: Partial<Record<ConfigOption, string>> = {
  socket: started,
  host: started,
  port: started,
  mode: started,
  hosts: started,
  keepalive: hostOwn,
  listen: hostOwn,
  https: hostOwn,
  servername: hostOwn,
  scriptname: "put the files into the subfolder, and the program knows where it is",
  static: "files in the folder of the site are served by the web server",
};

export const apacheShared: Server = {
  title: "Apache with mod_fcgid on shared hosting: a .htaccess",
  protocols: ["fcgi"],
  refuses: { ...refuses, upload: "ask the host for FcgidMaxRequestLen, which no .htaccess can set" },
  file: ".htaccess",
  starts: true,
  servesFolders: false,
  tellsMount: () => true,
  configuration: (site) => site.program === undefined ? beside(site) : outside(site, site.program),
};

const hostLimits = "Uploads above 128 KiB need the host to raise FcgidMaxRequestLen, server-sent events FcgidOutputBufferSize 0.";

/** The program in the folder of the site. */
function beside({ name, words }: Site): Configuration {
  if (words.length > 0) {
    throw new UsageError(
      `a program in the folder of the site is told nothing, not ${words[0]}: export it from the application, ` +
        `export const runfcgi = { … }, or keep the program elsewhere with program=PATH`,
    );
  }
  return {
    title: `${name} on shared hosting: Apache's mod_fcgid starts ${name}.fcgi with the first request.`,
    steps: [
      ["Put this into", ".htaccess in the folder of the site, which can be a subfolder"],
      ["Beside it", `${name}.fcgi, the compiled program (mode 755), and ${name}.ts, the application`],
      ["Look at", `the site; a mistake in the application is in .ht${name}.log beside the program, or in Apache's error log`],
    ],
    notes: [hostLimits],
    lines: [
      "Options +ExecCGI",
      "AddHandler fcgid-script .fcgi",
      "CGIPassAuth On",
      "",
      "RewriteEngine On",
      "# Files that exist are served by Apache, except the source and the log of the application.",
      "RewriteCond %{REQUEST_FILENAME} !-f [OR]",
      String.raw`RewriteCond %{REQUEST_FILENAME} /\.ht|\.tsx?$`,
      `RewriteRule ^ ${name}.fcgi [L]`,
    ],
  };
}

/** The program where no visitor gets. */
function outside({ name, words }: Site, program: string): Configuration {
  return {
    title: `${name} on shared hosting: Apache's mod_fcgid starts ${program} with the first request.`,
    steps: [
      ["Put this into", ".htaccess in the folder of the site, which can be a subfolder"],
      programStep(program, "Elsewhere"),
      ["Look at", `the site; a mistake in the application is in .ht${name}.log beside the program, or in Apache's error log`],
    ],
    notes: ["Nothing of the program is in the folder, so that no mistake can give it away.", hostLimits],
    lines: [
      "Options +ExecCGI",
      "AddHandler fcgid-script .fcgi",
      `FcgidWrapper ${words.length > 0 ? `"${[program, ...words].join(" ")}"` : program} .fcgi virtual`,
      "CGIPassAuth On",
      "",
      "RewriteEngine On",
      "# Files that exist are served by Apache.",
      "RewriteCond %{REQUEST_FILENAME} !-f",
      String.raw`RewriteCond %{REQUEST_URI} !/${name}\.fcgi$`,
      `RewriteRule ^ ${name}.fcgi [L]`,
    ],
  };
}

export const passenger: Server = {
  title: "Passenger, as cPanel has it: a .htaccess",
  protocols: ["http"],
  refuses: { ...refuses, upload: "Passenger has no limit of its own; ask the host for LimitRequestBody" },
  file: ".htaccess",
  starts: true,
  servesFolders: false,
  tellsMount: () => true,
  configuration({ name, words, program = `/home/me/${name}/${name}.fcgi` }) {
    const folder = program.replace(/\/[^/]*$/, "") || "/";
    return {
      title: `${name} behind Passenger, which starts ${program} and speaks HTTP with it.`,
      steps: [
        ["Put this into", ".htaccess in the folder of the site"],
        programStep(program, "Elsewhere"),
        ["Restart by", `mkdir -p ${folder}/tmp && touch ${folder}/tmp/restart.txt`],
      ],
      notes: [
        "Everybody on the machine can reach the port, so the program believes nobody who the visitor is. On a machine " +
        "of your own, add trust=loopback to the command.",
      ],
      lines: [
        "PassengerEnabled on",
        `PassengerAppRoot "${folder}"`,
        `PassengerAppStartCommand "${[program, ...words].join(" ")} port=$PORT"`,
      ],
    };
  },
};
