import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, describe, test } from "node:test";
import { configText } from "../../src/config/servers.ts";
import { checkHtaccess, rewritingBefore } from "../../src/doctor/htaccess.ts";
import { findBarrier, missingBit, Permission } from "../../src/doctor/permissions.ts";
import { type Finding, findingText } from "../../src/doctor/finding.ts";
import { checkLimits, findWebServerUsers, webServerUsers } from "../../src/doctor/host.ts";
import {
  checkProgramFile,
  compareVersions,
  type Format,
  inspectProgram,
  mountOptions,
  type ProgramFacts,
  readFormat,
} from "../../src/doctor/program_file.ts";
import { checkAnswer, checkLog, checkPidfile, checkSocket } from "../../src/doctor/server.ts";
import { missingApplication } from "../../src/doctor/loading.ts";
import { serverVariable } from "../../src/supervisor/pidfile.ts";
import { startSite } from "../support/peer.ts";
import { freePort } from "../support/program.ts";
import { workplace } from "../support/words.ts";

const { site, path: place } = workplace();
const somebody = { uid: 54321, groups: [54322], name: "somebody" };

function states(findings: Finding | readonly Finding[]): string[] {
  return [findings].flat().map(({ check, state }) => `${check}: ${state}`);
}

describe("a program file", () => {
  const elf: Format = { kind: "elf", machine: "x64", interpreter: "/lib64/ld.so", glibc: "2.17", cut: false };
  const good: ProgramFacts = {
    path: "/srv/site/mysite.fcgi",
    mode: 0o100755,
    folderMode: 0o40755,
    format: elf,
    mount: ["rw", "nosuid"],
    machine: "x64",
    glibc: "2.36",
    exists: () => true,
  };

  test("that can be started is fine", () => {
    assert.deepEqual(states(inspectProgram(good)), []);
    assert.deepEqual(states(checkProgramFile(process.execPath, [])).filter((state) => !/ok|problem/.test(state)), []);
  });

  const wrong: [name: string, facts: Partial<ProgramFacts>, text: RegExp, fix: RegExp][] = [
    ["not executable", { mode: 0o100644 }, /not executable \(mode 644\)/, /^chmod 755 \/srv\/site\/mysite\.fcgi$/],
    ["not executable for the web server", { closedTo: somebody }, /somebody may not execute/, /^chmod 755/],
    ["writable by others", { mode: 0o100775 }, /can be changed by others \(mode 775\)/, /^chmod 755/],
    [
      "in a folder that is writable by others",
      { folderMode: 0o40777 },
      /the folder "\/srv\/site" can be changed/,
      /^chmod 755 \/srv\/site$/,
    ],
    [
      "on a mount with noexec",
      { mount: ["rw", "noexec"] },
      /noexec/,
      /Write to the host's support: “Please let programs run in \/srv\/site/,
    ],
    ["for another machine", { machine: "arm64" }, /is for x64, and this machine is arm64/, /--target linux-arm64$/],
    ["without its loader", { exists: () => false }, /needs "\/lib64\/ld\.so"/, /--target linux-x64-musl$/],
    ["for a newer glibc", { glibc: "2.9" }, /needs glibc 2\.17, and this machine has 2\.9/, /--with bun/],
    ["cut off", { format: { ...elf, cut: true } }, /is shorter than it says/, /binary mode/],
    ["nothing that can be run", { format: { kind: "unknown" } }, /neither a program/, /binary mode/],
    [
      "a script with the line ends of Windows",
      { format: { kind: "script", interpreter: "/bin/sh", carriageReturn: true } },
      /ends as on Windows/,
      /^Upload it again/,
    ],
    [
      "a script without its interpreter",
      { format: { kind: "script", interpreter: "/nothing", carriageReturn: false }, exists: () => false },
      /"\/nothing", which is not there/,
      /command -v node/,
    ],
  ];
  for (const [name, facts, text, fix] of wrong) {
    test(`that is ${name} is a problem`, () => {
      const found = inspectProgram({ ...good, ...facts });
      assert.deepEqual(states(found), ["program file: problem"]);
      assert.match(found[0].text, text);
      assert.match(found[0].fix!, fix);
    });
  }

  test("that crashes when it is started is a problem, and one that runs is not", () => {
    const folder = mkdtempSync(join(tmpdir(), "runfcgi-"));
    try {
      const file = (name: string, script: string) => {
        writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
        chmodSync(folder, 0o755);
        return checkProgramFile(join(folder, name), []);
      };
      const [crash] = file("a.fcgi", "kill -s SEGV $$");
      assert.deepEqual(states([crash]), ["program file: problem"]);
      assert.match(crash.text, /cannot be started: it ends by SIGSEGV/);
      assert.match(crash.fix!, /binary mode/);
      const [says] = file("b.fcgi", "echo no such library >&2; exit 127");
      assert.match(says.fix!, /^It says: no such library\n/);
      assert.deepEqual(states(file("c.fcgi", "echo runfcgi 1")), ["program file: ok"]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("by another name than that of the .htaccess is a problem", () => {
    const folder = mkdtempSync(join(tmpdir(), "runfcgi-"));
    try {
      const htaccess = { path: join(folder, ".htaccess"), text: configText(["apache-shared"]) };
      const first = () => checkHtaccess(htaccess)[0];
      assert.match(first().fix!, /^Upload the program as mysite\.fcgi/);
      writeFileSync(join(folder, "MySite.FCGI"), "");
      assert.match(first().text, /leads visitors to "mysite\.fcgi", which is not there; "MySite\.FCGI" is$/);
      assert.equal(first().fix, `Rename it, for the names have to be the same: mv ${folder}/MySite.FCGI ${folder}/mysite.fcgi`);
      writeFileSync(join(folder, "mysite.fcgi"), "");
      assert.equal(first().state, "ok");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("whose words have the name of the program in them, and that fails, is a problem", () => {
    const folder = site({ "mysite.fcgi": '#!/bin/sh\necho "$0: $0/runfcgi.gz is not whole" >&2\nexit 1\n' });
    chmodSync(folder, 0o755);
    chmodSync(join(folder, "mysite.fcgi"), 0o755);
    const [found] = checkProgramFile(join(folder, "mysite.fcgi"), []);
    assert.match(found.text, /cannot be started: it ends with the status 1/);
    assert.match(found.fix!, /^It says: .*runfcgi\.gz is not whole\n/);
  });

  test("has a .htaccess beside it, or one by another name", () => {
    const folder = site({ "mysite.fcgi": "", "other/htaccess.txt": "" });
    const check = (place: string) =>
      checkHtaccess({ path: join(folder, place, ".htaccess") }, join(folder, place, "mysite.fcgi"));
    assert.deepEqual(states(check("")), [".htaccess: note"]);
    assert.match(check("other")[0].text, /htaccess\.txt" is not called \.htaccess/);
    assert.deepEqual(checkHtaccess({ path: join(folder, ".htaccess") }, "/elsewhere/mysite.fcgi"), []);
    assert.deepEqual(checkHtaccess({ path: join(folder, ".htaccess") }), []);
  });

  test("is not asked where other rules come first", () => {
    const own = configText(["apache-shared", "name=shop"]);
    const before = (...lines: string[]) => rewritingBefore({ path: "", text: [...lines, own].join("\r\n") });
    assert.equal(before(), undefined);
    assert.equal(before("RewriteRule ^index\\.php$ - [L]", "  RewriteRule . index.php [L]"), "RewriteRule . index.php [L]");
    assert.equal(before('RewriteRule "^a b$" /other [L]'), 'RewriteRule "^a b$" /other [L]');
    assert.equal(
      before("RewriteRule ^ https://%{HTTP_HOST}%{REQUEST_URI} [L,R=301]", "RewriteRule ^old$ /new [R=301,L]"),
      undefined,
    );
    assert.equal(before("# RewriteRule . index.php [L]", "RewriteRule ^secret - [F]"), undefined);
    assert.equal(rewritingBefore({ path: "", text: `${own}\nRewriteRule . index.php [L]\n` }), undefined);
    assert.equal(rewritingBefore({ path: "", text: "RewriteRule . index.php [L]\n" }), undefined);
  });

  test("has an application beside it, or one by nearly its name, or none", () => {
    const folder = site({ "near/MySite.ts.txt": "", "none/page.html": "" });
    const find = (place: string) => missingApplication(join(folder, place, "mysite.fcgi"));
    assert.equal(find("near").state, "problem");
    assert.match(find("near").text, /^"MySite\.ts\.txt" is there, and "mysite\.ts" is looked for$/);
    assert.deepEqual([find("none").state, find("none").fix], ["note", "Upload it as mysite.ts"]);
  });

  test("is read as ELF, also when it is cut off", () => {
    const file = readFileSync("/bin/sh");
    const read = (all: Buffer) => readFormat((offset, length) => all.subarray(offset, offset + length), all.length);
    const format = read(file);
    assert.equal(format.kind, "elf");
    if (format.kind !== "elf") return;
    assert.equal(format.machine, process.arch);
    assert.match(format.interpreter ?? "", /^\/lib.*ld/);
    assert.match(format.glibc ?? "2.0", /^2\.\d+$/);
    assert.equal(format.cut, false);
    assert.deepEqual({ ...read(file.subarray(0, file.length - 100)), glibc: undefined }, {
      ...format,
      glibc: undefined,
      cut: true,
    });
    const other = Buffer.from(file);
    other.writeUInt16LE(183, 18);
    assert.equal((read(other) as typeof format).machine, "arm64");
  });

  test("is read as a script, and as nothing", () => {
    const read = (text: string) =>
      readFormat((offset, length) => Buffer.from(text).subarray(offset, offset + length), text.length);
    assert.deepEqual(read("#! /usr/bin/env node\nx"), { kind: "script", interpreter: "/usr/bin/env", carriageReturn: false });
    assert.deepEqual(read("#!/bin/sh\r\n"), { kind: "script", interpreter: "/bin/sh", carriageReturn: true });
    assert.deepEqual(read("<html>"), { kind: "unknown" });
    assert.deepEqual(read(""), { kind: "unknown" });
  });

  test("is looked at where it lies", () => {
    const folder = site({ "mysite.fcgi": "#!/bin/sh\r\n" });
    chmodSync(join(folder, "mysite.fcgi"), 0o666);
    const texts = checkProgramFile(join(folder, "mysite.fcgi"), []).map(({ text }) => text).join("\n");
    assert.match(texts, /not executable[^]*changed by others[^]*Windows/);
    assert.match(checkProgramFile(join(folder, "none"), [])[0].text, /cannot be looked at/);
    assert.match(checkProgramFile(folder, [])[0].text, /is not a file/);
  });

  test("has the options of the mount that it lies on", () => {
    const table = "1 0 8:1 / / rw,a shared:1 - ext4\n2 1 8:2 / /home rw,noexec - ext4\n3 1 8:3 / /home/a\\040b rw,c - ext4\n";
    assert.deepEqual(mountOptions("/home/me/x", table), ["rw", "noexec"]);
    assert.deepEqual(mountOptions("/homely/x", table), ["rw", "a"]);
    assert.deepEqual(mountOptions("/home/a b/x", table), ["rw", "c"]);
    assert.ok(compareVersions("2.9", "2.17") < 0 && compareVersions("2.17", "2.17") === 0);
  });
});

describe("the limits of the host", () => {
  const host = (limits: string, more: Record<string, string> = {}) =>
    checkLimits((file) => file === "/proc/self/limits" ? limits : more[file], () => false);

  test("that suffice are fine", () => {
    assert.deepEqual(states(host("")), ["memory: ok", "processes: ok"]);
  });

  test("of address space, memory, processes and files", () => {
    const address = host("Max address space         104857600            unlimited            bytes\n");
    assert.ok(states(address).includes("address space: problem"), JSON.stringify(address));
    assert.match(address[0].fix!, /support: “Please raise the limit of address space \(ulimit -v\) of my account to \d+ KiB/);
    const memory = host("", { "/proc/self/cgroup": "0::/a", "/sys/fs/cgroup/a/memory.max": "20000000" });
    assert.ok(states(memory).includes("memory: problem"), JSON.stringify(memory));
    assert.match(memory[0].text, /19 MiB \(cgroup v2, memory\.max\)/);
    const files = host("Max open files            64                   64                   files\n");
    assert.ok(states(files).includes("open files: problem"));
    // Root is not bound by the number of processes.
    const processes = states(host("Max processes             5                   5                   processes\n"));
    assert.ok(processes.includes(process.getuid?.() === 0 ? "processes: ok" : "processes: problem"));
    if (process.getuid?.() === 0) return;
    // As many as there may be are there already.
    const hundred = "Max processes             100                 100                 processes\n";
    const found = (used: number) =>
      checkLimits((file) => file === "/proc/self/limits" ? hundred : undefined, () => false, () => used).find(({ check }) =>
        check === "processes"
      )!;
    assert.deepEqual([found(10).state, found(99).state], ["ok", "problem"]);
    assert.match(found(99).text, /^99 of 100 are in use \(ulimit -u; threads count\): /);
  });

  test("of CloudLinux cannot be seen", () => {
    assert.ok(states(checkLimits(() => undefined, () => true)).includes("CloudLinux: not checked"));
  });
});

describe("the web server's user", () => {
  const status = (name: string, uid: number) =>
    `Name:\t${name}\nState:\tS\nUid:\t0\t${uid}\t0\t0\nGid:\t7\t8\t7\t7\nGroups:\t9 10 \n`;

  test("is that of its workers", () => {
    const found = webServerUsers([status("nginx", 0), status("nginx", 33333), status("sh", 44444), status("apache2", 33333)]);
    assert.deepEqual(found, [{ uid: 33333, groups: [8, 9, 10], name: "nginx (user 33333)" }]);
  });

  test("can be named", () => {
    assert.equal(findWebServerUsers("nobody")[0].name, "nobody");
    assert.throws(() => findWebServerUsers("no-such-user"), /there is no user "no-such-user"/);
  });
});

describe("permissions", () => {
  test("are those of the owner, the group, or others", () => {
    const file = (mode: number) => ({ mode, uid: 1, gid: 2 });
    const who = (uid: number, ...groups: number[]) => ({ uid, groups, name: "" });
    assert.equal(missingBit(file(0o077), Permission.write, who(1, 2)), "u");
    assert.equal(missingBit(file(0o707), Permission.write, who(3, 2)), "g");
    assert.equal(missingBit(file(0o770), Permission.write, who(3, 4)), "o");
    assert.equal(missingBit(file(0o002), Permission.write, who(3, 4)), undefined);
    assert.equal(missingBit(file(0), Permission.write, who(0)), undefined);
  });

  test("of each folder on the way count", () => {
    const modes: Record<string, number> = { "/": 0o755, "/home": 0o755, "/home/me": 0o700, "/home/me/s": 0o777 };
    const stat = (path: string) => ({ mode: modes[path], uid: 1, gid: 1 });
    assert.equal(findBarrier("/home/me/s", Permission.write, somebody, stat)?.path, "/home/me");
    modes["/home/me"] = 0o701;
    assert.equal(findBarrier("/home/me/s", Permission.write, somebody, stat), undefined);
    modes["/home/me/s"] = 0o755;
    assert.deepEqual(findBarrier("/home/me/s", Permission.write, somebody, stat), {
      path: "/home/me/s",
      mode: 0o755,
      uid: 1,
      gid: 1,
      wanted: Permission.write,
      as: "o",
    });
  });
});

describe("the endpoint", () => {
  test("that answers and that the web server can connect to is fine", async () => {
    await using served = await startSite(() => new Response("hello"));
    const { address } = served.server;
    assert.ok(address.transport === "unix");
    const { finding, listens } = await checkAnswer({ address, protocol: "fcgi" });
    assert.deepEqual([listens, finding.state], [true, "ok"]);
    chmodSync(place, 0o755);
    assert.deepEqual(states(checkSocket(address.path, [{ uid: 0, groups: [], name: "root" }])), ["socket: ok"]);
    assert.deepEqual(states(checkSocket(address.path, [])), ["socket: not checked"]);
  });

  test("that fails, is silent, speaks otherwise or is not there is a problem", async () => {
    await using failing = await startSite(() => new Response("", { status: 500 }));
    assert.match((await checkAnswer({ address: failing.server.address, protocol: "fcgi" })).finding.text, /with 500/);
    await using http = await startSite(() => new Response(), { protocol: "http" });
    const { finding } = await checkAnswer({ address: http.server.address, protocol: "fcgi" });
    assert.match(`${finding.text}: ${finding.fix}`, /not FastCGI.*HTTP.*: Try protocol=http/);
    await using silent = await startSite(() => new Promise<Response>(() => {}));
    assert.match(
      (await checkAnswer({ address: silent.server.address, protocol: "fcgi" }, 0.1)).finding.text,
      /no response after 0\.1 s/,
    );
    const none = await checkAnswer({
      address: { transport: "tcp", hostname: "127.0.0.1", port: await freePort() },
      protocol: "fcgi",
    });
    assert.deepEqual([none.listens, none.finding.state], [false, "problem"]);
  });

  test("that the web server cannot connect to is a problem", async () => {
    const folder = site({ file: "" });
    chmodSync(folder, 0o755);
    assert.match(checkSocket(join(folder, "file"), [somebody])[0].text, /is not a socket/);
    assert.match(checkSocket(join(folder, "none/s"), [somebody])[0].fix!, /^mkdir -p .*none$/);
    assert.deepEqual(states(checkSocket(join(folder, "s"), [somebody])), ["socket: not checked"]);
    const server = createServer().listen(join(folder, "s"));
    await new Promise((resolve) => server.once("listening", resolve));
    chmodSync(join(folder, "s"), 0o700);
    chmodSync(place, 0o755);
    const [socket] = checkSocket(join(folder, "s"), [somebody]);
    assert.match(socket.text, /somebody may not write to/);
    assert.match(socket.fix!, /mode=666/);
    chmodSync(folder, 0o700);
    const [way] = checkSocket(join(folder, "s"), [somebody]);
    assert.match(way.text, /somebody may not enter/);
    assert.equal(way.fix, `chmod o+x ${folder}`);
    server.close();
  });
});

test("the pidfile and the log", () => {
  // As a server of ours.
  const server = spawn("sleep", ["30"], { stdio: "ignore", env: { ...process.env, [serverVariable]: "{}" } });
  after(() => void server.kill("SIGKILL"));
  const folder = site({ stale: "4194000\n", own: `${server.pid}\n`, odd: "<html>", log: "" });
  const pidfile = (name: string) => states(checkPidfile(join(folder, name)))[0];
  assert.deepEqual(["none", "stale", "own", "odd"].map(pidfile), [
    "pidfile: not checked",
    "pidfile: problem",
    "pidfile: ok",
    "pidfile: problem",
  ]);
  assert.match(checkPidfile(join(folder, "stale")).fix!, /rm .*stale$/);
  assert.equal(checkLog(join(folder, "log")).state, "ok");
  assert.equal(checkLog(join(folder, "new")).state, "ok");
  assert.match(checkLog(join(folder, "none/log")).fix!, /^mkdir -p .*none$/);
  mkdirSync(join(folder, "closed"));
  writeFileSync(join(folder, "closed/log"), "");
  chmodSync(join(folder, "closed/log"), 0o400);
  // Root may write all the same.
  assert.equal(checkLog(join(folder, "closed/log")).state, process.getuid?.() === 0 ? "ok" : "problem");
});

test("a finding is one line, and what to do is below", () => {
  assert.equal(
    findingText({ check: "a", state: "problem", text: "b", fix: "c\nd" }),
    `problem      a              b\n${" ".repeat(28)}c\n${" ".repeat(28)}d\n`,
  );
});
