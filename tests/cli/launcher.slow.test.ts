/** The short script of shared hosting, and the compressed program beside it. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { launcherText } from "../../src/cli/commands/launcher.ts";
import { startManaged } from "../support/managed.ts";
import { program, start } from "../support/program.ts";
import { makeFolder } from "../support/servers.ts";

const folder = makeFolder();
after(() => folder.remove());

/** A small program that says how it was started. */
const small = (word: string) => `#!/bin/sh\necho "${word} $RUNFCGI_FILE $* $GOMAXPROCS"\necho started >> "\${0%/*}/starts"\n`;

let sites = 0;
function site(word = "one"): string {
  const path = join(folder.path, `site ${++sites}`);
  mkdirSync(path);
  put(path, word);
  return path;
}

function put(path: string, word: string): void {
  const text = small(word);
  writeFileSync(join(path, "runfcgi.gz"), gzipSync(text));
  writeFileSync(join(path, "mysite.fcgi"), launcherText(Buffer.from(text)));
  chmodSync(join(path, "mysite.fcgi"), 0o755);
}

async function run(path: string, prefix = "exec", environment: Record<string, string> = {}) {
  const running = start(["/bin/sh", "-c", `${prefix} "$0" "$@"`, join(path, "mysite.fcgi"), "a", "b c"], {
    env: environment,
  });
  const { code } = await running.exit;
  return { code, stdout: running.stdout(), stderr: running.stderr() };
}

const unpacked = (path: string) => readdirSync(path).filter((name) => name.startsWith(".htrunfcgi-"));

describe("the script that stands for the program", { skip: process.platform !== "linux" && "needs Linux" }, () => {
  test("unpacks the program once, and starts it with its arguments and its own name", async () => {
    const path = site();
    for (let i = 0; i < 2; i++) {
      const { code, stdout, stderr } = await run(path);
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: `one ${path}/mysite.fcgi a b c \n`, stderr: "" });
    }
    assert.equal(unpacked(path).length, 1);
  });

  test("unpacks it once for twenty at the same moment", async () => {
    const path = site();
    const all = await Promise.all(Array.from({ length: 20 }, () => run(path)));
    assert.deepEqual(all.map(({ code }) => code), all.map(() => 0), all.map(({ stderr }) => stderr).join(""));
    assert.equal(readFileSync(join(path, "starts"), "utf8"), "started\n".repeat(20));
    assert.equal(unpacked(path).length, 1);
  });

  test("takes another version that is uploaded, and removes the one before", async () => {
    const path = site();
    await run(path);
    put(path, "two");
    assert.match((await run(path)).stdout, /^two /);
    assert.equal(unpacked(path).length, 1);
  });

  test("says what is wrong in the site's log, too, where a web server starts it", async () => {
    const path = site();
    rmSync(join(path, "runfcgi.gz"));
    const log = join(path, ".htmysite.log");
    await run(path);
    assert.equal(existsSync(log), false);
    const asServer = async () => {
      const { running } = await startManaged([join(path, "mysite.fcgi")], path);
      assert.equal((await running.exit).code, 1);
    };
    await asServer();
    assert.match(
      readFileSync(log, "utf8"),
      /^\[[\d-]+ [\d:]+\] mysite\.fcgi\[\d+\] \S.*runfcgi\.gz is not there or not whole.*\n$/,
    );
    assert.equal(statSync(log).mode & 0o777, 0o600);
    // It does not grow without end.
    truncateSync(log, 2 ** 20);
    await asServer();
    assert.equal(statSync(log).size, 2 ** 20);
  });

  test("says what is wrong with what was uploaded, and leaves nothing", async () => {
    const cut = site();
    truncateSync(join(cut, "runfcgi.gz"), 30);
    const other = site();
    writeFileSync(join(other, "runfcgi.gz"), gzipSync(small("other")));
    const missing = site();
    rmSync(join(missing, "runfcgi.gz"));
    for (const [path, text] of [[cut, /not whole/], [other, /not of the same version/], [missing, /is not there/]] as const) {
      const { code, stderr } = await run(path);
      assert.equal(code, 1);
      assert.match(stderr, text);
      assert.match(stderr, /binary mode$/m);
      assert.deepEqual(unpacked(path), []);
    }
  });

  test("does not unpack again what is known to be damaged, until another one is uploaded", async () => {
    const path = site();
    const whole = readFileSync(join(path, "runfcgi.gz"));
    for (const broken of [whole.subarray(0, 30), gzipSync(small("other"))]) {
      writeFileSync(join(path, "runfcgi.gz"), broken);
      for (
        const text of [/not whole, or the disk is full|is not of the same version/, /: \S.*is not whole, or not of the same/]
      ) {
        const { code, stderr } = await run(path);
        assert.equal(code, 1);
        assert.match(stderr, text);
      }
      writeFileSync(join(path, "runfcgi.gz"), whole);
      assert.equal((await run(path)).code, 0);
      assert.deepEqual(readdirSync(path).filter((name) => name.endsWith(".bad")), []);
      rmSync(join(path, unpacked(path)[0]));
    }
  });

  test("is sh that shellcheck has nothing against", () => {
    const file = join(site(), "mysite.fcgi");
    assert.equal(spawnSync("sh", ["-n", file]).status, 0);
    const checked = spawnSync("shellcheck", ["--shell=sh", "--severity=warning", file], { encoding: "utf8" });
    if (checked.error === undefined) assert.equal(checked.stdout, "");
  });

  test("tells Bun to take little where limits are small, and nothing elsewhere", async () => {
    const path = site();
    assert.match((await run(path, "ulimit -v 1200000; exec")).stdout, /b c 2\n$/);
    assert.match((await run(path)).stdout, /b c \n$/);
    assert.match((await run(path, "ulimit -p 100 2> /dev/null || ulimit -u 100; exec")).stdout, /b c 2\n$/);
    // Each process has one thread less, so that there are more.
    assert.match((await run(path, "ulimit -p 40 2> /dev/null || ulimit -u 40; exec")).stdout, /b c 1\n$/);
  });

  test("unpacks into a folder of its user's where its own cannot be written to", {
    skip: process.getuid?.() !== 0 && "needs another user",
  }, async () => {
    const path = site();
    const temporary = join(folder.path, "tmp");
    mkdirSync(temporary);
    chmodSync(temporary, 0o1777);
    const as = (user: string) => run(path, `exec setpriv --reuid=${user} --regid=${user} --clear-groups`, { TMPDIR: temporary });
    assert.equal((await as("65534")).code, 0);
    assert.deepEqual(unpacked(path), []);
    assert.equal(readdirSync(join(temporary, "runfcgi-65534")).length, 2);
    // Nobody is led to a folder of another user.
    mkdirSync(join(temporary, "runfcgi-65533"));
    const { code, stderr } = await as("65533");
    assert.equal(code, 1);
    assert.match(stderr, /neither .* can be written to: upload the program as one file/);
  });
});

describe("init for=apache-shared with the compiled program", { skip: program().name !== "binary" && "needs it" }, () => {
  const path = join(folder.path, "compiled");
  before(async () => {
    const { code } = await start([...program().command, "init", path, "for=apache-shared"]).exit;
    assert.equal(code, 0);
  });

  test("starts under any limit, with its JIT and few threads", async () => {
    assert.ok(existsSync(join(path, "runfcgi.gz")));
    for (const kib of [1_048_576, 1_228_800, 2_300_000]) {
      const running = start(["/bin/sh", "-c", `ulimit -v ${kib}; exec ./mysite.fcgi version`], { cwd: path });
      const { code } = await running.exit;
      assert.deepEqual([kib, code], [kib, 0], running.stderr());
      assert.match(running.stdout(), /^runfcgi /);
    }
  });

  test("single=true makes one file", async () => {
    const one = join(folder.path, "single");
    const { code } = await start([...program().command, "init", one, "for=apache-shared", "single=true"]).exit;
    assert.equal(code, 0);
    const files = readdirSync(one).sort().map((name) => name.replace(/^doctor-\w+/, "doctor-…"));
    assert.deepEqual(files, [".htaccess", ".htmysite.key", "doctor-….php", "mysite.fcgi", "mysite.ts"]);
  });
});
