import assert from "node:assert/strict";
import { renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { FileWatch } from "../../src/supervisor/watch.ts";
import { folder } from "../support/peer.ts";

function watched(names: string[] = ["a"]) {
  const place = folder();
  const files = names.map((name) => place.join(name));
  for (const file of files) writeFileSync(file, "one");
  const watch = new FileWatch();
  watch.watch(files);
  return { watch, files, place, file: files[0], [Symbol.dispose]: () => place[Symbol.dispose]() };
}

/** What makes a file another, and what does not. */
const changes: Record<string, (file: string) => void> = {
  "other text of the same length": (file) => {
    writeFileSync(file, "two");
    utimesSync(file, 1000, 1000);
  },
  "another length at the same time": (file) => writeFileSync(file, "longer"),
  "another file in its place": (file) => {
    writeFileSync(`${file}.new`, "one");
    renameSync(`${file}.new`, file);
  },
  "touching it": (file) => utimesSync(file, 2000, 2000),
  "removing it": (file) => rmSync(file),
};

describe("FileWatch", () => {
  for (const [name, change] of Object.entries(changes)) {
    test(`notices ${name}, once`, () => {
      using place = watched();
      const { watch, file } = place;
      assert.equal(watch.changed(), false);
      change(file);
      assert.equal(watch.changing, true);
      assert.equal(watch.changed(), true);
      assert.equal(watch.changed(), false);
      assert.equal(watch.changing, false);
    });
  }

  test("waits until a file stays the same", () => {
    using place = watched();
    const { watch, file } = place;
    assert.equal(watch.settled(), false);
    for (const text of ["a", "ab", "abc1"]) {
      writeFileSync(file, text);
      assert.equal(watch.settled(), false);
    }
    assert.equal(watch.settled(), true);
    assert.equal(watch.settled(), false);
  });

  test("a file that is again what it was is no change", () => {
    using place = watched();
    const { watch, file } = place;
    utimesSync(file, 1000, 1000);
    watch.watch([file]);
    utimesSync(file, 2000, 2000);
    assert.equal(watch.settled(), false);
    utimesSync(file, 1000, 1000);
    assert.equal(watch.settled(), false);
    utimesSync(file, 2000, 2000);
    assert.equal(watch.settled(), false);
    assert.equal(watch.settled(), true);
  });

  test("notices a file that was missing", () => {
    using place = watched([]);
    const { watch } = place;
    const file = place.place.join("later");
    watch.add([file]);
    assert.equal(watch.settled(), false);
    writeFileSync(file, "here");
    assert.equal(watch.settled(), false);
    assert.equal(watch.settled(), true);
  });

  test("more files do not hide a change that is not told yet", () => {
    using place = watched(["a", "b"]);
    const { watch, files: [a, b] } = place;
    watch.watch([a]);
    watch.add([a]);
    assert.equal(watch.changing, false);
    writeFileSync(a, "changed");
    watch.add([b]);
    assert.equal(watch.changing, true);
    assert.equal(watch.settled(), false);
    assert.equal(watch.settled(), true);
    watch.add([a, b]);
    assert.equal(watch.settled(), false);
    writeFileSync(b, "changed");
    assert.equal(watch.changed(), true);
  });
});
