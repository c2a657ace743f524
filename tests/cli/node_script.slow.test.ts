/** The program as one script for the host's Node, which it finds, and by which it unpacks itself. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { createHash } from "node:crypto";
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { nodeLauncherText } from "../../src/cli/commands/launcher.ts";
import { tools } from "../../scripts/tools.ts";
import { ask } from "../support/http.ts";
import { freePort, program, type Running, start, until } from "../support/program.ts";
import { makeFolder, makeOpenFolder, needs, type RunningWebServer, startWebServer } from "../support/servers.ts";

const timeout = 60_000;
const php = "/usr/bin/php-cgi";
const { bun, node } = tools();
const folder = makeFolder();
after(() => folder.remove());

async function run(words: readonly string[], env: Record<string, string>) {
  const running = start(words, { env });
  const { code } = await running.exit;
  return { code, stdout: running.stdout(), stderr: running.stderr() };
}

describe("the script that finds Node", { skip: process.platform !== "linux" && "needs Linux" }, () => {
  let homes = 0;
  /** A home with these versions of Node, each of which says what it starts, and a site. */
  function home(versions: Record<string, string>): string {
    const path = join(folder.path, `home${++homes}`);
    mkdirSync(join(path, "site"), { recursive: true });
    for (const [place, version] of Object.entries(versions)) {
      mkdirSync(join(path, place), { recursive: true });
      const says = `#!/bin/sh
case $1 in
  --version) echo v${version} ;;
  -e) exec "${node}" "$@" ;;
  *) echo "${version} $RUNFCGI_FILE $*" ;;
esac
`;
      writeFileSync(join(path, place, "node"), says, { mode: 0o755 });
    }
    put(path, module);
    return path;
  }
  const module = "// All of it.\n";
  const digest = (text: string) => createHash("sha256").update(text).digest("hex");
  const unpackedName = (text: string) => `.htrunfcgi-${digest(text).slice(0, 12)}.mjs`;
  /** Puts the script with a module in it there, which finds what is in the home, and not the machine's own. */
  function put(path: string, module: string): string {
    const file = join(path, "site/mysite.fcgi");
    const text = nodeLauncherText(Buffer.from(module), brotliCompressSync(module).toString("base64"))
      .replaceAll("/usr/local/bin:/usr/bin:/bin", commands).replaceAll(/\/opt(?=\/\S*\$v)/g, `"${path}"/opt`);
    writeFileSync(file, text, { mode: 0o755 });
    return file;
  }
  const unpacked = (path: string) => readdirSync(join(path, "site")).filter((name) => name.startsWith(".ht"));
  // The machine's own are not to be found.
  const commands = join(folder.path, "commands");
  before(() => {
    mkdirSync(commands);
    for (const name of ["tail", "tr", "sleep", "wc", "cut", "id", "mkdir", "rmdir", "rm", "mv", "chmod"]) {
      symlinkSync(`/usr/bin/${name}`, join(commands, name));
    }
  });
  const scriptIn = (home: string) => join(home, "site/mysite.fcgi");

  const places = {
    "of cPanel": "opt/cpanel/ea-nodejs24/bin",
    "of CloudLinux": "opt/alt/alt-nodejs26/root/usr/bin",
    "of Plesk": "opt/plesk/node/30/bin",
    "of an application of CloudLinux": "nodevenv/app/24/bin",
    "of a deeper application": "nodevenv/public_html/app/24/bin",
    "of nvm": ".nvm/versions/node/v24.10.1/bin",
  };
  for (const [name, place] of Object.entries(places)) {
    test(`takes the one ${name}, not older ones`, async () => {
      const path = home({ [place]: "24.10.1", "opt/cpanel/ea-nodejs22/bin": "22.1.0", "opt/plesk/node/24/bin": "24.1.9" });
      const file = scriptIn(path);
      const { code, stdout, stderr } = await run([file, "a", "b c"], { HOME: path, PATH: "" });
      const expected = `24.10.1 ${file} ${path}/site/${unpackedName(module)} a b c\n`;
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: expected, stderr: "" });
    });
  }

  test("takes the one of the path first, and one that is written into it before all", async () => {
    const path = home({ path: "24.2.0", mine: "25.0.0", "nodevenv/app/24/bin": "24.9.0" });
    const file = scriptIn(path);
    assert.match((await run([file], { HOME: path, PATH: join(path, "path") })).stdout, /^24\.2\.0 /);
    writeFileSync(file, readFileSync(file, "utf8").replace(/^node=$/m, `node='${path}/mine/node'`));
    assert.match((await run([file], { HOME: path, PATH: join(path, "path") })).stdout, /^25\.0\.0 /);
    rmSync(join(path, "mine"), { recursive: true });
    const { code, stderr } = await run([file], { HOME: path, PATH: "" });
    assert.equal(code, 1);
    assert.match(stderr, /mysite\.fcgi: node=.*\/mine\/node in this file is no Node 24\.2 or newer\n$/);
  });

  test("says in one line where it looked, and which are too old", async () => {
    const path = home({ path: "20.1.0", "nodevenv/app/24/bin": "24.1.0" });
    const { code, stdout, stderr } = await run([scriptIn(path)], { HOME: path, PATH: join(path, "path") });
    assert.deepEqual({ code, stdout }, { code: 1, stdout: "" });
    assert.match(
      stderr,
      /^.*mysite\.fcgi: there is no Node 24\.2 or newer on the PATH, .* \(.*node is v20\.1\.0; .*node is v24\.1\.0\): .*\n$/,
    );
  });

  test("is sh that shellcheck has nothing against", () => {
    const file = put(home({}), module);
    const { status, stdout, stderr } = spawnSync("sh", ["-n", file], { encoding: "utf8" });
    assert.deepEqual([status, stdout + stderr], [0, ""]);
    const checked = spawnSync("shellcheck", ["--shell=sh", "--severity=warning", "--exclude=SC2093,SC2123", file], {
      encoding: "utf8",
    });
    if (checked.error === undefined) assert.equal(checked.stdout, "");
  });

  test("unpacks itself once, also for many at once, and again when another one is uploaded", async () => {
    const path = home({ path: "24.2.0" });
    const environment = { HOME: path, PATH: join(path, "path") };
    const all = await Promise.all(Array.from({ length: 8 }, () => run([scriptIn(path)], environment)));
    assert.deepEqual(all.map(({ code }) => code), all.map(() => 0), all.map(({ stderr }) => stderr).join(""));
    assert.deepEqual(unpacked(path), [unpackedName(module)]);
    assert.equal(readFileSync(join(path, "site", unpackedName(module)), "utf8"), module);
    put(path, "// Another.\n");
    assert.match((await run([scriptIn(path)], environment)).stdout, /^24\.2\.0 /);
    assert.deepEqual(unpacked(path), [unpackedName("// Another.\n")]);
  });

  test("is not harmed by an upload as text, waits for the rest of an upload, and says that something is missing", async () => {
    const path = home({ path: "24.2.0" });
    const file = scriptIn(path);
    const environment = { HOME: path, PATH: join(path, "path") };
    const whole = readFileSync(file, "utf8");
    assert.match(whole, /^[\t\n -~]*$/);
    const [head, digits] = whole.split(/(?<=^# In base64:\n)/m);
    writeFileSync(file, head);
    const running = start([file], { env: environment });
    // The shell has no carriage returns in what it reads.
    writeFileSync(file, head + digits.replaceAll("\n", "\r\n"));
    assert.equal((await running.exit).code, 0, running.stderr());
    rmSync(join(path, "site", unpackedName(module)));
    for (const broken of [head, whole.replace(/(?<=^# In base64:\n)..../m, "AAAA")]) {
      writeFileSync(file, broken);
      const { code, stderr } = await run([file], environment);
      assert.equal(code, 1);
      assert.match(stderr, /^\S*mysite\.fcgi: it is not whole: upload it again\n$/);
      assert.deepEqual(unpacked(path), []);
    }
  });

  test("says in one line that it cannot be unpacked", { skip: process.getuid?.() !== 0 && "needs another user" }, async () => {
    const path = home({ path: "24.2.0" });
    chmodSync(folder.path, 0o755);
    const as = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", scriptIn(path)];
    const temporary = makeOpenFolder(join(path, "tmp"));
    const environment = { HOME: path, PATH: `${join(path, "path")}:${process.env.PATH}`, TMPDIR: temporary };
    const { code, stdout, stderr } = await run(as, environment);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, new RegExp(`${temporary}/runfcgi-65534${path}/site/${unpackedName(module).replaceAll(".", "\\.")}`));
    const nowhere = await run(as, { ...environment, TMPDIR: join(path, "none") });
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stderr, /mysite\.fcgi: neither \S* nor \S* can be written to: make one of them writable/);
  });
});

const app = `import { AbortedError } from "runfcgi";
import process from "node:process";
export default (request: Request) => {
  if (new URL(request.url).pathname === "/fail") throw new Error("on purpose");
  return Response.json([process.version, AbortedError.name, process.env.HOME]);
};
`;

describe("init for=apache-shared node=true", { skip: needs("apache") }, () => {
  const home = makeOpenFolder(join(folder.path, "home"));
  const root = makeOpenFolder(join(home, "public"));
  let web: RunningWebServer;
  let port = 0;
  const log = () => readFileSync(join(root, ".htmysite.log"), "utf8");

  before(async () => {
    const path = `${dirname(bun)}:${process.env.PATH}`;
    const { code, stderr } = await run([...program().command, "init", root, "for=apache-shared", "node=true"], { PATH: path });
    assert.equal(code, 0, stderr);
    writeFileSync(join(root, "mysite.ts"), app);
    makeOpenFolder(join(home, "ipc"));
    const bin = ["nodevenv", "site", "24", "bin"].reduce((above, name) => makeOpenFolder(join(above, name)), home);
    try {
      linkSync(node, join(bin, "node"));
    } catch {
      copyFileSync(node, join(bin, "node"));
    }
    port = await freePort();
    web = await startWebServer(
      "apache",
      { folder: home, port },
      `
      FcgidInitialEnv HOME "${home}"
      FcgidInitialEnv TMPDIR "${home}/ipc"
      DocumentRoot "${root}"
      ${existsSync(php) ? `<FilesMatch "\\.php$">\nSetHandler fcgid-script\nFcgidWrapper ${php} .php\n</FilesMatch>` : ""}
      <Directory "${root}">
        AllowOverride All
        Require all granted
      </Directory>`,
    );
  }, { timeout });
  after(async () => {
    await web?.running.stop();
  }, { timeout });

  const answer = async (path = "/") => {
    const { status, text } = await ask(port, path);
    assert.equal(status, 200, text + web.errors());
    return text;
  };

  test("is served by a Node that is not on the path", { timeout }, async () => {
    const [version, name, place] = JSON.parse(await answer());
    assert.match(version, /^v\d+\.\d+/);
    assert.deepEqual([name, place], ["AbortedError", home]);
    for (const path of [`/${readdirSync(root).find((name) => name.endsWith(".mjs"))}`, "/mysite.ts"]) {
      assert.equal(JSON.parse(await answer(path)).length, 3);
    }
  });

  test(
    "is what init wrote for the doctor in PHP",
    { timeout, skip: existsSync(php) ? false : "php-cgi is missing" },
    async () => {
      const [, key] = /^key +(\S+)$/m.exec(readFileSync(join(root, ".htmysite.key"), "utf8"))!;
      const doctor = `/${readdirSync(root).find((name) => name.startsWith("doctor-"))}`;
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      const entered = await ask(port, doctor, { method: "POST", headers, body: String(new URLSearchParams({ key })) });
      const [cookie] = entered.headers["set-cookie"]![0].split(";");
      const { text } = await ask(port, doctor, { headers: { cookie } });
      assert.match(text, /<b>ok<\/b> program file: [^<]* is as init wrote it/);
      // It starts the program without a HOME, and where the machine has no such Node, the script's words are shown.
      assert.match(text, /<b>ok<\/b> start: |there is no Node 24\.2 or newer on the PATH/);
    },
  );

  test("tells errors by the lines of the application, and nothing of the program", { timeout }, async () => {
    assert.equal((await ask(port, "/fail")).status, 500);
    await until("it is in the log", () => log().includes("on purpose"));
    assert.match(log(), /mysite\.ts:4/);
    assert.doesNotMatch(log(), /htrunfcgi/);
  });

  test("is served anew when the application, or the program, have been uploaded", { timeout }, async () => {
    writeFileSync(join(root, "mysite.ts"), app.replace("process.version", '"another"'));
    await until("the new code answers", async () => JSON.parse(await answer())[0] === "another");
    const file = join(root, "mysite.fcgi");
    writeFileSync(join(root, "mysite.ts"), app.replace("process.version", "process.env.NEWER"));
    const [, digits] = readFileSync(file, "utf8").split("# In base64:\n");
    const text = `process.env.NEWER = "newer";${brotliDecompressSync(Buffer.from(digits.replace(/^#.*/m, ""), "base64"))}`;
    const packed = brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }).toString("base64");
    writeFileSync(file, nodeLauncherText(Buffer.from(text), packed));
    await until("the new program answers", async () => JSON.parse(await answer())[0] === "newer");
  });

  for (const type of ["commonjs", "module"]) {
    test(`is served beside a package.json that says "${type}"`, { timeout }, async () => {
      writeFileSync(join(root, "package.json"), JSON.stringify({ type }));
      const code = type === "module" ? app : 'module.exports = () => Response.json(["commonjs"]);\n';
      writeFileSync(join(root, "mysite.ts"), code.replace("process.version", `"${type}"`));
      // Started anew, beside it.
      writeFileSync(join(root, "mysite.fcgi"), `${readFileSync(join(root, "mysite.fcgi"), "utf8")}`);
      await until("it answers", async () => JSON.parse(await answer())[0] === type);
    });
  }

  test("starts from a shell, with threads, and is looked at by the doctor", { timeout }, async () => {
    const file = join(root, "mysite.fcgi");
    const environment = { HOME: home, PATH: "/usr/bin:/bin" };
    assert.match((await run([file, "version"], environment)).stdout, /^runfcgi \d\S* \(.*Node 2\d\./);
    assert.match((await run([file, "help", "nginx"], environment)).stdout, /^NGINX\n/);
    const again = join(home, "again");
    assert.equal((await run([file, "init", again, "for=apache-shared", "node=true"], environment)).code, 0);
    assert.equal(readFileSync(join(again, "mysite.fcgi"), "utf8"), readFileSync(file, "utf8"));
    chmodSync(root, 0o755);
    const doctor = await run([file, "doctor", `program=${file}`], environment);
    assert.match(doctor.stdout, /^ok +program file .*mysite\.fcgi" can be started[^]*\nNothing is wrong/);
    const own = await freePort();
    const running: Running = start([file, join(root, "mysite.ts"), `port=${own}`, "protocol=http", "threads=2"], {
      env: environment,
    });
    try {
      await until("it answers", async () => (await ask(own, "/").catch(() => undefined))?.status === 200);
    } finally {
      await running.stop();
    }
  });
});
