/**
 * Whether files have changed, by looking at them: it works on every file system, and costs a few calls a second. Where the
 * system tells of changes, they are looked at sooner.
 *
 * @module
 */
import { statSync } from "node:fs";
import { basename, dirname } from "node:path";
import { FolderEvents } from "../runtime/folders.ts";

/** Files whose changes count. */
export class FileWatch {
  #files: string[] = [];
  #seen: State = { text: "", sizes: [] };
  /** A change that is still going on, as during an upload, and since when it looks as it does. */
  #changing: { text: string; since: number; shrank: boolean } | undefined;
  #events: FolderEvents | undefined;

  /** What they are like now counts as unchanged. */
  watch(files: readonly string[]): void {
    this.#files = [...new Set(files)].sort();
    this.#seen = look(this.#files);
    this.#changing = undefined;
    this.#events?.add(this.#files.map((file) => dirname(file)));
  }

  /** More files, as they are now. */
  add(files: readonly string[]): void {
    const more = files.filter((file) => !this.#files.includes(file));
    if (more.length === 0) return;
    const changed = this.changing;
    this.watch([...this.#files, ...more]);
    if (changed) this.#seen = { ...this.#seen, text: "" };
  }

  /** Calls when one of them was perhaps touched, as far as the system tells. */
  notify(touched: () => void): void {
    this.#events = new FolderEvents((folder, name) => {
      if (this.#files.some((file) => basename(file) === name && dirname(file) === folder)) touched();
    });
    this.#events.add(this.#files.map((file) => dirname(file)));
  }

  close(): void {
    this.#events?.close();
    this.#events = undefined;
  }

  /** Whether they differ from what they were. */
  get changing(): boolean {
    return look(this.#files).text !== this.#seen.text;
  }

  /** Whether one was shorter, during the change that is going on, than it had been: the rest may be still to come. */
  get shrank(): boolean {
    return this.#changing?.shrank ?? false;
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
    const shrank = this.shrank || now.sizes.some((size, i) => size < (this.#seen.sizes[i] ?? 0));
    const same = this.#changing?.text === now.text;
    if (!same) this.#changing = { text: now.text, since: performance.now(), shrank };
    if (!same || performance.now() - this.#changing!.since < milliseconds) return false;
    this.#seen = now;
    this.#changing = undefined;
    return true;
  }
}

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
