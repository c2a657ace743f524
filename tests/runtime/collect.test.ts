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
    assert.equal(collections(1024, 5), 128);
  });

  test("take no more than 1 % of the time once one has stopped everything for more than 10 ms", () => {
    assert.ok(collections(8192, 11) * 11 <= 8192 * 0.01 + 11);
    assert.ok(collections(8192, 11) >= 7);
  });

  test("go on when one had to wait for a processor", () => {
    assert.equal(collections(1024, 11, 1), 128);
  });
});
