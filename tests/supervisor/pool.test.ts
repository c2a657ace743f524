import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type PoolBounds, type PoolState, Scaler } from "../../src/supervisor/pool.ts";

const bounds: PoolBounds = { minSpare: 2, maxSpare: 5, maxChildren: 50 };

/** What is decided tick after tick, while nothing changes. */
function ticks(scaler: Scaler, count: number, state: Partial<PoolState>): number[] {
  return Array.from({ length: count }, () => scaler.tick({ idle: 0, busy: 0, starting: 0, ...state }));
}

describe("Scaler", () => {
  test("starts 1, 2, 4, 8 and then 16 workers at a tick, as long as there are too few", () => {
    const scaler = new Scaler({ minSpare: 40, maxSpare: 40, maxChildren: 100 });
    assert.deepEqual(ticks(scaler, 7, { idle: 1 }), [1, 2, 4, 8, 16, 16, 16]);
    assert.deepEqual(ticks(scaler, 1, { idle: 40 }), [0]);
    assert.deepEqual(ticks(scaler, 2, { idle: 1 }), [1, 2]);
  });

  test("starts no more than are missing, those that are starting not counted", () => {
    const scaler = new Scaler(bounds);
    assert.deepEqual(ticks(scaler, 1, { idle: 1, busy: 9 }), [1]);
    assert.deepEqual(ticks(scaler, 1, { starting: 1, busy: 9 }), [1]);
    assert.deepEqual(ticks(scaler, 1, { starting: 2, busy: 9 }), [0]);
    assert.deepEqual(ticks(scaler, 1, { idle: 1, starting: 1, busy: 9 }), [0]);
  });

  test("never goes beyond maxChildren", () => {
    const scaler = new Scaler({ minSpare: 4, maxSpare: 4, maxChildren: 6 });
    assert.deepEqual(ticks(scaler, 3, { busy: 4, idle: 1 }), [1, 1, 1]);
    assert.deepEqual(ticks(scaler, 3, { busy: 6 }), [0, 0, 0]);
    // After a reload there can be more for a moment.
    assert.deepEqual(ticks(scaler, 1, { busy: 8 }), [0]);
  });

  test("ends an idle worker above maxSpare only when that lasts", () => {
    const scaler = new Scaler(bounds);
    assert.deepEqual(ticks(scaler, 10, { idle: 6 }), [0, 0, 0, 0, 0, 0, 0, 0, -1, -1]);
    assert.deepEqual(ticks(scaler, 3, { idle: 5 }), [0, 0, 0]);
  });

  test("a busy moment renews its patience", () => {
    const scaler = new Scaler(bounds);
    for (let i = 0; i < 5; i++) {
      assert.deepEqual(ticks(scaler, 8, { idle: 9 }), new Array(8).fill(0));
      assert.deepEqual(ticks(scaler, 1, { idle: 2, busy: 7 }), [0]);
    }
  });

  test("between minSpare and maxSpare nothing changes, so that it does not flap", () => {
    const scaler = new Scaler(bounds);
    for (const idle of [2, 3, 4, 5]) assert.deepEqual(ticks(scaler, 20, { idle, busy: 3 }), new Array(20).fill(0));
  });

  test("what it ends it does not start again, whatever the load", () => {
    const scaler = new Scaler(bounds);
    const pool = { idle: 12, busy: 0, starting: 0 };
    let changes = 0;
    for (let i = 0; i < 200; i++) {
      const change = scaler.tick(pool);
      pool.idle += change;
      if (change !== 0) changes++;
    }
    assert.deepEqual([pool.idle, changes], [bounds.maxSpare, 7]);
  });

  test("idle workers make place when there are more than maxChildren", () => {
    const scaler = new Scaler({ minSpare: 1, maxSpare: 4, maxChildren: 4 });
    assert.equal(ticks(scaler, 9, { idle: 2, busy: 3 }).at(-1), -1);
    assert.equal(ticks(scaler, 9, { busy: 5 }).at(-1), 0);
  });
});
