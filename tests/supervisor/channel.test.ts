import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { noCounts } from "../../src/server/monitor.ts";
import { readMessage } from "../../src/supervisor/channel.ts";

const report = {
  pid: 1,
  thread: 0,
  uptime: 1,
  memory: 1,
  counts: noCounts(),
  at: 1,
  begun: 1,
  underWay: [{ method: "GET", url: "/", since: 1 }],
};

describe("readMessage()", () => {
  const good: unknown[] = [
    { type: "ready", modules: ["/app.ts"] },
    { type: "failed", reason: "it throws", modules: [] },
    { type: "state", report },
    { type: "state", report: { ...report, lastError: { at: 1, text: "no" } } },
    { type: "alive" },
    { type: "gone", thread: 2 },
    { type: "expired", what: "age", reason: "old" },
    { type: "status", id: "0.1", report },
  ];
  for (const message of good) {
    test(`takes ${JSON.stringify(message).slice(0, 60)}`, () => assert.equal(readMessage(message), message));
  }

  const bad: unknown[] = [
    null,
    undefined,
    1,
    "ready",
    [],
    {},
    { type: "toString" },
    { type: "__proto__" },
    { type: ["ready"], modules: [] },
    { type: "ready" },
    { type: "ready", modules: [1] },
    { type: "failed", modules: [] },
    { type: "gone", thread: "1" },
    { type: "state" },
    { type: "state", report: { ...report, counts: {} } },
    { type: "state", report: { ...report, counts: { ...noCounts(), latencies: [1] } } },
    { type: "state", report: { ...report, counts: { ...noCounts(), statuses: { 2: "1" } } } },
    { type: "state", report: { ...report, underWay: [null] } },
    { type: "state", report: { ...report, lastError: "no" } },
    { type: "status", report },
  ];
  for (const message of bad) {
    test(`takes nothing from ${JSON.stringify(message)?.slice(0, 60)}`, () => assert.equal(readMessage(message), undefined));
  }
});
