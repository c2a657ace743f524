/**
 * Whether files have changed, by looking at them: it works on every file system, and costs a few calls a second. Where the
 * system tells of changes, they are looked at sooner.
 *
 * @module
 */
import { closeSync, readSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { FolderEvents } from "../runtime/folders.ts";
import { openRegular } from "../runtime/rights.ts";

/** What source ends with, and what was cut off somewhere hardly ever. */
const ENDS = "\n;})";

/** Files whose changes count. */
export class FileWatch {
  #files: string[] = [];
  #seen: State = { text: "", sizes: [] };
  /** A change that is still going on, as during an upload, and since when it looks as it does. */
  #changing: { text: string; since: number; shorter: ReadonlySet<string> } | undefined;
  #events: FolderEvents | undefined;

  /** What they are like now counts as unchanged. */
  watch(files: readonly string[]): void {
    this.#files = [...new Set(files)].sort();
    this.#seen = look(this.#files);
    this.#changing = undefined;
    this.#events?.add(foldersOf(this.#files));
  }

  /** More files, as they are now. */
  add(files: readonly string[]): void {
    const known = new Set(this.#files);
    const more = files.filter((file) => !known.has(file));
    if (more.length === 0) return this.#events?.add(foldersOf(this.#files));
    const changed = this.changing;
    this.watch([...this.#files, ...more]);
    if (changed) this.#seen = { ...this.#seen, text: "" };
  }

  /** Calls when one of them was perhaps touched, as far as the system tells. */
  notify(touched: () => void): void {
    this.#events = new FolderEvents((folder, name) => {
      if (this.#files.some((file) => basename(file) === name && dirname(file) === folder)) touched();
    });
    this.#events.add(foldersOf(this.#files));
  }

  close(): void {
    this.#events?.close();
    this.#events = undefined;
  }

  /** Whether they differ from what they were. */
  get changing(): boolean {
    return look(this.#files).text !== this.#seen.text;
  }

  /**
   * Of files that were shorter, during the change that is going on, than they had been: `partial` when one does not end
   * as source does, so that the rest is probably still to come.
   */
  get shorter(): "none" | "partial" | "whole" {
    const { shorter } = this.#changing ?? {};
    if (!shorter?.size) return "none";
    return [...shorter].every(hasEnd) ? "whole" : "partial";
  }

  /** Whether they have changed since the last call. */
  changed(): boolean {
    const now = look(this.#files);
    const changed = now.text !== this.#seen.text;
    this.#seen = now;
    return changed;
  }

  /** Whether they have changed and then stayed the same, between two calls and for so many milliseconds. */
  settled(milliseconds = 0): boolean {
    const now = look(this.#files);
    if (now.text === this.#seen.text) {
      this.#changing = undefined;
      return false;
    }
    const same = this.#changing?.text === now.text;
    if (!same) {
      const shorter = this.#files.filter((_, i) => now.sizes[i] < (this.#seen.sizes[i] ?? 0));
      this.#changing = {
        text: now.text,
        since: performance.now(),
        shorter: new Set([...this.#changing?.shorter ?? [], ...shorter]),
      };
    }
    if (!same || performance.now() - this.#changing!.since < milliseconds) return false;
    this.#seen = now;
    this.#changing = undefined;
    return true;
  }
}

const foldersOf = (files: readonly string[]) => new Set(files.map((file) => dirname(file)));

/** What files are like; a file that is missing has no bytes. */
interface State {
  text: string;
  sizes: number[];
}

function look(files: readonly string[]): State {
  const found = files.map((file) => statSync(file, { throwIfNoEntry: false }));
  return {
    text: found.map((stats) => stats ? `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeMs}` : "").join("\n"),
    sizes: found.map((stats) => stats?.size ?? 0),
  };
}

/** Whether a file ends as source does; one that is gone has been removed as a whole. */
function hasEnd(file: string): boolean {
  try {
    const { fd, stats } = openRegular(file);
    try {
      const last = new Uint8Array(1);
      return stats.size > 0 && readSync(fd, last, 0, 1, stats.size - 1) === 1 && ENDS.includes(String.fromCharCode(last[0]));
    } finally {
      closeSync(fd);
    }
  } catch {
    return true;
  }
}
