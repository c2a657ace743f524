import assert from "node:assert/strict";
import { renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { FileWatch } from "../../src/supervisor/watch.ts";
import { folder } from "../support/peer.ts";
import { until } from "../support/program.ts";

function watched(names: string[] = ["a"]) {
  const place = folder();
  const files = names.map((name) => place.join(name));
  for (const file of files) writeFileSync(file, "one");
  const watch = new FileWatch();
  watch.watch(files);
  return { watch, files, place, file: files[0], [Symbol.dispose]: () => place[Symbol.dispose]() };
}

/** Waits until nothing more is told of the step before. */
async function quiet(count: () => number): Promise<void> {
  let last = -1;
  await until("all is told", async () => {
    const same = count() === last;
    last = count();
    await delay(50);
    return same;
  });
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

  test("knows that a file was shorter, until the change is over, and whether it ends as source does", () => {
    using place = watched();
    const { watch, file } = place;
    writeFileSync(file, "longer");
    assert.equal(watch.settled(), false);
    assert.equal(watch.shorter, "none");
    assert.equal(watch.settled(), true);
    const steps = [["", "partial"], ["a;\n", "whole"], ["longer still", "partial"], ["longer(than that)", "whole"], [
      "{ a }",
      "whole",
    ]];
    for (const [text, what] of steps) {
      writeFileSync(file, text);
      assert.equal(watch.settled(), false);
      assert.equal(watch.shorter, what);
    }
    assert.equal(watch.settled(1e6), false);
    assert.equal(watch.settled(), true);
    assert.equal(watch.shorter, "none");
    rmSync(file);
    assert.equal(watch.settled(), false);
    assert.equal(watch.shorter, "whole");
  });

  test("is told by the system when a file is written, replaced or made, and not of others", async () => {
    using place = watched();
    const { watch, file } = place;
    const later = place.place.join("later");
    watch.add([later]);
    let told = 0;
    watch.notify(() => told++);
    try {
      const steps: [what: string, step: () => void][] = [
        ["written", () => writeFileSync(file, "two")],
        ["replaced", () => {
          writeFileSync(`${file}.new`, "three");
          renameSync(`${file}.new`, file);
        }],
        ["written after that", () => writeFileSync(file, "four")],
        ["made", () => writeFileSync(later, "here")],
      ];
      for (const [what, step] of steps) {
        const before = told;
        step();
        await until(`it is told that a file is ${what}`, () => told > before);
        await quiet(() => told);
      }
      const before = told;
      writeFileSync(place.place.join("other"), "");
      writeFileSync(later, "and here");
      await until("it is told of the last one", () => told > before);
    } finally {
      watch.close();
    }
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
