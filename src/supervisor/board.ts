/**
 * A file in which workers note each request before the application gets it: whoever watches them reads there what one was
 * at that has ended, or that loops and says nothing any more. A note costs a quarter of a microsecond where the file can be
 * mapped, and a whole one on Node.
 *
 * @module
 */
import {
  chmodSync,
  closeSync,
  fchownSync,
  ftruncateSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { startOf } from "../runtime/lock.ts";
import { mapFile } from "../runtime/map_file.ts";
import { type RequestFacts, type UnderWay, underWay } from "../server/monitor.ts";

/** Bytes for each thread. */
const SLOT = 512;
/** Threads whose notes are kept apart; their numbers grow. */
const SLOTS = 64;

/** A request, and how many had begun with it. */
export interface Note extends UnderWay {
  begun: number;
}

const PREFIX = "runfcgi-notes-";

/** What tells a process from all others that use the same folder for temporary files, those in other containers included. */
function ownName(pid = process.pid): string {
  return `${statSync("/proc/self/ns/pid", { throwIfNoEntry: false })?.ino ?? 0}-${pid}-${startOf(pid)}`;
}

/** Removes what is left of servers of this user that were killed together with all that watched them. */
function removeLeft(): void {
  for (const name of readdirSync(tmpdir())) {
    const [, owner, pid] = /^runfcgi-notes-(\d+-(\d+)-\w+)-\w{6}$/.exec(name) ?? [];
    if (owner === undefined || owner === ownName(Number(pid))) continue;
    const [space] = ownName().split("-");
    const path = join(tmpdir(), name);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (!owner.startsWith(`${space}-`) || !stats?.isDirectory() || stats.uid !== process.getuid?.()) continue;
    rmSync(path, { recursive: true, force: true });
  }
}

/** A folder for the boards of a server's workers, which is its own; gone with it. */
export class Boards {
  readonly folder: string | undefined;
  #made = 0;

  constructor() {
    try {
      removeLeft();
      this.folder = mkdtempSync(join(tmpdir(), `${PREFIX}${ownName()}-`));
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
      ftruncateSync(fd, SLOTS * SLOT);
      if (account) {
        fchownSync(fd, account.uid, account.gid);
        // It may open its own by name, and neither list nor change what is there.
        chmodSync(this.folder, 0o711);
      }
      return new Board(path, fd);
    } catch {
      return undefined;
    }
  }
}

/** One process's board. */
export class Board {
  readonly path: string;
  readonly #fd: number;
  readonly #bytes = new Uint8Array(SLOT);
  /** The file in memory, once this process has noted something. */
  #map: Uint8Array | undefined;
  #isMapped = false;

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

  /** Notes a request that begins. */
  note(thread: number, begun: number, request: RequestFacts): void {
    if (!this.#isMapped) {
      this.#isMapped = true;
      this.#map = mapFile(this.path, SLOTS * SLOT);
    }
    const { method, url, since } = underWay(request);
    const at = thread % SLOTS * SLOT;
    const map = this.#map;
    const slot = map === undefined ? this.#bytes.subarray(0, SLOT - 1) : map.subarray(at, at + SLOT - 1);
    const { written } = encoder.encodeInto(`${begun} ${since} ${method} ${url}`, slot);
    if (map !== undefined) map[at + written] = END;
    else {
      this.#bytes[written] = END;
      writeSync(this.#fd, this.#bytes, 0, written + 1, at);
    }
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
const encoder = new TextEncoder();
const decoder = new TextDecoder();
