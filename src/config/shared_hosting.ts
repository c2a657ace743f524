/**
 * Shared hosting, where a `.htaccess` is all that can be configured.
 *
 * @module
 */
import type { ConfigOption } from "./options.ts";
import { programStep, quoted, type Server, type Site } from "./site.ts";
import type { Configuration, Line } from "./text.ts";
import { privateNames, publicPattern } from "../handlers/static/private.ts";
import { UsageError } from "../options/arguments.ts";

const hostOwn = "it is the host's to set";

/** Options that a `.htaccess` cannot set, and why. */
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
      ["Next to it", `${name}.fcgi, the compiled program (mode 755), and ${name}.ts, the application`],
      ["Open", `the site; errors of the application are in .ht${name}.log next to the program, or in Apache's error log`],
    ],
    notes: [hostLimits],
    lines: [
      "Options +ExecCGI",
      "AddHandler fcgid-script .fcgi",
      "CGIPassAuth On",
      "",
      ...rewriting(name),
    ],
  };
}

/** The program outside of the folder of the site. */
function outside({ name, words }: Site, program: string): Configuration {
  if (/[\s"\\]/.test(program)) {
    throw new UsageError(`program is "${program}", and mod_fcgid cuts a path off at a blank: choose another folder`);
  }
  return {
    title: `${name} on shared hosting: Apache's mod_fcgid starts ${program} with the first request.`,
    steps: [
      ["Put this into", ".htaccess in the folder of the site, which can be a subfolder"],
      programStep(program, "Elsewhere"),
      ["Open", `the site; errors of the application are in .ht${name}.log next to the program, or in Apache's error log`],
    ],
    notes: ["Nothing of the program is in the folder of the site, so no mistake can expose it.", hostLimits],
    lines: [
      "Options +ExecCGI",
      "AddHandler fcgid-script .fcgi",
      `FcgidWrapper ${words.length > 0 ? `"${[program, ...words].join(" ")}"` : program} .fcgi virtual`,
      "CGIPassAuth On",
      "",
      ...rewriting(name, false),
    ],
  };
}

/**
 * Leads everything to the program but files for visitors, which Apache serves. What exists and is private is the program's,
 * too, as if it did not exist.
 */
function rewriting(name: string, hasApp = true): Line[] {
  return [
    "RewriteEngine On",
    String.raw`RewriteRule "^${name}\.fcgi(?:/|$)" - [L]`,
    "# PHP and CGI programs run where the host runs them. Otherwise their source is private.",
    "RewriteCond %{REQUEST_FILENAME} -f",
    String.raw`RewriteCond expr "-n %{HANDLER} || %{CONTENT_TYPE} =~ /php/"`,
    String.raw`RewriteRule "\.(?:php\d?|cgi|pl|py|rb)$" - [L,NC]`,
    ...hasApp
      ? [
        `# The application, if it is not ${name}.ts or ${name}.tsx, and what was made of it, such as its source map.`,
        String.raw`RewriteRule "^${name}[^/]*\.[cm]?js(?:\.|$)" ${name}.fcgi [L,NC]`,
        "RewriteCond %{REQUEST_FILENAME} ^(.+/)",
        `RewriteCond %1${name}.ts !-f`,
        `RewriteCond %1${name}.tsx !-f`,
        String.raw`RewriteRule ^app\.js(?:\.|$) ${name}.fcgi [L,NC]`,
      ]
      : [],
    "# Apache serves files that are for browsers by their endings, and not private by their names.",
    "RewriteCond %{REQUEST_FILENAME} -f",
    ...privateNames.map((pattern) => `RewriteCond $0 "!${pattern}" [NC]`),
    `RewriteRule "${publicPattern}" - [L,NC]`,
    "# Everything else goes to the program.",
    `RewriteRule ^ ${name}.fcgi [L]`,
  ];
}

export const passenger: Server = {
  title: "Phusion Passenger 6, as cPanel has it: a .htaccess and a Passengerfile.json",
  protocols: ["http"],
  refuses: {
    ...refusals("Passenger chooses a port, which the program finds in the variable PORT"),
    websocket: "Passenger passes none on inside Apache, only inside nginx and on its own",
    upload: "Passenger has no limit of its own; ask the host for LimitRequestBody",
  },
  overTcp: true,
  file: ".htaccess",
  starts: true,
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
        "Everybody with an account on the machine can reach the port, too, and pretend to be any visitor. Without " +
        "trust=127.0.0.1 in the command, every visitor seems to come from 127.0.0.1 over http.",
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
