/**
 * Whether files have changed, by looking at them: it works on every file system, and costs a few calls a second.
 *
 * @module
 */
import { statSync } from "node:fs";

/** Files whose changes count. */
export class FileWatch {
  #files: string[] = [];
  #seen = "";
  /** A change that is still going on, as during an upload. */
  #changing: string | undefined;

  /** What they are like now counts as unchanged. */
  watch(files: readonly string[]): void {
    this.#files = [...new Set(files)].sort();
    this.#seen = fingerprint(this.#files);
    this.#changing = undefined;
  }

  /** More files, as they are now. */
  add(files: readonly string[]): void {
    const more = files.filter((file) => !this.#files.includes(file));
    if (more.length === 0) return;
    const changed = this.changing;
    this.watch([...this.#files, ...more]);
    if (changed) this.#seen = "";
  }

  /** Whether they differ from what they were. */
  get changing(): boolean {
    return fingerprint(this.#files) !== this.#seen;
  }

  /** Whether they have changed since the last call. */
  changed(): boolean {
    const now = fingerprint(this.#files);
    const changed = now !== this.#seen;
    this.#seen = now;
    return changed;
  }

  /** Whether they have changed and then stayed the same between two calls. */
  settled(): boolean {
    const now = fingerprint(this.#files);
    if (now === this.#seen) {
      this.#changing = undefined;
      return false;
    }
    const settled = now === this.#changing;
    this.#changing = now;
    if (settled) this.#seen = now;
    return settled;
  }
}

function fingerprint(files: readonly string[]): string {
  return files.map((file) => {
    const stats = statSync(file, { throwIfNoEntry: false });
    return stats ? `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeMs}` : "";
  }).join("\n");
}
