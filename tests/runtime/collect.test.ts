import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Collecting } from "../../src/runtime/collect.ts";

const MIB = 1024 * 1024;

/**
 * Receives so much in pieces, each of which takes a millisecond, and says how often was collected.
 *
 * @param stop milliseconds that a collection takes
 * @param used those of them in which it has a processor
 */
function collections(mebibytes: number, stop: number, used = stop): number {
  let [now, time, count] = [0, 0, 0];
  const collect = () => {
    count++;
    now += stop;
    time += used;
  };
  const collecting = new Collecting(collect, () => now, () => time);
  for (let i = 0; i < mebibytes; i++) {
    now++;
    collecting.count(MIB);
  }
  return count;
}

describe("forced collections", () => {
  test("come with every 8 MiB", () => {
    assert.equal(collections(7, 0.1), 0);
    assert.equal(collections(1024, 0.1), 128);
  });

  test("take no more than 1 % of the time, of which 100 ms may be saved up", () => {
    for (const stop of [1, 5, 10]) {
      const time = collections(65_536, stop) * stop;
      assert.ok(time <= 0.01 * (65_536 + time) + 100 + stop, `${stop}: ${time}`);
      assert.ok(time > 500, `${stop}: ${time}`);
    }
  });

  test("rest for a minute when one has stopped everything for more than 10 ms", () => {
    assert.equal(collections(32_768, 11), 1);
    assert.equal(collections(65_536, 11), 2);
  });

  test("go on when one had to wait for a processor", () => {
    assert.equal(collections(512, 11, 1), 64);
  });
});
