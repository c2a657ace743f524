/**
 * Shared hosting, where all that one may write is a `.htaccess`.
 *
 * @module
 */
import type { ConfigOption } from "./options.ts";
import { programStep, quoted, type Server, type Site } from "./site.ts";
import type { Configuration } from "./text.ts";
import { UsageError } from "../../options/arguments.ts";

const hostOwn = "it is the host's to set";

/** What is not in the hands of who writes a `.htaccess`. */
function refusals(endpoint: string): Partial<Record<ConfigOption, string>> {
  return {
    socket: endpoint,
    host: endpoint,
    port: endpoint,
    mode: endpoint,
    hosts: endpoint,
    keepalive: hostOwn,
    listen: hostOwn,
    https: hostOwn,
    servername: hostOwn,
    static: "files in the folder of the site are served by the web server",
  };
}

export const apacheShared: Server = {
  title: "Apache with mod_fcgid on shared hosting: a .htaccess",
  protocols: ["fcgi"],
  refuses: {
    ...refusals("the web server starts the program, which finds its socket on descriptor 0"),
    scriptname: "put the files into the subfolder, and the program knows where it is",
    upload: "ask the host for FcgidMaxRequestLen, which no .htaccess can set",
  },
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
  title: "Phusion Passenger 6, as cPanel has it: a .htaccess and a Passengerfile.json",
  protocols: ["http"],
  refuses: {
    ...refusals("Passenger chooses a port, which the program finds in the variable PORT"),
    upload: "Passenger has no limit of its own; ask the host for LimitRequestBody",
  },
  overTcp: true,
  file: ".htaccess",
  starts: true,
  servesFolders: false,
  tellsMount: () => false,
  configuration({ name, words, program = `/home/me/${name}/${name}.fcgi` }) {
    const folder = program.replace(/\/[^/]*$/, "") || "/";
    const command = `${[program, ...words].map(quoted).join(" ")} port=$PORT`;
    const second = [`${folder}/Passengerfile.json`, JSON.stringify({ app_start_command: command })] as const;
    return {
      title: `${name} behind Passenger, which starts ${program} and speaks HTTP with it.`,
      steps: [
        ["Put this into", ".htaccess in the folder of the site"],
        ["And this into", ...second],
        programStep(program, "Elsewhere"),
        [
          "Register",
          `${folder} in cPanel's Application Manager, unless the folder of the site is`,
          `a folder in it, such as ${folder}/public`,
        ],
        ["Restart by", `mkdir -p ${folder}/tmp && touch ${folder}/tmp/restart.txt`],
      ],
      notes: [
        "Who has an account on the machine reaches the port, too, and can say who the visitor is. Without trust=127.0.0.1 in the " +
        "command nobody is believed, and every visitor comes from 127.0.0.1 and by http.",
      ],
      second,
      lines: [
        "PassengerEnabled on",
        "# The URL as the visitor typed it.",
        "PassengerAllowEncodedSlashes on",
        "# What visitors send under these names, which Passenger would pass on.",
        ...["Proto", "Host", "Port"].map((name) => `RequestHeader unset X-Forwarded-${name}`),
      ],
    };
  },
};
