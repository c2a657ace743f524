import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import process from "node:process";
import { describe, test } from "node:test";
import { isOwn } from "../../src/runtime/compile_cache.ts";
import { folder } from "../support/peer.ts";
import { accepting, program, start, until } from "../support/program.ts";

describe("a folder for compiled code", () => {
  test("is this user's alone, on all the way to it", () => {
    using place = folder();
    mkdirSync(place.join("a/b"), { recursive: true, mode: 0o755 });
    assert.equal(isOwn(place.join("a/b")), true);
    assert.equal(isOwn(place.join("a/b"), 1), false);
    symlinkSync(place.join("a/b"), place.join("link"));
    assert.equal(isOwn(place.join("link")), false);
    symlinkSync(place.join("a"), place.join("way"));
    assert.equal(isOwn(place.join("way/b")), false);
    chmodSync(place.join("a"), 0o777);
    assert.equal(isOwn(place.join("a/b")), false);
    chmodSync(place.join("a"), 0o755);
    chmodSync(place.join("a/b"), 0o775);
    assert.equal(isOwn(place.join("a/b")), false);
  });

  test("is done without where it cannot be made, although the folder around it is there", () => {
    const { command: [runtime, ...words] } = program();
    const env = { PATH: process.env.PATH, DENO_DIR: process.env.DENO_DIR, HOME: "/proc/nowhere" };
    const { status, stdout } = spawnSync(runtime, [...words, "version"], { env, encoding: "utf8", timeout: 60_000 });
    assert.equal(status, 0);
    assert.match(stdout, /^runfcgi /);
  });

  test(
    "is filled while the program runs, which may end by a kill",
    { skip: program().name !== "node" && "only Node has it" },
    async () => {
      using place = folder();
      writeFileSync(place.join("app.ts"), 'export default () => new Response("here");');
      const env = { HOME: place.path, XDG_CACHE_HOME: undefined };
      const socket = place.join("s");
      const running = start([...program().command, "app.ts", "threads=1", `socket=${socket}`], { cwd: place.path, env });
      await accepting({ socket }, running);
      const cache = place.join(".cache/runfcgi/node");
      await until(
        "something is in the cache",
        () => readdirSync(cache, { recursive: true }).some((name) => !`${name}`.endsWith("/") && `${name}`.includes("/")),
      );
      running.kill("SIGKILL");
      await running.exit;
    },
  );
});
