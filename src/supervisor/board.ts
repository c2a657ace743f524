/**
 * A file in which workers note each request before the application gets it: the process that watches them reads there what
 * a worker was doing that has ended, or that loops and is silent. A note costs a quarter of a microsecond where the file can
 * be mapped, and more than one on Node; so where requests are many, none is noted by name.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import {
  chmodSync,
  closeSync,
  fchownSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { startOf } from "../runtime/lock.ts";
import { mapFile } from "../runtime/map_file.ts";
import { makePrivateFolder } from "../runtime/private_folder.ts";
import { isZombie } from "../runtime/proc.ts";
import { ENDED, SITE } from "../runtime/watchdog.ts";
import type { RequestFacts, UnderWay } from "../server/monitor.ts";

/** Bytes for each thread. */
const SLOT = 512;
/** Bytes that are noted of a URL, which may have 8 KiB. */
const MAX_URL = 400;
/** Threads whose notes are kept apart; their numbers grow. */
const SLOTS = 64;

/** Milliseconds after which counting requests starts again, and how many of them are noted by name in that time. */
const PERIOD = 100;
const MAX_NOTED = 200;

/** A request, and how many had begun with it. */
export interface Note extends UnderWay {
  begun: number;
}

/** What is under way, when so many have begun. */
export interface Told {
  begun: number;
  /** The oldest first; not all of very many. */
  underWay: UnderWay[];
}

/** The folder of all notes of this user: a start looks only there, and not through all that others leave in `/tmp`. */
const notesFolder = (): string => join(tmpdir(), `runfcgi-notes-${process.getuid?.()}`);
/** Workers of another account pass through it, and neither list nor change what is there. */
const PASSABLE = 0o711;

/** What tells a process from all others that use the same folder for temporary files, those in other containers included. */
function ownName(pid = process.pid): string {
  return `${statSync("/proc/self/ns/pid", { throwIfNoEntry: false })?.ino ?? 0}-${pid}-${startOf(pid)}`;
}

/** Says of which boot a process is, so that numbers of processes mean something. */
function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}

/** Milliseconds for which the notes of a site are kept that nobody starts again. */
const KEPT_MS = 24 * 60 * 60 * 1000;

/** What a process has left that was killed, or that crashed. */
export interface Left {
  pid: number;
  board: Board;
  /** Milliseconds since 1970 when it ended, if somebody has seen that. */
  endedAt: number | undefined;
}

/**
 * Removes what is left of processes of this user that were killed together with all that watched them.
 *
 * @param site what takes over the notes of its processes that no supervisor watched; each is given to one process only
 */
export function takeLeft(site?: string): Left[] {
  const left: Left[] = [];
  const [space] = ownName().split("-");
  // Once: a host with many sites has as many folders.
  const thisBoot = bootId();
  const pattern = new RegExp(`^(${space}-(\\d+)-\\w+)-\\w{6}$`);
  const folder = notesFolder();
  makePrivateFolder(folder, PASSABLE);
  for (const name of readdirSync(folder)) {
    const [, owner, digits] = pattern.exec(name) ?? [];
    if (owner === undefined) continue;
    const pid = Number(digits);
    const path = join(folder, name);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (!stats?.isDirectory() || stats.uid !== process.getuid?.()) continue;
    const [boot, of] = siteOf(path);
    const isOfThisBoot = of === undefined || boot === thisBoot;
    if (isOfThisBoot && owner === ownName(pid) && !isZombie(pid)) continue;
    if (of !== undefined && isOfThisBoot) {
      if (of !== site && Date.now() - stats.mtimeMs < KEPT_MS) continue;
      const board = of === site ? claim(path) : undefined;
      if (board) left.push({ pid, board, endedAt: statSync(join(path, ENDED), { throwIfNoEntry: false })?.mtimeMs });
    }
    rmSync(path, { recursive: true, force: true });
  }
  return left;
}

/** The boot and the site of a process that has no supervisor. */
function siteOf(folder: string): string[] {
  try {
    return readFileSync(join(folder, SITE), "utf8").split("\n");
  } catch {
    return [];
  }
}

/** Takes the board in a folder; `undefined` when another process has it. */
function claim(folder: string): Board | undefined {
  try {
    renameSync(join(folder, SITE), join(folder, "taken"));
    return Board.open(join(folder, "0"));
  } catch {
    return undefined;
  }
}

/** A folder for the boards of a server's workers, which is its own; gone with it. */
export class Boards {
  readonly folder: string | undefined;
  #made = 0;

  /** @param site of a process that no supervisor watches: the site's next process takes over what it leaves */
  constructor(site?: string) {
    try {
      if (site === undefined) takeLeft();
      const folder = notesFolder();
      makePrivateFolder(folder, PASSABLE);
      this.folder = mkdtempSync(join(folder, `${ownName()}-`));
      if (site !== undefined) writeFileSync(join(this.folder, SITE), `${bootId()}\n${site}`, { mode: 0o600 });
    } catch {
      // Without a place for files, less is known of workers that end.
    }
  }

  /** Makes one that an account may write to, and nobody else read. */
  make(account?: { uid: number; gid: number }): Board | undefined {
    if (this.folder === undefined) return undefined;
    try {
      const path = join(this.folder, String(this.#made++));
      const fd = openSync(path, "wx+", 0o600);
      // Not a hole: where the disk is full, writing to the file in memory would end the process.
      writeSync(fd, new Uint8Array(SLOTS * SLOT));
      if (account) {
        fchownSync(fd, account.uid, account.gid);
        // It may open its own by name.
        for (const folder of [dirname(this.folder), this.folder]) chmodSync(folder, PASSABLE);
      }
      return new Board(path, fd);
    } catch {
      return undefined;
    }
  }

  /** The site's other processes leave it alone from now on. */
  disown(): void {
    if (this.folder !== undefined) rmSync(join(this.folder, SITE), { force: true });
  }

  /** Nobody writes there any more. */
  remove(): void {
    if (this.folder !== undefined) rmSync(this.folder, { recursive: true, force: true });
  }
}

/** One process's board. */
export class Board {
  readonly path: string;
  readonly #fd: number;
  // Node writes a Buffer faster than another array.
  readonly #bytes = Buffer.alloc(SLOT);
  /** The file in memory, once this process has noted something. */
  #map: Buffer | undefined;
  #isMapped = false;
  /** When requests were last counted from zero, on the clock of `performance.now()`, and how many have begun since then. */
  #countedFrom = -Infinity;
  #count = 0;
  /** Those of the period before were too many. */
  #many = false;
  /** The note of this period says that they are many. */
  #saysMany = false;

  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  /** The board that another process has made; `undefined` if it cannot be opened. */
  static open(path: string): Board | undefined {
    try {
      return new Board(path, openSync(path, "r+"));
    } catch {
      return undefined;
    }
  }

  /** Notes a request that begins, or that it is one of many. */
  note(thread: number, begun: number, request: RequestFacts): void {
    const passed = request.begunAt - this.#countedFrom;
    if (passed >= PERIOD) {
      this.#many = this.#count > MAX_NOTED && passed < 2 * PERIOD;
      this.#countedFrom = request.begunAt;
      this.#count = 0;
      this.#saysMany = false;
    }
    const many = ++this.#count > MAX_NOTED || this.#many;
    if (many && this.#saysMany) return;
    this.#saysMany = many;
    this.#write(thread, begun, request, many);
  }

  /** Notes all that is under way when so many have begun, in the place of the notes of other threads. */
  tell(told: Told): void {
    const bytes = Buffer.from(`${JSON.stringify(told)}\n`);
    if (bytes.length > (SLOTS - 1) * SLOT) return;
    const map = this.#mapped;
    if (map) map.set(bytes, SLOT);
    else writeSync(this.#fd, bytes, 0, bytes.length, SLOT);
  }

  /** What was told last. */
  told(): Told | undefined {
    try {
      const bytes = Buffer.alloc((SLOTS - 1) * SLOT);
      readSync(this.#fd, bytes, 0, bytes.length, SLOT);
      return JSON.parse(decoder.decode(bytes.subarray(0, bytes.indexOf(END))));
    } catch {
      return undefined;
    }
  }

  get #mapped(): Buffer | undefined {
    if (!this.#isMapped) {
      this.#isMapped = true;
      const map = mapFile(this.path, SLOTS * SLOT);
      this.#map = map && Buffer.from(map.buffer, map.byteOffset, map.length);
    }
    return this.#map;
  }

  #write(thread: number, begun: number, request: RequestFacts, many: boolean): void {
    const { params, begunAt } = request;
    const since = Math.round(performance.timeOrigin + begunAt);
    // Params have a character for each byte, and are written as they came.
    const url = (params.get("REQUEST_URI") ?? "").slice(0, MAX_URL);
    const text = `${begun} ${since} ${many ? "one of many requests" : `${params.get("REQUEST_METHOD")} ${url}`}\n`;
    const at = thread % SLOTS * SLOT;
    const map = this.#mapped;
    if (map) map.write(text, at, SLOT, "latin1");
    else writeSync(this.#fd, this.#bytes, 0, this.#bytes.write(text, 0, SLOT, "latin1"), at);
  }

  /** What a thread has noted last. */
  read(thread: number): Note | undefined {
    try {
      const length = readSync(this.#fd, this.#bytes, 0, SLOT, thread % SLOTS * SLOT);
      const end = this.#bytes.subarray(0, length).indexOf(END);
      const [, begun, since, method, url] = /^(\d+) (\d+) (\S*) (.*)$/s.exec(decoder.decode(this.#bytes.subarray(0, end))) ?? [];
      return end < 0 || begun === undefined ? undefined : { begun: Number(begun), since: Number(since), method, url };
    } catch {
      return undefined;
    }
  }

  /** Nobody writes there any more. */
  remove(): void {
    closeSync(this.#fd);
    rmSync(this.path, { force: true });
  }
}

/** A line, for a shell to read. */
const END = 10;
const decoder = new TextDecoder();
