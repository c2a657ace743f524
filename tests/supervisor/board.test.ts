import assert from "node:assert/strict";
import { existsSync, mkdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { Params } from "../../src/protocol/params.ts";
import type { RequestFacts } from "../../src/server/monitor.ts";
import { Board, Boards } from "../../src/supervisor/board.ts";
import { underWayWords } from "../../src/supervisor/crew.ts";

function request(method: string, url: string): RequestFacts {
  const params = Params.from([["REQUEST_METHOD", method], ["REQUEST_URI", url]]);
  return { params, owner: { protocol: "fcgi" }, begunAt: performance.now(), status: 0, sentLength: 0 };
}

describe("a board", () => {
  const boards = new Boards();
  process.on("exit", () => rmSync(boards.folder!, { recursive: true, force: true }));

  test("keeps the last note of each thread, for nobody else to read", () => {
    const read = boards.make()!;
    const written = Board.open(read.path)!;
    assert.equal(read.read(0), undefined);
    written.note(1, 1, request("GET", `/${"long".repeat(1000)}`));
    written.note(1, 2, request("POST", "/short"));
    written.note(2, 7, request("GET", "/two\nlines"));
    const { since, ...note } = read.read(1)!;
    assert.deepEqual(note, { begun: 2, method: "POST", url: "/short" });
    assert.ok(Math.abs(Date.now() - since) < 10_000);
    assert.equal(read.read(2)?.url, "/two");
    assert.equal(read.read(3), undefined);
    assert.equal(statSync(read.path).mode & 0o777, 0o600);
    assert.equal(statSync(boards.folder!).mode & 0o077, 0);
    // Where the disk is full later, writing to a hole of a file in memory would end the process.
    assert.ok(statSync(read.path).blocks * 512 >= statSync(read.path).size);
    read.remove();
    assert.equal(Board.open(read.path), undefined);
  });

  test("adds to what a worker has told what it has noted since", () => {
    const board = boards.make()!;
    const counts = { requests: 0 };
    const told = { begun: 1, underWay: [{ method: "GET", url: "/told", since: Date.now() - 3000 }], counts };
    const member = { board, reports: new Map([[0, told]]) } as unknown as Parameters<typeof underWayWords>[0];
    board.note(0, 1, request("GET", "/told"));
    assert.match(underWayWords(member), /^; under way: GET \/told for \d+\.\d s$/);
    board.note(0, 2, request("GET", "/noted"));
    const seconds = /^; under way: GET \/told for (\d+\.\d) s, GET \/noted for (\d+\.\d) s$/.exec(underWayWords(member))!;
    assert.ok(+seconds[1] - +seconds[2] >= 2.9, seconds[0]);
    board.remove();
  });

  test("of a server that was killed with all that watched it is removed by the next one", () => {
    const { folder } = boards;
    const [, prefix, space, start] = /^(.*runfcgi-notes-\d+\/)(\d+)-\d+-(\w+)-/.exec(folder!)!;
    const dead = `${prefix}${space}-${2 ** 30}-${start}-abcdef`;
    // In another container, where its number may be that of a process that runs; and a link that somebody has put there.
    const elsewhere = `${prefix}1-${2 ** 30}-${start}-abcdef`;
    const link = `${prefix}${space}-${2 ** 30}-${start}-ghijkl`;
    const target = join(tmpdir(), `runfcgi-kept-${process.pid}`);
    for (const path of [dead, elsewhere, target]) mkdirSync(path);
    symlinkSync(target, link);
    mkdirSync(join(dead, "0"));
    try {
      const next = new Boards();
      assert.deepEqual([dead, elsewhere, folder!, target].map(existsSync), [false, true, true, true]);
      rmSync(next.folder!, { recursive: true });
    } finally {
      for (const path of [dead, elsewhere, link, target]) rmSync(path, { recursive: true, force: true });
    }
  });
});
