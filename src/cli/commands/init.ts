/**
 * The command `init`: writes a site that works.
 *
 * @module
 */
import {
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { type Bundles, type Embedded, exactProgramWords } from "../../app/application.ts";
import { launcher, PACKED, programFile } from "../../app/program_file.ts";
import { isCompiled } from "../../app/compiled.ts";
import { configuration, serverOf } from "../../config/servers.ts";
import { configTable } from "../../config/options.ts";
import { appBeside, quoted, type Server } from "../../config/site.ts";
import { configurationText, type Step, stepLines } from "../../config/text.ts";
import { optionSection } from "../../options/usage.ts";
import { findBun, nodeProgram, thisTarget } from "./build.ts";
import { isOlderLauncher, launcherText, NODE_PROGRAM } from "./launcher.ts";
import { CommandError, oneOf, type OptionTable, parseArguments, UsageError } from "../../options/arguments.ts";
import type { Built } from "../../app/application.ts";
import { hiddenBeside } from "../../app/log.ts";
import { version } from "../../server/version.ts";
import { keyText, makeKey, readKey } from "../../app/owner_key.ts";
import { needsOf } from "../../doctor/program_file.ts";
import { describeFile, type DoctorFacts, doctorName, doctorNames, doctorText } from "../../doctor/php.ts";
import { DOCTOR, textAt } from "../texts.ts";
import { appText } from "./init_app.ts";

const table = {
  ...configTable,
  single: {
    kind: oneOf(["true", "false"]),
    default: "false",
    help: "Makes the program one file, and not a short script with the compressed program beside it.",
    example: "single=true",
  },
  node: {
    kind: oneOf(["true", "false"]),
    default: "false",
    help: "Makes the program a script of a third of a megabyte for a host that has Node 24.2 or newer.",
    example: "node=true",
  },
  for: {
    kind: { name: "the name of a web server", read: (value: string) => value || undefined },
    default: "none; the application alone",
    help: "Web server whose configuration is written, too. The command config lists them.",
    example: "for=apache-shared",
  },
} satisfies OptionTable;

/** Nothing that runs as root is needed for a port. */
const DEFAULT_ENDPOINT = "port=3033";

const usage = `
runfcgi init [DIR] [for=SERVER] [option=value …]

Writes an application into a folder, the configuration of a web server for it and, for one that starts programs, the
program, and says what comes next. Files that are there are left as they are. The options are those of config.

  runfcgi init mysite for=nginx servername=example.org
  runfcgi init mysite for=apache-shared
`;

export const page = {
  usage,
  options: table,
  sections: [optionSection("Options", { for: table.for, single: table.single, node: table.node })],
};

/**
 * Writes the files of a site, leaving what is there, and says what was written and what comes next.
 *
 * @throws {UsageError}
 */
export async function run(words: readonly string[], { app: embedded, bundles, texts }: Built): Promise<number> {
  const { plain: [folder = ".", ...more], options, given } = parseArguments(words, table);
  if (more.length > 0) throw new UsageError(`init is for one folder, not for "${folder}" and "${more[0]}"`);
  const files = new Files(resolve(folder), options.for === "apache-shared" ? await textAt(DOCTOR, texts) : "");
  const others = given.filter(({ name }) => !["for", "single", "node"].includes(name)).map(({ text }) => text);
  const form = formOf(options);
  const steps = options.for === undefined
    ? withoutServer(files, others, embedded)
    : withServer(files, options.for, others, options.program, form, embedded, bundles);
  const lines = [...files.told, "", "Next", ...stepLines(steps).map((line) => `  ${line}`)];
  process.stdout.write(`${lines.join("\n")}\n`);
  return 0;
}

/** What the program is on the host: one file, a script with it compressed beside it, or one for the host's Node. */
type Form = "single" | "packed" | "node";

function formOf(
  { for: server, single, node, program }: { for?: string; single?: string; node?: string; program?: string },
): Form {
  if (node !== "true") return single === "true" || server !== "apache-shared" ? "single" : "packed";
  if (single === "true") throw new UsageError("single and node are both true: give one of them");
  if (server === undefined || !serverOf(server).starts && program === undefined) {
    throw new UsageError("node=true is for a web server that starts the program, such as for=apache-shared");
  }
  return "node";
}

function withoutServer(files: Files, words: readonly string[], embedded: Embedded | undefined): Step[] {
  if (words.length > 0) throw new UsageError(`${words[0]} is for a web server: say which, such as for=nginx`);
  const app = files.app("app.ts", embedded);
  return [
    previewStep(app),
    [
      "Choose a server",
      `${exactProgramWords()} init ${quoted(files.folder)} for=nginx`,
      "or another; the command config lists them",
    ],
  ];
}

function withServer(
  files: Files,
  name: string,
  words: readonly string[],
  program: string | undefined,
  form: Form,
  embedded: Embedded | undefined,
  bundles: Bundles | undefined,
): Step[] {
  const server = serverOf(name);
  if (server.image) return withImage(files, name, words, embedded);
  if (server.starts || program !== undefined) {
    return withProgram(files, name, words, program, form, embedded, bundles);
  }
  const file = join(files.folder, "app.ts");
  const own = [
    ...embedded ? [] : [file],
    ...words.some((word) => /^(?:socket|port|hosts)=/.test(word)) ? [] : [DEFAULT_ENDPOINT],
    ...words.some((word) => word.startsWith("name=")) ? [] : [`name=${nameOf(files.folder)}`],
  ];
  // What makes no sense is told before anything is written.
  const made = configuration(name, [...own, ...words], exactProgramWords());
  const app = files.app("app.ts", embedded);
  files.write(server.file, configurationText(made));
  return [previewStep(app), ...made.steps.map((step) => withFile(step, join(files.folder, server.file)))];
}

/** A site that becomes an image: the program, and the folder with the application. */
function withImage(files: Files, name: string, words: readonly string[], embedded: Embedded | undefined): Step[] {
  if (embedded) throw new UsageError("the application is inside this program: an image needs the program without one");
  const own = words.some((word) => word.startsWith("name=")) ? [] : [`name=${nameOf(files.folder)}`];
  const made = configuration(name, [...own, ...words]);
  const app = files.write("app/app.ts", appText);
  for (const [part, text] of made.parts!) files.write(part, text);
  const makes = isCompiled() && process.platform === "linux";
  if (makes) files.program("runfcgi");
  return [
    ...makes ? [] : [makingStep(join(files.folder, "runfcgi"), "linux-x64")],
    previewStep(app),
    ["Go there", `cd ${quoted(files.folder)}`],
    ...made.steps.filter(([label]) => !label.startsWith("Put ")),
  ];
}

function makingStep(program: string, target: string): Step {
  return [
    "Make the program",
    `cd ${quoted(dirname(resolve(programFile())))} && npx --yes deno task compile${
      target === thisTarget ? "" : ` --target ${target}`
    }`,
    `cp dist/runfcgi-${target} ${quoted(program)}`,
  ];
}

/** A site whose program the web server starts. */
function withProgram(
  files: Files,
  name: string,
  words: readonly string[],
  given: string | undefined,
  form: Form,
  embedded: Embedded | undefined,
  bundles: Bundles | undefined,
): Step[] {
  if (form === "node" && embedded) {
    throw new UsageError("the application is inside this program: node=true needs the program without one");
  }
  const server = serverOf(name);
  if (name === "passenger" && given === undefined) {
    throw new UsageError(
      "passenger gives away what is in the folder of the site: give program=/home/me/app/mysite.fcgi elsewhere",
    );
  }
  const program = placeOf(server, files.folder, given);
  const beside = name === "apache-shared" && given === undefined;
  const made = configuration(
    name,
    beside ? words : [`program=${given ?? program}`, ...words.filter((word) => !word.startsWith("program="))],
  );
  const app = files.app(appBeside(program), embedded);
  const parts = made.parts?.map(([name, text]) => files.write(name, text));
  if (parts === undefined) files.write(server.file, configurationText(made));
  if (made.second) files.write(join(dirname(program), basename(made.second[0])), `${made.second[1]}\n`);
  // A program for this system is of no use on the host, which is a Linux.
  const foreign = server.file === ".htaccess" && process.platform !== "linux";
  const makes = form === "node" || isCompiled() && !foreign;
  if (form === "node") files.nodeProgram(program, bundles);
  else if (makes && form === "single") files.program(program);
  else if (makes) files.packedProgram(program);
  const owner = name === "apache-shared" ? files.ownerPages(program, given, form, configurationText(made)) : undefined;
  const making: Step[] = makes
    ? []
    : isCompiled()
    ? [foreignStep(program)]
    : [makingStep(program, foreign ? "linux-x64" : thisTarget)];
  const where: Step[] = server.file === ".htaccess"
    ? [
      [
        "Upload",
        ...whatToUpload(program, given, owner),
        ...makes && form === "packed" ? [`and later, for another version, ${PACKED} alone`] : [],
      ],
      ["Open", "the site in a browser"],
      ...owner ? ownerSteps(owner) : [],
      ["Change", `${basename(appBeside(program))} as you like: the next request gets the new one`],
    ]
    : made.steps.filter(([label]) => label !== "Put there")
      .map((step) =>
        parts && step[0] === "Put this into"
          ? ["Install", `cp ${parts.map(quoted).join(" ")} ${dirname(step[1])}/`]
          : withFile(step, join(files.folder, server.file))
      );
  return [...making, previewStep(app), ...where];
}

/**
 * Where the program is written: where it is to be, unless that is on the host, and this is not the host. Then it is in a
 * folder beside that of the site.
 */
function placeOf({ file }: Server, folder: string, given: string | undefined): string {
  if (given === undefined) return join(folder, "mysite.fcgi");
  const there = dirname(resolve(folder, given));
  const isHost = file !== ".htaccess" || [there, dirname(there)].some((path) => existsSync(path) && dirname(path) !== path);
  return isHost ? given : join(`${folder}-program`, basename(given));
}

function whatToUpload(program: string, given: string | undefined, owner: OwnerFiles | undefined): string[] {
  const mode = `in binary mode, ${basename(program)} with mode 755`;
  if (given === undefined || given === program) {
    return [`${owner ? `these files but ${owner.doctor}` : "these files"}, if this is not the host, ${mode}`];
  }
  return [
    `what is in ${dirname(program)} into ${dirname(given)}, ${mode},`,
    "and .htaccess into the folder of the site",
  ];
}

/** What the owner has for the case that something is wrong. */
function ownerSteps({ keyFile, doctor }: OwnerFiles): Step[] {
  return [
    [
      "Log and doctor",
      `at the address that ${basename(keyFile)} has, below that of the site, with the key there: show that file to nobody`,
    ],
    ["If it fails", `upload ${doctor}, open it, give the same key, and delete it afterwards`],
  ];
}

/** How somebody gets the program for the host whose own computer has another system. */
function foreignStep(program: string): Step {
  const release = `runfcgi-${version}-linux-x64`;
  return [
    "Add the program",
    `from the release: ${release}.gz, called ${PACKED}, and ${release}.fcgi, called ${basename(program)};`,
    "or make one with the application inside, after each change:",
    `${exactProgramWords()} build ${quoted(appBeside(program))} target=linux-x64 output=${quoted(program)}`,
  ];
}

function previewStep(app: string | undefined): Step {
  const words = [exactProgramWords(), ...app === undefined ? [] : [quoted(app)], "preview=8000"];
  return ["Look at it", words.join(" "), "and open http://127.0.0.1:8000/"];
}

/** A step of a configuration that lies in a file. */
function withFile([label, ...values]: Step, file: string): Step {
  const [place] = values;
  const copies = { "Put this into": `cp ${quoted(file)} ${place}`, "Add this to": `cat ${quoted(file)} >> ${place}` }[label];
  if (copies !== undefined && /^\/\S+$/.test(place)) return ["Put in place", copies];
  return [label.replace("this", file), ...values.map((value) => value.replace("this", file))];
}

function nameOf(folder: string): string {
  return basename(folder).replaceAll(/[^\w-]/g, "-") || "mysite";
}

/** What belongs to the owner alone. */
interface OwnerFiles {
  keyFile: string;
  /** Name of the doctor in PHP. */
  doctor: string;
}

/** The files of a site. */
class Files {
  readonly folder: string;
  /** What was written, and what was left. */
  readonly told: string[] = [];
  readonly #doctor: string;

  /** @param doctor the doctor in PHP before it is filled in */
  constructor(folder: string, doctor: string) {
    this.folder = folder;
    this.#doctor = doctor;
  }

  /** Writes a file if there is none, and returns its path. */
  write(name: string, text: string): string {
    return this.#make(name, (file) => writeFileSync(file, text, { flag: "wx" }));
  }

  /** The application, unless the program has it inside. */
  app(name: string, embedded: Embedded | undefined): string | undefined {
    return embedded ? undefined : this.write(name, appText);
  }

  /** A copy of this program. */
  program(name: string): void {
    this.#make(name, (file) => {
      copyFileSync(process.execPath, file, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      chmodSync(file, 0o755);
    });
  }

  /** A script that stands for this program, and the program compressed beside it. */
  packedProgram(name: string): void {
    const program = readFileSync(process.execPath);
    // Only here, so that it takes no memory of servers.
    const { gzipSync } = process.getBuiltinModule("node:zlib");
    this.#make(join(dirname(name), PACKED), (file) => writeFileSync(file, gzipSync(program), { flag: "wx" }));
    const put = (file: string) => {
      writeFileSync(file, launcherText(), { flag: "wx" });
      chmodSync(file, 0o755);
    };
    this.#make(name, put, isOlderLauncher);
  }

  /** This program as a script for the host's Node. */
  nodeProgram(name: string, bundles: Bundles | undefined): void {
    const make = () => {
      if (bundles) return readFileSync(bundles.node, "utf8");
      // It is one itself.
      if (launcher !== undefined && !isCompiled()) return readFileSync(launcher, "utf8");
      // The npm package has it.
      const packed = new URL(`../../../${NODE_PROGRAM}`, import.meta.url);
      return existsSync(packed) ? readFileSync(packed, "utf8") : nodeProgram(findBun("node=true"), undefined);
    };
    this.#make(name, (file) => {
      writeFileSync(file, make(), { flag: "wx" });
      chmodSync(file, 0o755);
    });
  }

  /** The key, and the doctor for the case that the program does not start; @param given the program that is elsewhere */
  ownerPages(program: string, given: string | undefined, form: Form, htaccess: string): OwnerFiles {
    const keyFile = this.#make(
      hiddenBeside(program, "key"),
      (file) => writeFileSync(file, keyText(makeKey()), { mode: 0o600, flag: "wx" }),
    );
    let key: string;
    try {
      key = readKey(keyFile)!.key;
    } catch (error) {
      throw new CommandError(`cannot use the key: ${(error as Error).message}`);
    }
    const place = dirname(resolve(this.folder, program));
    const files = [basename(program), PACKED].filter((name) => existsSync(join(place, name)));
    const facts: DoctorFacts = {
      program: given ?? basename(program),
      files: Object.fromEntries(files.map((name) => [name, describeFile(readFileSync(join(place, name)))])),
      needs: isCompiled() && form !== "node" ? needsOf(process.execPath) : undefined,
      htaccess,
    };
    const doctor = doctorName(key);
    // It goes with what is there now, and with this key.
    for (const old of readdirSync(this.folder)) if (doctorNames.test(old)) rmSync(join(this.folder, old));
    this.write(doctor, doctorText(this.#doctor, key, facts));
    return { keyFile, doctor };
  }

  /** @param isOlder whether one that is there is to be replaced */
  #make(name: string, make: (file: string) => void, isOlder = (_: string) => false): string {
    const file = resolve(this.folder, name);
    const there = existsSync(file);
    const renews = there && isOlder(file);
    try {
      mkdirSync(dirname(file), { recursive: true });
      if (!there) make(file);
      if (renews) {
        rmSync(`${file}.new`, { force: true });
        make(`${file}.new`);
        renameSync(`${file}.new`, file);
      }
    } catch (error) {
      throw new CommandError(`cannot write "${file}": ${(error as Error).message}`);
    }
    this.told.push(`${renews ? "renewed" : there ? "left  " : "wrote "} ${file}`);
    return file;
  }
}
