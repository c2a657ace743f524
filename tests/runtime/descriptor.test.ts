import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, readlinkSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import {
  closeDescriptor,
  copyDescriptor,
  coverDescriptor,
  descriptorOf,
  prepareDescriptors,
  uncoverDescriptor,
} from "../../src/runtime/descriptor.ts";
import { folder } from "../support/peer.ts";

const isNode = process.versions.bun === undefined && process.versions.deno === undefined;
const O_CLOEXEC = 0o2000000;

/** Flags of an open descriptor. */
function flags(fd: number): number {
  return parseInt(/^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1], 8);
}

const target = (fd: number) => readlinkSync(`/proc/self/fd/${fd}`);

async function listening(path: string): Promise<Server> {
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
}

describe("copies of descriptors", { skip: isNode && "Node makes none" }, () => {
  test("are of the same socket, out of the way, and not inherited", async () => {
    using place = folder();
    await prepareDescriptors();
    const server = await listening(place.join("s"));
    const fd = descriptorOf(server, { transport: "unix", path: place.join("s") });
    const copies = [copyDescriptor(fd)!, copyDescriptor(fd)!];
    for (const copy of copies) {
      assert.ok(copy >= 10 && copy !== fd);
      assert.equal(target(copy), target(fd));
      assert.ok((flags(copy) & O_CLOEXEC) !== 0);
      closeDescriptor(copy);
    }
    assert.ok(target(fd).startsWith("socket:"));
    server.close();
    assert.equal(copyDescriptor(2 ** 20), undefined);
  });

  test("can be covered for a while", async () => {
    using place = folder();
    await prepareDescriptors();
    const server = await listening(place.join("s"));
    const fd = descriptorOf(server, { transport: "unix", path: place.join("s") });
    const copy = copyDescriptor(fd)!;
    coverDescriptor(copy);
    assert.equal(target(copy), "/dev/null");
    uncoverDescriptor(copy, fd);
    assert.equal(target(copy), target(fd));
    assert.ok((flags(copy) & O_CLOEXEC) !== 0);
    closeDescriptor(copy);
    server.close();
  });
});

test("Node shares the standard descriptors and no others", { skip: !isNode && "not Node" }, async () => {
  await prepareDescriptors();
  assert.deepEqual([0, 2, 3].map(copyDescriptor), [0, 2, undefined]);
});

/** Numbers that Node has not marked at its start as not to be inherited. */
const [FILE, PIPE] = [20, 21];

test(
  "of what the shell had open, no file is closed: a thread of the runtime may be reading it",
  { skip: !isNode && "not Node" },
  async () => {
    const sealing = join(import.meta.dirname!, "sealing.ts");
    const file = openSync(sealing, "r");
    const stdio = Array.from({ length: PIPE + 1 }, (_, fd) => fd === FILE ? file : fd === PIPE || fd === 1 ? "pipe" : "ignore");
    const child = spawn(process.execPath, [sealing, String(FILE), String(PIPE)], {
      stdio: stdio as ("pipe" | "ignore" | number)[],
    });
    closeSync(file);
    let text = "";
    child.stdout!.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
    await new Promise((resolve) => child.once("close", resolve));
    assert.deepEqual(JSON.parse(text), ["open", "closed"]);
  },
);
