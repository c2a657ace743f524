import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { Spool, type SpoolError } from "../../src/server/spool.ts";
import { concat, pattern } from "../support/bytes.ts";
import { folder } from "../support/peer.ts";
import { Random } from "../support/random.ts";

describe("a spool", () => {
  test("has room for what waits, however much has passed through it", () => {
    const max = 300_000;
    const spool = new Spool({ folder: tmpdir(), max });
    const sent = pattern(2_000_000);
    const random = new Random(3);
    const got: Uint8Array[] = [];
    let written = 0;
    while (written < sent.length) {
      // It is never empty, as with a reader that is slower than the writer.
      while (spool.length > 150_000) got.push(spool.read());
      const piece = sent.subarray(written, written + 1 + random.int(100_000));
      spool.write(piece);
      written += piece.length;
    }
    while (spool.length > 0) got.push(spool.read());
    spool.close();
    assert.ok(Buffer.from(concat(...got)).equals(sent));
  });

  test("takes as many bytes as it may and not one more, and again when some have been read", () => {
    const max = 200_000;
    const spool = new Spool({ folder: tmpdir(), max });
    const refuses = (length: number) =>
      assert.throws(() => spool.write(new Uint8Array(length)), (error: SpoolError) => error.status === 413);
    refuses(max + 1);
    spool.write(new Uint8Array(max));
    refuses(1);
    const { length } = spool.read();
    refuses(length + 1);
    spool.write(new Uint8Array(length));
    refuses(1);
    spool.close();
  });

  test("takes from what all have together only as long as it is open", () => {
    const options = { folder: tmpdir(), max: 10_000 };
    for (let round = 0; round < 20; round++) {
      const spools = [1, 2, 3, 4].map(() => new Spool(options));
      for (const spool of spools) {
        spool.write(new Uint8Array(10_000));
        if (round % 2 === 0) spool.read();
        if (round % 4 === 0) spool.write(new Uint8Array(10_000));
      }
      if (round % 2 === 1 || round % 4 === 0) {
        assert.throws(() => new Spool(options).write(new Uint8Array(1)), (error: SpoolError) => error.status === 503);
      }
      for (const spool of spools) spool.close();
    }
  });

  const skip = process.getuid?.() !== 0 && "only root can mount a small disk";

  test("leaves a tenth of a small disk free, also when several fill it", { skip }, (t) => {
    using place = folder();
    const size = 8 * 1024 * 1024;
    const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", place.path]);
    if (status !== 0) return t.skip("there is no right to mount a small disk");
    const spools = [1, 2, 3].map(() => new Spool({ folder: place.path, max: size }));
    try {
      const piece = new Uint8Array(64 * 1024);
      const full = new Set<Spool>();
      for (let i = 0; full.size < spools.length; i++) {
        const spool = spools[i % spools.length];
        try {
          spool.write(piece);
        } catch (error) {
          assert.equal((error as SpoolError).status, 503);
          full.add(spool);
        }
      }
      const freeBytes = () => {
        const { bavail, bsize } = statfsSync(place.path);
        return bavail * bsize;
      };
      const free = freeBytes();
      assert.ok(free >= size / 10 && free < size / 10 + 2 * piece.length, `${free} bytes are free`);
      spools[0].close();
      spools[1].write(piece);
      // Filled by somebody else since it was looked at.
      writeFileSync(join(place.path, "filler"), new Uint8Array(freeBytes() - 2 * piece.length));
      assert.throws(() => spools[0].write(piece), (error) => (error as SpoolError).status === 503);
    } finally {
      for (const spool of spools) spool.close();
      spawnSync("umount", [place.path]);
    }
  });
});
