/**
 * The system's notifications that something in folders has changed. Network file systems have none, and watchers are
 * limited, so callers that must not miss a change poll the files as well.
 *
 * @module
 */
import { statSync, watch } from "node:fs";
import { basename, dirname } from "node:path";

/** What is used of Deno, whose `node:fs` takes one of the user's 128 inotify instances for each folder. */
interface DenoFiles {
  watchFs(paths: string[], options: { recursive: boolean }): AsyncIterable<{ paths: string[] }> & { close(): void };
}

type Take = (folder: string, name: string) => void;

const MAX_FOLDERS = 32;
/** Notifications per second above which a folder is no longer watched, such as one with a busy database. */
const MAX_EVENTS = 500;

/** Watches folders, and not what is below them: of a file that is watched itself, a replacement would be missed. */
export class FolderEvents {
  readonly #onChange: Take;
  /** Those that are watched, with what tells each from another one in its place. */
  readonly #folders = new Map<string, number>();
  readonly #busy = new Set<string>();
  readonly #counts = new Map<string, number>();
  #countedAt = 0;
  #close: (() => void) | undefined;

  /** @param onChange gets a folder and the name in it of what was written, added or removed */
  constructor(onChange: Take) {
    this.#onChange = onChange;
  }

  /** Watches more folders, and those again that are others by now; what is not there, or is too many, is left out. */
  add(folders: Iterable<string>): void {
    let changed = false;
    for (const folder of folders) {
      if (this.#busy.has(folder) || this.#folders.size >= MAX_FOLDERS && !this.#folders.has(folder)) continue;
      const inode = statSync(folder, { throwIfNoEntry: false })?.ino;
      if (inode === undefined || inode === this.#folders.get(folder)) continue;
      this.#folders.set(folder, inode);
      changed = true;
    }
    if (changed) this.#watch();
  }

  close(): void {
    this.#folders.clear();
    this.#watch();
  }

  #watch(): void {
    const old = this.#close;
    const { Deno: deno } = globalThis as { Deno?: DenoFiles };
    const folders = [...this.#folders.keys()];
    const take: Take = (folder, name) => this.#changed(folder, name);
    this.#close = folders.length === 0 ? undefined : deno ? watchByDeno(deno, folders, take) : watchByNode(folders, take);
    // Only now, so that nothing is missed in between.
    old?.();
  }

  #changed(folder: string, name: string): void {
    const now = performance.now();
    if (now - this.#countedAt > 1000) {
      this.#countedAt = now;
      this.#counts.clear();
    }
    const count = (this.#counts.get(folder) ?? 0) + 1;
    this.#counts.set(folder, count);
    if (count <= MAX_EVENTS) return this.#onChange(folder, name);
    this.#busy.add(folder);
    if (this.#folders.delete(folder)) this.#watch();
  }
}

function watchByNode(folders: readonly string[], take: Take): () => void {
  const watchers = folders.flatMap((folder) => {
    try {
      const watcher = watch(folder, { persistent: false }, (_, name) => {
        if (typeof name === "string") take(folder, name);
      });
      // It was removed.
      return [watcher.on("error", () => watcher.close())];
    } catch {
      return [];
    }
  });
  return () => {
    for (const watcher of watchers) watcher.close();
  };
}

function watchByDeno(deno: DenoFiles, folders: readonly string[], take: Take): (() => void) | undefined {
  try {
    const watcher = deno.watchFs([...folders], { recursive: false });
    (async () => {
      for await (const { paths } of watcher) for (const path of paths) take(dirname(path), basename(path));
    })().catch(() => {});
    return () => watcher.close();
  } catch {
    return undefined;
  }
}
