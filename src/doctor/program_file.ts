/**
 * Whether a file can be started as a program on this machine.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { closeSync, existsSync, openSync, readFileSync, readSync, realpathSync, statSync } from "node:fs";
import { arch } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { gunzipSync } from "node:zlib";
import { PACKED, packedState, UNPACKED_PROGRAM } from "../app/program_file.ts";
import { missingBit, type Passer, Permission } from "./permissions.ts";
import { type Finding, problem } from "./finding.ts";
import { noteOf, okOf, problemOf, type Word } from "./words.ts";
import { childAs, loaderOf } from "../supervisor/account.ts";

const CHECK = "program file";
/** Only Linux has it. */
const MOUNTS = "/proc/self/mountinfo";

/** What a file needs of the machine, as far as its beginning tells. */
export type Format =
  | { kind: "elf"; machine: string; interpreter?: string; glibc?: string; cut: boolean }
  | { kind: "script"; interpreter: string; carriageReturn: boolean }
  | { kind: "unknown" };

/** Reads bytes at an offset; fewer where the file ends. */
export type ReadAt = (offset: number, length: number) => Uint8Array;

/** ELF: e_machine, by the names of `os.arch()`. */
const machines: Record<number, string> = { 3: "ia32", 40: "arm", 62: "x64", 183: "arm64", 243: "riscv64" };
/** ELF: p_type and sh_type. */
const PT_INTERP = 3;
const SHT_GNU_VERNEED = 0x6ffffffe;
/** A version section is a few hundred bytes long. */
const MAX_STRINGS = 4 * 1024 * 1024;

/** Reads the format of a file. @param size of the whole file */
export function readFormat(readAt: ReadAt, size: number): Format {
  const head = Buffer.from(readAt(0, 256));
  if (head.toString("latin1", 0, 2) === "#!") {
    const line = head.toString("latin1").split("\n")[0];
    const [interpreter = ""] = line.slice(2).trim().split(/\s+/);
    return { kind: "script", interpreter, carriageReturn: line.endsWith("\r") };
  }
  if (head.length < 64 || head.readUInt32BE(0) !== 0x7f454c46 || head[4] !== 2 || head[5] !== 1) return { kind: "unknown" };
  const number = head.readUInt16LE(18);
  const machine = machines[number] ?? `number ${number}`;
  let end = 0;
  let interpreter: string | undefined;
  const [segmentsAt, sectionsAt] = [Number(head.readBigUInt64LE(32)), Number(head.readBigUInt64LE(40))];
  const [segments, sections] = [head.readUInt16LE(56), head.readUInt16LE(60)];
  const table = Buffer.from(readAt(segmentsAt, segments * 56));
  for (let at = 0; at + 56 <= table.length; at += 56) {
    const offset = Number(table.readBigUInt64LE(at + 8));
    const length = Number(table.readBigUInt64LE(at + 32));
    end = Math.max(end, offset + length);
    if (table.readUInt32LE(at) !== PT_INTERP || length > 4096) continue;
    interpreter = Buffer.from(readAt(offset, length)).toString("latin1").replace(/\0.*$/s, "");
  }
  if (sectionsAt > 0) end = Math.max(end, sectionsAt + sections * 64);
  const glibc = end > size ? undefined : neededGlibc(readAt, Buffer.from(readAt(sectionsAt, sections * 64)));
  return { kind: "elf", machine, interpreter, glibc, cut: end > size };
}

/** The highest version of glibc that symbols are wanted of. */
function neededGlibc(readAt: ReadAt, sections: Buffer): string | undefined {
  for (let at = 0; at + 64 <= sections.length; at += 64) {
    if (sections.readUInt32LE(at + 4) !== SHT_GNU_VERNEED) continue;
    const strings = sections.readUInt32LE(at + 40) * 64;
    if (strings + 64 > sections.length) return undefined;
    const [offset, length] = [Number(sections.readBigUInt64LE(strings + 24)), Number(sections.readBigUInt64LE(strings + 32))];
    const text = Buffer.from(readAt(offset, Math.min(length, MAX_STRINGS))).toString("latin1");
    const versions = [...text.matchAll(/GLIBC_(\d+\.\d+)/g)].map(([, version]) => version);
    return versions.sort(compareVersions).at(-1);
  }
}

/** Orders versions such as 2.9 and 2.17. */
export function compareVersions(a: string, b: string): number {
  const [x, y] = [a, b].map((version) => version.split(".").map(Number));
  return x[0] - y[0] || x[1] - y[1];
}

/** What is known of a file and of the machine. */
export interface ProgramFacts {
  path: string;
  mode: number;
  folderMode: number;
  format: Format;
  /** Options of the mount that it lies on. */
  mount: readonly string[];
  /** As `os.arch()` says it. */
  machine: string;
  /** Version of the machine's glibc, if it has one. */
  glibc?: string;
  exists(file: string): boolean;
  /** The user that the web server runs as does not own it. */
  closedTo?: Passer;
  /** Owners of the file and of its folder, by their numbers. */
  owners?: readonly [file: number, folder: number];
}

/** Looks at what is known, and returns the problems. */
export function inspectProgram(facts: ProgramFacts): Finding[] {
  const { path, mode, folderMode, format, mount, machine, glibc, exists, closedTo } = facts;
  const found: Finding[] = [];
  const folder = dirname(path);
  const add = (word: Word, values: Record<string, string> = {}) => void found.push(problemOf(CHECK, word, { path, ...values }));
  const octal = (bits: number) => (bits & 0o7777).toString(8);
  const noexec = mount.includes("noexec");
  // There, the mode may be the mount's, and nothing changes it.
  if (noexec && (mode & 0o111) === 0) {
    // It is told below.
  } else if ((mode & 0o111) === 0) add("notExecutable", { mode: octal(mode) });
  else if (closedTo) {
    found.push(problem(CHECK, `${closedTo.name} may not execute "${path}" (mode ${octal(mode)})`, `chmod 755 ${path}`));
  }
  if ((mode & 0o022) !== 0) add("writable", { mode: octal(mode) });
  if ((folderMode & 0o022) !== 0 && (folderMode & 0o1000) === 0) add("folderWritable", { path: folder, mode: octal(folderMode) });
  if (/[\s\\%#?].*\.f?cgi$/.test(path)) add("oddPath");
  if (noexec) add("noexec", { folder });
  if (format.kind === "unknown") add("unknownFormat");
  else if (format.kind === "script") {
    if (format.carriageReturn) add("windowsLines");
    else if (!exists(format.interpreter)) add("noInterpreter", { interpreter: format.interpreter });
  } else {
    if (format.cut) add("cut");
    const { interpreter } = format;
    if (format.machine !== machine) add("otherMachine", { machine: format.machine, here: machine });
    else if (interpreter !== undefined && !exists(interpreter)) {
      add("otherLibrary", { interpreter, target: `${machine}${interpreter.includes("musl") ? "" : "-musl"}` });
    } else if (format.glibc !== undefined && glibc !== undefined && compareVersions(format.glibc, glibc) > 0) {
      add("olderGlibc", { glibc: format.glibc, here: glibc });
    }
  }
  return found;
}

/** Milliseconds for a program to say its version. */
const START_MS = 20_000;

/**
 * Starts a program, which is to say its version and to end. As root, the user whose file it is starts it.
 *
 * @returns what is wrong, or nothing
 */
export function checkStart(path: string): Finding | undefined {
  const { status, signal, error, stdout, stderr } = spawnSync(path, ["version"], {
    ...childAs(loaderOf(path)),
    cwd: "/",
    encoding: "utf8",
    timeout: START_MS,
    killSignal: "SIGKILL",
    stdio: ["ignore", "pipe", "pipe"],
  });
  // A script may give it other arguments: then it says what it lacks.
  if (status === 0 || /^runfcgi[: ]/m.test(`${stdout}${stderr}`)) return undefined;
  const { code } = (error ?? {}) as NodeJS.ErrnoException;
  const how = code === "ETIMEDOUT"
    ? `it says nothing for ${START_MS / 1000} s`
    : error !== undefined
    ? error.message
    : signal !== null
    ? `it ends by ${signal}`
    : `it ends with the status ${status}`;
  const said = stderr?.trim().split("\n").slice(0, 3).join("\n") ?? "";
  return problemOf(CHECK, "cannotStart", { path, how, said: said === "" ? "" : `It says: ${said}\n` });
}

/** Looks at what a script has unpacked, or has not. @param starts whether it starts something */
function checkUnpacked(script: string, starts: boolean): Finding | undefined {
  const text = readFileSync(script, "latin1");
  const [, name] = /^name=([\w.-]+)$/m.exec(text) ?? [];
  const [, hash] = /^hash=(\w{64})$/m.exec(text) ?? [];
  if (hash !== undefined && name !== undefined) {
    const path = join(dirname(script), name);
    const isWhole = () => createHash("sha256").update(readFileSync(path)).digest("hex") === hash;
    return starts || !existsSync(path) || isWhole() ? undefined : problemOf(CHECK, "unpackedDamaged", { path });
  }
  if (name !== UNPACKED_PROGRAM) return undefined;
  const path = join(dirname(script), PACKED);
  const state = packedState(script);
  if (starts && state.is === "refused") return problemOf(PACKED, "refused", { path, why: state.why });
  if (starts && state.is === "new") return noteOf(PACKED, "notUnpacked", { path });
  if (starts || state.is !== "unpacked") return undefined;
  try {
    if (gunzipSync(readFileSync(path)).equals(readFileSync(state.program))) return undefined;
  } catch {
    // What was unpacked is the only whole one, then.
    return undefined;
  }
  return problemOf(CHECK, "unpackedDamaged", { path: state.program });
}

/** Looks at a program file. */
export function checkProgramFile(path: string, who: readonly Passer[]): Finding[] {
  let facts: ProgramFacts;
  try {
    const stats = statSync(path);
    const folder = statSync(dirname(path));
    if (stats.isDirectory() && /\.f?cgi$/.test(path)) return [problemOf(CHECK, "programFolder", { path })];
    if (!stats.isFile()) return [problem(CHECK, `"${path}" is not a file`, "Give the program's file: program=PATH")];
    facts = {
      path,
      mode: stats.mode,
      folderMode: folder.mode,
      owners: [stats.uid, folder.uid],
      format: formatOf(path, stats.size),
      mount: existsSync(MOUNTS) ? mountOptions(realpathSync(path), readFileSync(MOUNTS, "utf8")) : [],
      machine: arch(),
      glibc: ownGlibc(),
      exists: existsSync,
      closedTo: who.find((user) => missingBit(stats, Permission.execute, user) !== undefined),
    };
  } catch (error) {
    return [
      problem(CHECK, `"${path}" cannot be looked at: ${(error as Error).message}`, "Give the program's file: program=PATH"),
    ];
  }
  const found = inspectProgram(facts);
  if (found.length === 0) {
    const broken = realpathSync(path) === realpathSync(process.execPath) ? undefined : checkStart(path);
    const unpacked = facts.format.kind === "script" ? checkUnpacked(path, broken === undefined) : undefined;
    if (broken) found.push(unpacked ?? broken);
    else found.push(okOf(CHECK, "canStart", { path }), ...unpacked ? [unpacked] : []);
  }
  const [owner, folderOwner] = facts.owners ?? [0, 0];
  if (owner !== folderOwner) found.push(noteOf(CHECK, "otherOwner", { path, owner, folderOwner }));
  return found;
}

function formatOf(path: string, size: number): Format {
  const fd = openSync(path, "r");
  try {
    return readFormat((offset, length) => {
      const bytes = new Uint8Array(Math.min(length, MAX_STRINGS));
      return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, offset));
    }, size);
  } finally {
    closeSync(fd);
  }
}

/** What a program of Linux needs of the machine, `undefined` for another one. */
export function needsOf(path: string): { machine: string; interpreter?: string; glibc?: string } | undefined {
  const format = formatOf(path, statSync(path).size);
  return format.kind === "elf" ? { machine: format.machine, interpreter: format.interpreter, glibc: format.glibc } : undefined;
}

/** Options of the mount that a path lies on, proc_pid_mountinfo(5). */
export function mountOptions(path: string, mountinfo: string): string[] {
  let best = "";
  let options: string[] = [];
  for (const line of mountinfo.split("\n")) {
    const [, , , , point, found] = line.split(" ");
    const folder = point?.replace(/\\(\d{3})/g, (_, code) => String.fromCharCode(parseInt(code, 8)));
    if (folder === undefined || folder.length < best.length) continue;
    if (path === folder || path.startsWith(folder.endsWith("/") ? folder : `${folder}/`)) {
      [best, options] = [folder, found.split(",")];
    }
  }
  return options;
}

function ownGlibc(): string | undefined {
  const { stdout } = spawnSync("getconf", ["GNU_LIBC_VERSION"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return /glibc (\d+\.\d+)/.exec(stdout ?? "")?.[1];
}
