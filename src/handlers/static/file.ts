/**
 * Files of a folder and of nothing else: how they are opened, and their bytes.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type BigIntStats, close, closeSync, constants, fstat, open, read, realpathSync, statSync } from "node:fs";
import { readlink, realpath, stat } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { promisify } from "node:util";

// Descriptors and no FileHandle: where somebody drops a response without cancelling its body, that ends the process.
const openDescriptor = promisify(open);
const statDescriptor = promisify(fstat);
const readDescriptor = promisify(read);
const forgotten = new FinalizationRegistry<number>(closeSync);

/** Without waiting for somebody to write into a FIFO, and without making a terminal this process's own. */
const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
/** Nothing is there, or nothing that has bytes: ENXIO and ENODEV are sockets and devices. */
const absent = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG", "ENXIO", "ENODEV", "EINVAL", "EILSEQ"]);
/** Files up to this size are read at once, larger ones in pieces of it. */
const PIECE = 64 * 1024;

/** What a path led to. */
export type Found = OpenFile | "folder" | "forbidden" | undefined;

/** A folder whose files are given away. */
export class Folder {
  readonly #path: string;
  /** Where it is without symbolic links. */
  #real: string;

  /** @throws {TypeError} when there is no such folder */
  constructor(path: string) {
    this.#path = resolve(path);
    if (!statSync(this.#path, { throwIfNoEntry: false })?.isDirectory()) throw new TypeError(`There is no folder "${path}"`);
    this.#real = realpathSync(this.#path);
  }

  /**
   * Opens a regular file. What is reached by a symbolic link to the outside is `undefined`, like nothing at all.
   *
   * It is opened first, and then the place of what was opened is looked at: a look before would say nothing about a
   * link that changes in between.
   *
   * @param path relative, without dot segments
   */
  async open(path: string): Promise<Found> {
    const wanted = join(this.#path, path);
    let descriptor: number | undefined;
    try {
      descriptor = await openDescriptor(wanted, flags);
      const stats = await statDescriptor(descriptor, { bigint: true });
      const real = await realPath(descriptor, stats, wanted);
      if (real === undefined || !await this.#contains(real)) return undefined;
      if (stats.isDirectory()) return "folder";
      if (!stats.isFile()) return undefined;
      const file = new OpenFile(descriptor, stats, real, relative(this.#real, real));
      descriptor = undefined;
      return file;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EACCES" || code === "EPERM") return "forbidden";
      if (code !== undefined && absent.has(code)) return undefined;
      throw error;
    } finally {
      if (descriptor !== undefined) close(descriptor, ignore);
    }
  }

  async #contains(real: string): Promise<boolean> {
    if (isBelow(this.#real, real)) return true;
    // A link in the folder's own path may lead to another release by now.
    this.#real = await realpath(this.#path);
    return isBelow(this.#real, real);
  }
}

/** Nobody can do anything about a descriptor that was not to be closed. */
function ignore(): void {}

/** Whether one real path is the other, or below it. */
export function isBelow(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

/**
 * Where an open file is. Linux knows; elsewhere the path that it was opened by is followed once more, and has to lead
 * to the same file.
 */
async function realPath(descriptor: number, { dev, ino }: BigIntStats, path: string): Promise<string | undefined> {
  try {
    return await readlink(`/proc/self/fd/${descriptor}`);
  } catch {
    const real = await realpath(path);
    const there = await stat(real, { bigint: true });
    return there.dev === dev && there.ino === ino ? real : undefined;
  }
}

/** An open regular file. Whoever has it closes it, or takes its bytes. */
export class OpenFile {
  /** Where it is, without symbolic links. */
  readonly path: string;
  /** The path from the folder to there. */
  readonly pathInFolder: string;
  readonly size: number;
  /** When it was modified, in nanoseconds since 1970. */
  readonly mtime: bigint;
  readonly #descriptor: number;
  #closed = false;

  constructor(descriptor: number, { size, mtimeNs }: BigIntStats, path: string, pathInFolder: string) {
    this.#descriptor = descriptor;
    forgotten.register(this, descriptor, this);
    this.size = Number(size);
    this.mtime = mtimeNs;
    this.path = path;
    this.pathInFolder = pathInFolder;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    forgotten.unregister(this);
    close(this.#descriptor, ignore);
  }

  /** The bytes from `start` to before `end`, after which the file is closed. */
  async take(start: number, end: number): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>>> {
    if (end - start > PIECE) return this.#stream(start, end);
    try {
      return await this.#read(start, end - start);
    } finally {
      this.close();
    }
  }

  #stream(start: number, end: number): ReadableStream<Uint8Array<ArrayBuffer>> {
    let reading: Promise<Uint8Array<ArrayBuffer>> | undefined;
    return new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: async (controller) => {
        try {
          reading = this.#read(start, Math.min(PIECE, end - start));
          const bytes = await reading;
          start += bytes.length;
          // Cancelled meanwhile.
          if (this.#closed) return;
          controller.enqueue(bytes);
          if (start < end) return;
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        this.close();
      },
      cancel: async () => {
        // The descriptor's number could be that of another file before this ends.
        await reading?.catch(() => {});
        this.close();
      },
    }, { highWaterMark: 0 });
  }

  async #read(start: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = Buffer.allocUnsafeSlow(length);
    for (let filled = 0; filled < length;) {
      const { bytesRead } = await readDescriptor(this.#descriptor, bytes, filled, length - filled, start + filled);
      if (bytesRead === 0) throw new Error(`${this.path} became shorter while it was read`);
      filled += bytesRead;
    }
    return bytes;
  }
}
