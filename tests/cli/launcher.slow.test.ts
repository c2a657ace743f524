/** The short script of shared hosting, and the compressed program beside it. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { launcherText } from "../../src/cli/commands/launcher.ts";
import { askPort, startManaged } from "../support/managed.ts";
import { program, start, until } from "../support/program.ts";
import { makeFolder, makeOpenFolder } from "../support/servers.ts";

const folder = makeFolder();
/** A small program that says how it was started. */
const small = (word: string) =>
  `#!/bin/sh
[ "$1" != version ] || exec echo "runfcgi ${word}"
echo "${word} $RUNFCGI_FILE $* $GOMAXPROCS"
echo started >> "\${0%/*}/starts"
`;

let sites = 0;
/** A folder with the script, and the compressed program. */
function site(bytes: Uint8Array = packed("one")): string {
  const path = join(folder.path, `site ${++sites}`);
  mkdirSync(path);
  const script = join(path, "mysite.fcgi");
  writeFileSync(script, launcherText());
  chmodSync(script, 0o755);
  put(path, bytes);
  return path;
}

const packed = (word: string) => gzipSync(small(word));

/** Uploads under another name, and renames, some time ago: each upload has another time. */
let time = Date.now() / 1000 - 10_000;
function put(path: string, bytes: Uint8Array, at = time += 10): void {
  writeFileSync(join(path, "upload"), bytes);
  utimesSync(join(path, "upload"), at, at);
  renameSync(join(path, "upload"), join(path, "runfcgi.gz"));
}

async function run(path: string, prefix = "exec", environment: Record<string, string> = {}) {
  const running = start(["/bin/sh", "-c", `${prefix} "$0" "$@"`, join(path, "mysite.fcgi"), "a", "b c"], {
    env: environment,
  });
  const { code } = await running.exit;
  return { code, stdout: running.stdout(), stderr: running.stderr() };
}

/** Which program has answered, and what was said. */
async function answer(path: string, prefix?: string): Promise<[word: string, said: string]> {
  const { code, stdout, stderr } = await run(path, prefix);
  assert.equal(code, 0, stderr);
  return [stdout.split(" ")[0], stderr];
}

const hidden = (path: string) => readdirSync(path).filter((name) => name.startsWith(".ht")).sort();
const unpacked = [".htrunfcgi-program"];

/** What can be uploaded by mistake, and what is said. */
const broken: Record<string, [bytes: Uint8Array, said: RegExp]> = {
  "one that was broken off": [packed("two").subarray(0, 60), /is not whole: upload it again, in binary mode/],
  "one that was written over a longer one": [Buffer.concat([packed("two"), Buffer.from("more")]), /is not whole/],
  "garbage": [Buffer.from("<html>An error page</html>"), /is not whole/],
  "an empty file": [Buffer.alloc(0), /is not whole/],
  "one taken for text, LF to CRLF": [asText(/\n/g, "\r\n"), /is not whole/],
  "one taken for text, CRLF to LF": [asText(/\r\n/g, "\n"), /is not whole/],
  "no program": [gzipSync("hello"), /what is in \S.*runfcgi\.gz cannot be started here: it is no program/],
  "another program": [gzipSync("#!/bin/sh\necho hello\n"), /cannot be started here: hello/],
  "a program that ends at once": [gzipSync("#!/bin/sh\nexit 1\n"), /cannot be started here: it says nothing/],
  "a program for another kind of machine": [gzipSync(foreign()), /cannot be started here: it is for another kind of machine/],
};

/** A compressed program as an FTP program changes it: one in which there is something to change. */
function asText(from: RegExp, to: string): Uint8Array {
  for (let i = 0;; i++) {
    const bytes = gzipSync(`${small("two")}# ${createHash("sha512").update(String(i)).digest("hex").repeat(40)}\n`);
    const changed = Buffer.from(bytes.toString("latin1").replaceAll(from, to), "latin1");
    if (!changed.equals(bytes)) return changed;
  }
}

/** The head of an ELF file of a machine that there is no more. */
function foreign(): Uint8Array {
  const head = Buffer.alloc(64);
  head.write("\x7fELF\x02\x01\x01", "latin1");
  head.writeUInt16LE(0x1234, 18);
  return head;
}

const onlyAsRoot = process.getuid?.() !== 0 && "needs another user";
/** Runs as a user that nobody else is, who may have no other process. */
function alone(): string {
  const user = 50_000 + process.pid % 1000 * 10 + users++;
  return `ulimit -p 1 2> /dev/null || ulimit -u 1; exec setpriv --reuid=${user} --regid=${user} --clear-groups`;
}
let users = 0;

describe("the script that stands for the program", { skip: process.platform !== "linux" && "needs Linux" }, () => {
  // Deno calls none that is outside.
  after(() => folder.remove());

  test("unpacks the program once, and starts it with its arguments and its own name", async () => {
    const path = site();
    for (let i = 0; i < 2; i++) {
      const { code, stdout, stderr } = await run(path);
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: `one ${path}/mysite.fcgi a b c \n`, stderr: "" });
    }
    assert.deepEqual(hidden(path), unpacked);
  });

  test("unpacks it once for twenty at the same moment", async () => {
    const path = site();
    const all = await Promise.all(Array.from({ length: 20 }, () => run(path)));
    assert.deepEqual(all.map(({ code }) => code), all.map(() => 0), all.map(({ stderr }) => stderr).join(""));
    assert.equal(readFileSync(join(path, "starts"), "utf8"), "started\n".repeat(20));
    assert.deepEqual(hidden(path), unpacked);
  });

  const shells = ["/bin/dash", "/bin/bash", "/bin/busybox", "/bin/mksh"].filter((shell) => existsSync(shell));
  for (const shell of shells) {
    test(`takes another version that is uploaded alone, newer or older, by ${shell}`, async () => {
      const path = site();
      const by = `exec ${shell}${shell.endsWith("busybox") ? " sh" : ""}`;
      const [script, first] = [join(path, "mysite.fcgi"), time];
      const text = readFileSync(script, "utf8");
      writeFileSync(join(path, ".htrunfcgi-0123456789ab"), "of a script that knew it by its hash");
      assert.deepEqual(await answer(path, by), ["one", ""]);
      put(path, packed("two"));
      assert.deepEqual(await answer(path, by), ["two", ""]);
      put(path, packed("one"), first);
      assert.deepEqual(await answer(path, by), ["one", ""]);
      // In its place, which keeps its number.
      writeFileSync(join(path, "runfcgi.gz"), packed("three"));
      utimesSync(join(path, "runfcgi.gz"), ++time, time);
      assert.deepEqual(await answer(path, by), ["three", ""]);
      // It is not needed any more.
      rmSync(join(path, "runfcgi.gz"));
      assert.deepEqual(await answer(path, by), ["three", ""]);
      assert.deepEqual(hidden(path), unpacked);
      assert.equal(readFileSync(script, "utf8"), text);
    });
  }

  test("goes on with the program before, and says so once, whatever was uploaded by mistake", async () => {
    const path = site();
    await run(path);
    for (const [what, [bytes, said]] of Object.entries(broken)) {
      put(path, bytes);
      const [word, text] = await answer(path);
      assert.equal(word, "one", what);
      assert.match(text, said);
      assert.match(text, /^\S.*mysite\.fcgi: .*; the program before goes on\n$/);
      assert.deepEqual(hidden(path), [...unpacked, ".htrunfcgi.bad"], what);
      assert.deepEqual(await answer(path), ["one", ""], what);
    }
    put(path, packed("two"));
    assert.deepEqual(await answer(path), ["two", ""]);
    assert.deepEqual(hidden(path), unpacked);
  });

  test("goes on with the program before while another one is being uploaded", async () => {
    const path = site();
    await run(path);
    const whole = packed("two");
    // As it is seen while it is written.
    for (const length of [0, 30, 60]) {
      writeFileSync(join(path, "runfcgi.gz"), whole.subarray(0, length));
      assert.equal((await answer(path))[0], "one");
    }
    put(path, whole);
    assert.equal((await answer(path))[0], "two");
  });

  test("unpacks another version once for twenty at the same moment, none of which has to wait", async () => {
    const path = site();
    await run(path);
    put(path, packed("two"));
    const all = await Promise.all(Array.from({ length: 20 }, () => answer(path)));
    for (const [word, said] of all) {
      assert.match(word, /^(?:one|two)$/);
      assert.equal(said, "");
    }
    assert.ok(all.some(([word]) => word === "two"));
    assert.deepEqual(await answer(path), ["two", ""]);
    assert.deepEqual(hidden(path), unpacked);
  });

  test("is not unpacked again where a file system keeps whole seconds of what it is told", async () => {
    const path = site();
    const commands = join(path, "commands");
    mkdirSync(commands);
    const touch = `#!/bin/sh
/usr/bin/touch "$@"
for file; do :; done
/usr/bin/touch -d "@$(stat -c %Y "$file")" "$file"
`;
    writeFileSync(join(commands, "touch"), touch, { mode: 0o755 });
    const start = () => run(path, `PATH=${JSON.stringify(commands)}:$PATH; exec`);
    put(path, packed("one"), 1_000_000_000.5);
    assert.match((await start()).stdout, /^one /);
    const made = statSync(join(path, unpacked[0])).ino;
    assert.match((await start()).stdout, /^one /);
    assert.equal(statSync(join(path, unpacked[0])).ino, made);
    put(path, packed("two"), 1_000_000_003.5);
    assert.match((await start()).stdout, /^two /);
  });

  test("goes on where somebody has ended while he unpacked it", async () => {
    const path = site();
    await run(path);
    put(path, packed("two"));
    const lock = join(path, ".htrunfcgi.lock");
    writeFileSync(lock, `${process.pid}\n`);
    mkdirSync(join(path, ".htrunfcgi.new.1"));
    writeFileSync(join(path, ".htrunfcgi.new.1/program"), "half of it");
    assert.deepEqual(await answer(path), ["one", ""]);
    writeFileSync(lock, `${spawnSync("true").pid}\n`);
    assert.deepEqual(await answer(path), ["two", ""]);
    assert.deepEqual(hidden(path), unpacked);
  });

  test("starts no other process, and the program before where none can be had", { skip: onlyAsRoot }, async () => {
    const path = site();
    await run(path);
    for (const open of [folder.path, path, join(path, "starts")]) chmodSync(open, 0o777);
    assert.equal((await answer(path, alone()))[0], "one");
    put(path, packed("two"));
    assert.deepEqual(await answer(path, alone()), ["one", ""]);
    // There was room a moment ago.
    const script = join(path, "mysite.fcgi");
    writeFileSync(script, readFileSync(script, "utf8").replace("-ge 6 ]", "-ge -9 ]"));
    const { code, stdout, stderr } = await run(path, alone());
    assert.match(stderr, /fork/);
    assert.deepEqual([code, stdout], [0, `one ${path}/mysite.fcgi a b c 1\n`]);
    put(path, broken.garbage[0]);
    await run(path);
    assert.equal((await answer(path, alone()))[1], "");
  });

  test("says what is wrong in the site's log, too, where a web server starts it", async () => {
    const path = site();
    rmSync(join(path, "runfcgi.gz"));
    const log = join(path, ".htmysite.log");
    await run(path);
    assert.equal(existsSync(log), false);
    const asServer = async () => {
      const { running } = await startManaged([join(path, "mysite.fcgi")], path);
      return (await running.exit).code;
    };
    assert.equal(await asServer(), 1);
    assert.match(
      readFileSync(log, "utf8"),
      /^\[[\d-]+ [\d:]+\] mysite\.fcgi\[\d+\] \S.*runfcgi\.gz is not there: upload it.*\n$/,
    );
    assert.equal(statSync(log).mode & 0o777, 0o600);
    // It does not grow without end.
    truncateSync(log, 2 ** 20);
    assert.equal(await asServer(), 1);
    assert.equal(statSync(log).size, 2 ** 20);
    // What goes on is said once.
    truncateSync(log, 0);
    put(path, packed("one"));
    await run(path);
    put(path, broken.garbage[0]);
    for (let i = 0; i < 2; i++) assert.equal(await asServer(), 0);
    assert.match(readFileSync(log, "utf8"), /^\[.*runfcgi\.gz is not whole: .*; the program before goes on\n$/);
  });

  test("says what is wrong with what was uploaded first, unpacks it once for that, and leaves nothing", async () => {
    const path = site();
    const script = join(path, "mysite.fcgi");
    const text = readFileSync(script, "utf8");
    for (const what of ["garbage", "no program"]) {
      const [bytes, said] = broken[what];
      put(path, bytes);
      for (let i = 0; i < 2; i++) {
        const { code, stderr } = await run(path);
        assert.equal(code, 1);
        assert.match(stderr, said);
        assert.deepEqual(hidden(path), [".htrunfcgi.bad"]);
        // It is not read any more.
        writeFileSync(script, text.replaceAll("gzip ", "echo "));
      }
      writeFileSync(script, text);
    }
    put(path, packed("one"));
    assert.deepEqual(await answer(path), ["one", ""]);
    assert.deepEqual(hidden(path), unpacked);
  });

  test("has the first visitor wait for the rest of the first upload", async () => {
    const path = site();
    writeFileSync(join(path, "runfcgi.gz"), packed("one").subarray(0, 60));
    const running = start([join(path, "mysite.fcgi")]);
    writeFileSync(join(path, "runfcgi.gz"), packed("one"));
    assert.equal((await running.exit).code, 0, running.stderr());
    assert.match(running.stdout(), /^one /);
  });

  test("is sh that shellcheck has nothing against", () => {
    const file = join(site(), "mysite.fcgi");
    assert.equal(spawnSync("sh", ["-n", file]).status, 0);
    // POSIX has -nt and -ot since 2024, and shells long since.
    const words = ["--shell=sh", "--severity=warning", "--exclude=SC3013", file];
    const checked = spawnSync("shellcheck", words, { encoding: "utf8" });
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

  test("unpacks into a folder of its user's where its own cannot be written to", { skip: onlyAsRoot }, async () => {
    chmodSync(folder.path, 0o755);
    const paths = [site(), site(packed("other"))];
    const temporary = makeOpenFolder(join(folder.path, "tmp"));
    const as = (path: string, user: number) =>
      run(path, `exec setpriv --reuid=${user} --regid=${user} --clear-groups`, { TMPDIR: temporary });
    const words = async () =>
      (await Promise.all(paths.map((path) => as(path, 65_534)))).map(({ stdout }) => stdout.split(" ")[0]);
    // Each site has its own.
    assert.deepEqual(await words(), ["one", "other"]);
    put(paths[0], packed("two"));
    assert.deepEqual(await words(), ["two", "other"]);
    for (const path of paths) assert.deepEqual(hidden(path), []);
    // Its owner has unpacked it there, and another user starts it.
    put(paths[1], packed("newer"));
    assert.equal((await answer(paths[1]))[0], "newer");
    assert.deepEqual(await words(), ["two", "newer"]);
    put(paths[1], packed("newest"));
    assert.deepEqual(await words(), ["two", "newest"]);
    // Nobody is led to a folder of another user.
    mkdirSync(join(temporary, "runfcgi-65533"));
    const { code, stderr } = await as(paths[0], 65_533);
    assert.equal(code, 1);
    assert.match(stderr, /neither .* can be written to: upload the program as one file/);
    put(paths[1], packed("last"));
    assert.match((await as(paths[1], 65_533)).stdout, /^newer /);
  });
});

describe("init for=apache-shared with the compiled program", { skip: program().name !== "binary" && "needs it" }, () => {
  const path = join(folder.path, "compiled");
  after(() => folder.remove());
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

  test("takes another program that is uploaded while it runs, and none that is broken", async () => {
    const [script, gz, log] = ["mysite.fcgi", "runfcgi.gz", ".htmysite.log"].map((name) => join(path, name));
    writeFileSync(
      join(path, "mysite.ts"),
      `import { statSync } from "node:fs";
export default () => new Response(String(statSync("/proc/self/exe").mtimeMs / 1000));
`,
    );
    const upload = (name: string): number => {
      utimesSync(join(path, name), time += 10, time);
      renameSync(join(path, name), gz);
      return time;
    };
    linkSync(gz, join(path, "kept"));
    copyFileSync(gz, join(path, "another"));
    const first = upload("kept");
    const { port, running } = await startManaged([script], path);
    const answer = async () => {
      const { status, text } = await askPort(port);
      assert.equal(status, 200, text);
      return Number(text);
    };
    try {
      assert.equal(await answer(), first);
      writeFileSync(join(path, "broken"), readFileSync(gz).subarray(0, 1_000_000));
      upload("broken");
      await until("it is refused", async () => {
        assert.equal(await answer(), first);
        return existsSync(log) && /runfcgi\.gz is not whole: upload it again, .*before goes on/.test(readFileSync(log, "utf8"));
      });
      const second = upload("another");
      await until("the other one answers", async () => await answer() === second);
      assert.match(readFileSync(log, "utf8"), /Restarting: the program has changed/);
      assert.deepEqual(hidden(path).filter((name) => name.startsWith(".htrunfcgi")), unpacked);
    } finally {
      await running.stop();
    }
  });

  test("renews a script that knows one version only", async () => {
    const script = join(path, "mysite.fcgi");
    const [text, gz] = [readFileSync(script, "utf8"), statSync(join(path, "runfcgi.gz")).mtimeMs];
    writeFileSync(script, text.replace("\nname=", `\nhash=${"0".repeat(64)}\nname=`));
    for (const word of ["renewed", "left"]) {
      const running = start([...program().command, "init", path, "for=apache-shared"]);
      assert.equal((await running.exit).code, 0, running.stderr());
      assert.match(running.stdout(), new RegExp(`^${word} +\\S+/mysite\\.fcgi$`, "m"));
      assert.deepEqual([readFileSync(script, "utf8"), statSync(script).mode & 0o777], [text, 0o755]);
      assert.equal(statSync(join(path, "runfcgi.gz")).mtimeMs, gz);
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
