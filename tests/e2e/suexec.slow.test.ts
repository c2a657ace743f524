/** Apache with mod_fcgid and suexec, as hosts have it: the program runs as the user of the site. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { configText } from "../../src/config/servers.ts";
import { ask } from "../support/http.ts";
import { freePort, program, start, until, whole } from "../support/program.ts";
import { makeFolder, type RunningWebServer, startWebServer } from "../support/servers.ts";
import { Customer, needsSuexec } from "../support/suexec.ts";
import { putScript } from "./site.ts";

const timeout = 60_000;
const app = (word = "one") =>
  `import process from "node:process";
export default (request: Request) => {
  if (request.url.endsWith("/fail")) throw new Error("out of order");
  return Response.json([${JSON.stringify(word)}, process.getuid?.(), process.getgid?.()]);
};
`;

const lacksPhp = !whole
  ? "it is tried with --whole"
  : program().name !== "binary"
  ? "what is uploaded is the compiled program"
  : needsSuexec() || !existsSync("/usr/bin/php-cgi") && "php-cgi is missing";

describe("Twenty visitors at once of a cold site under ulimit -v 1048576 and 40 processes", { skip: lacksPhp }, () => {
  /** As `dash` writes it. */
  const limits = "ulimit -v 1048576\nulimit -p 40\n";
  /** Waits a moment, as for a database. */
  const waits = "await new Promise((resolve) => setTimeout(resolve, 100));";
  const reads = `const { length } = await readFile("/proc/self/comm");`;

  for (const [what, work] of [["", waits], [" where each needs a second thread", `${waits} ${reads}`]]) {
    test(`are all answered${what}, as by php-cgi`, { timeout: 3 * timeout }, () => visitCold(work));
  }

  async function visitCold(work: string): Promise<void> {
    const folder = makeFolder();
    const counts: string[] = [];
    try {
      const customer = new Customer(folder.path);
      const [root, php] = [join(customer.home, "public_html"), join(customer.home, "php")];
      const { code } = await start([...program().command, "init", root, "for=apache-shared"]).exit;
      assert.equal(code, 0);
      const launcher = join(root, "mysite.fcgi");
      writeFileSync(launcher, readFileSync(launcher, "utf8").replace("\n", `\n${limits}`));
      writeFileSync(
        join(root, "mysite.ts"),
        `import { readFile } from "node:fs/promises";
export default async () => { ${work} return new Response("hello"); };
`,
      );
      writeFileSync(join(root, "page.php"), "<?php usleep(100000); echo 'hello';");
      mkdirSync(php);
      writeFileSync(join(php, "php-cgi"), `#!/bin/sh\n${limits}exec /usr/bin/php-cgi\n`, { mode: 0o755 });
      customer.own();
      // Not yet unpacked, unpacked, and PHP.
      for (
        const [who, path] of [["the first visitors ever", "/"], ["runfcgi", "/"], ["another version", "/"], [
          "php-cgi",
          "/page.php",
        ]]
      ) {
        if (who === "another version") utimesSync(join(root, "runfcgi.gz"), 1_700_000_000, 1_700_000_000);
        const port = await freePort();
        const web = await startWebServer("apache", { folder: folder.path, port }, customer.hostWithPhp(root), customer.around);
        try {
          for (const when of ["cold", "then"]) {
            const begun = performance.now();
            const answers = await Promise.all(Array.from({ length: 20 }, () => ask(port, path)));
            const good = answers.filter(({ status, text }) => status === 200 && text === "hello").length;
            counts.push(`${who}, ${when}: ${good} of 20 in ${Math.round(performance.now() - begun)} ms`);
            assert.equal(good, 20, `${counts.join("\n")}\n${web.errors().slice(-3000)}`);
          }
        } finally {
          await web.running.stop();
        }
      }
      const size = statSync(join(root, "runfcgi.gz")).size + statSync(launcher).size;
      process.stdout.write(`${counts.join("\n")}\nuploaded: ${Math.round(size / 1e6)} MB\n`);
    } finally {
      folder.remove();
    }
  }
});

describe("Another program that is uploaded to a site with suexec, while visitors ask all the time", {
  skip: !whole ? "it is tried with --whole" : needsSuexec() || program().name !== "binary" && "it is the compiled program",
}, () => {
  const folder = makeFolder();
  const root = join(folder.path, "home/customer/public_html");
  const gz = join(root, "runfcgi.gz");
  const logFile = join(root, ".htmysite.log");
  const log = () => existsSync(logFile) ? readFileSync(logFile, "utf8") : "";
  let customer: Customer;
  let web: RunningWebServer;
  let port = 0;
  let bytes: Buffer;
  let [ended, asked] = [false, 0];
  const visitors: Promise<void>[] = [];
  const wrong: string[] = [];
  /** Programs that may answer, by the time of what they were unpacked from, and the last that has. */
  let allowed: number[] = [];
  let last = 0;

  async function visit(): Promise<void> {
    while (!ended) {
      const { status, text } = await ask(port, "/");
      asked++;
      last = Number(text);
      if (status !== 200 || !allowed.includes(last)) wrong.push(`${status} ${text.slice(0, 200)}`);
    }
  }

  /** Lets some more visitors come. */
  async function more(count: number): Promise<void> {
    const from = asked;
    await until("visitors are answered", () => asked >= from + count);
  }

  const timeOf = (file: string) => statSync(file).mtimeMs;
  const become = (name: string) => chownSync(join(root, name), customer.uid, customer.uid);

  before(async () => {
    customer = new Customer(folder.path);
    assert.equal((await start([...program().command, "init", root, "for=apache-shared"]).exit).code, 0);
    writeFileSync(
      join(root, "mysite.ts"),
      `import { statSync } from "node:fs";
export default () => new Response(String(statSync("/proc/self/exe").mtimeMs));
`,
    );
    bytes = readFileSync(gz);
    utimesSync(gz, 1_700_000_000, 1_700_000_000);
    allowed = [timeOf(gz)];
    customer.own();
    port = await freePort();
    // Processes are ended and started all the time, too.
    const config = `${customer.host(root)}\nFcgidMaxRequestsPerProcess 50`;
    web = await startWebServer("apache", { folder: folder.path, port }, config, customer.around);
    for (let i = 0; i < 4; i++) visitors.push(visit());
    await more(1);
  }, { timeout });

  after(async () => {
    ended = true;
    await Promise.all(visitors);
    await web?.running.stop();
    folder.remove();
  }, { timeout });

  /** Writes in its place, in pieces. */
  async function write(all: Buffer): Promise<void> {
    const fd = openSync(gz, "w");
    for (let at = 0; at < all.length; at += 2 ** 20) {
      writeSync(fd, all, at, Math.min(2 ** 20, all.length - at));
      allowed = [...allowed.slice(0, 1), timeOf(gz)];
      await more(20);
    }
    closeSync(fd);
  }

  async function expectNew(): Promise<void> {
    allowed = [allowed[0], timeOf(gz)];
    await until("the new one answers", () => last === allowed[1], 30);
    // Each process restarts when it is asked.
    await until("all do", async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => ask(port, "/")));
      return answers.every(({ text }) => Number(text) === allowed[1]);
    }, 30);
    allowed = [allowed[1]];
  }

  function rename(file: Uint8Array, time: number): void {
    writeFileSync(join(root, "upload"), file);
    utimesSync(join(root, "upload"), time, time);
    become("upload");
    renameSync(join(root, "upload"), gz);
  }

  const uploads: Record<string, () => Promise<void>> = {
    "renamed over it": () => (rename(bytes, 1_710_000_000), expectNew()),
    "written over it, slowly": async () => {
      await write(bytes);
      await expectNew();
    },
    "broken off in the middle, and uploaded again": async () => {
      await write(bytes.subarray(0, 10 * 2 ** 20));
      await until("it is refused", () => /is not whole: .*the program before goes on/.test(log()), 30);
      await write(bytes);
      await expectNew();
    },
    "garbage, and not taken": async () => {
      const told = log().length;
      rename(Buffer.from("<html>"), 1_720_000_000);
      await until("it is refused", () => /is not whole: .*the program before goes on/.test(log().slice(told)), 30);
      await more(200);
      assert.equal(log().slice(told).match(/is not whole/g)?.length, 1);
    },
    "an older one": () => (rename(bytes, 1_690_000_000), expectNew()),
  };
  for (const [what, upload] of Object.entries(uploads)) {
    test(`is ${what}: each is answered, by the right program`, { timeout: 2 * timeout }, async () => {
      const from = asked;
      await upload();
      process.stdout.write(`${what}: ${asked - from} visitors, ${wrong.length} not answered\n`);
      assert.deepEqual(wrong, [], `${web.errors().slice(-3000)}\n${log().slice(-3000)}`);
      assert.equal(readdirSync(root).filter((name) => name.startsWith(".htrunfcgi-")).length, 1);
    });
  }
});

describe("A site behind Apache with suexec", { skip: needsSuexec() }, () => {
  const folder = makeFolder();
  let customer: Customer;
  let root = "";
  let web: RunningWebServer;
  let port = 0;
  const log = (site: string) => join(site, ".htmysite.log");

  before(async () => {
    customer = new Customer(folder.path);
    root = join(customer.home, "public_html");
    const [below, away] = [join(root, "below"), join(customer.home, "app")];
    // To compress it takes its time.
    const words = [...program().command, "init", root, "for=apache-shared", `single=${!whole}`];
    const { code } = await start(words).exit;
    assert.equal(code, 0);
    for (const site of [below, away]) mkdirSync(site);
    for (const site of [root, away]) writeFileSync(join(site, "mysite.ts"), app());
    // From source, init says how to make the program.
    if (program().name !== "binary") putScript(join(root, "mysite.fcgi"), join(root, "mysite.ts"));
    putScript(join(away, "mysite.fcgi"), join(away, "mysite.ts"));
    writeFileSync(join(below, ".htaccess"), configText(["apache-shared", `program=${join(away, "mysite.fcgi")}`]));
    // As FTP servers leave it.
    chmodSync(join(root, ".htmysite.key"), 0o644);
    customer.own();
    port = await freePort();
    web = await startWebServer("apache", { folder: folder.path, port }, customer.host(root), customer.around);
  }, { timeout });

  after(async () => {
    await web?.running.stop();
    folder.remove();
  }, { timeout });

  function testSite(name: string, run: () => void | Promise<void>): void {
    test(name, { timeout }, async () => {
      try {
        await run();
      } catch (error) {
        throw new Error(`${web.errors().slice(-3000)}\n${customer.log.slice(-2000)}`, { cause: error });
      }
    });
  }

  for (const [path, where] of [["/", "beside its .htaccess"], ["/below/page", "outside of the web folder"]]) {
    testSite(`runs as its user, the program ${where}`, async () => {
      const { status, text } = await ask(port, path);
      assert.equal(status, 200, text);
      assert.deepEqual(JSON.parse(text), ["one", customer.uid, customer.uid]);
      assert.match(customer.log, /uid: \(20001\/customer\) gid: \(20001\/customer\) cmd: mysite\.fcgi/);
    });
  }

  testSite("keeps its log and its key for its user alone", async () => {
    const { status, text } = await ask(port, "/fail");
    assert.equal(status, 500);
    assert.match(text, /The reason is in the log \.htmysite\.log/);
    await until("the log has it", () => /out of order/.test(readFileSync(log(root), "utf8")));
    const [, address] = /^address (\S+)$/m.exec(readFileSync(join(root, ".htmysite.key"), "utf8"))!;
    assert.match((await ask(port, address)).text, /<input id="key"/);
    for (const name of [".htmysite.log", ".htmysite.key"]) {
      const { mode, uid } = statSync(join(root, name));
      assert.deepEqual([name, mode & 0o777, uid], [name, 0o600, customer.uid]);
      assert.doesNotMatch((await ask(port, `/${name}`)).text, /out of order|^key/m);
    }
  });

  testSite("is unpacked once, by its user", () => {
    if (program().name !== "binary" || !whole) return;
    const [unpacked, ...more] = readdirSync(root).filter((name) => name.startsWith(".htrunfcgi-"));
    assert.deepEqual(more, []);
    const { mode, uid } = statSync(join(root, unpacked));
    assert.deepEqual([mode & 0o777, uid], [0o755, customer.uid]);
  });

  testSite("gets new code that is uploaded", async () => {
    writeFileSync(join(root, "mysite.ts"), app("two"));
    await until("the new one answers", async () => JSON.parse((await ask(port, "/")).text)[0] === "two");
  });

  const refused: [what: string, change: () => void, back: () => void, reason: RegExp, word: RegExp][] = [
    [
      "a program that others can change",
      () => chmodSync(join(root, "mysite.fcgi"), 0o775),
      () => chmodSync(join(root, "mysite.fcgi"), 0o755),
      /file is writable by others/,
      /problem +program file +".*mysite\.fcgi" can be changed by others \(mode 775\)/,
    ],
    [
      "a folder that others can change",
      () => chmodSync(root, 0o777),
      () => chmodSync(root, 0o755),
      /directory is writable by others/,
      /problem +program file +the folder ".*" can be changed by others \(mode 777\)/,
    ],
    [
      "a program of another user",
      () => chownSync(join(root, "mysite.fcgi"), 0, 0),
      () => chownSync(join(root, "mysite.fcgi"), customer.uid, customer.uid),
      /target uid\/gid \(20001\/20001\) mismatch with directory \(20001\/20001\) or program \(0\/0\)/,
      /note +program file +".*mysite\.fcgi" is the user's with the number 0, and its folder that of 20001/,
    ],
  ];
  for (const [what, change, back, reason, word] of whole ? refused : []) {
    testSite(`is not started where suexec refuses ${what}, which the doctor says`, async () => {
      change();
      try {
        // Processes that run go on.
        web.running.kill("SIGUSR1");
        await until("Apache asks suexec", async () => (await ask(port, "/")).status >= 500);
        assert.match(customer.log, reason);
        const doctor = start([...program().command, "doctor", "program=mysite.fcgi", `url=http://127.0.0.1:${port}/`], {
          cwd: root,
        });
        await doctor.exit;
        assert.match(doctor.stdout(), word);
        assert.match(doctor.stdout(), /problem +web server +.* is answered with 50[03]/);
      } finally {
        back();
      }
      await until("it is started", async () => (await ask(port, "/")).status === 200);
    });
  }
});
