/** The doctor in PHP, run by Debian's php-cgi as a web server runs it. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn, spawnSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { describeFile, type DoctorFacts, doctorName, doctorText } from "../../src/doctor/php.ts";
import { configText } from "../../src/config/servers.ts";
import { checkHtaccess } from "../../src/doctor/htaccess.ts";
import { checkProgramFile } from "../../src/doctor/program_file.ts";
import { PACKED, REFUSED, UNPACKED_PROGRAM } from "../../src/app/program_file.ts";
import { makeKey, plainKey } from "../../src/app/owner_key.ts";
import { putProgram } from "../e2e/site.ts";
import { isRunning, whole } from "../support/program.ts";
import { makeFolder } from "../support/servers.ts";

const lacks = spawnSync("php-cgi", ["-v"]).status === 0 ? false : "php-cgi is missing";
const timeout = 60_000;
const folder = makeFolder();
const key = makeKey();
const sourceFile = fileURLToPath(new URL("../../src/doctor/doctor.php", import.meta.url));
const source = readFileSync(sourceFile, "utf8");
const plain = plainKey(key)!;
const htaccess = configText(["apache-shared"]);

/** What the browser has of who has given the key. */
const cookie = `runfcgi-doctor=${createHmac("sha256", plain).update("doctor").digest("hex")}`;

/** A program for a machine, as far as its beginning tells. */
function elf(machine: number): Buffer {
  const bytes = Buffer.alloc(4096, "some\nlines\r\nof bytes\n");
  bytes.fill(0, 0, 64);
  Buffer.from("7f454c460201010000000000000000000200", "hex").copy(bytes);
  bytes.writeUInt16LE(machine, 18);
  return bytes;
}

const own = { x64: 62, arm64: 183 }[process.arch as "x64" | "arm64"] ?? 0;
const other = own === 62 ? 183 : 62;
/** Stands for the script that starts the program: it speaks no FastCGI, and ends. */
const ends = "#!/bin/sh\n# A comment.\necho 'no luck <b>today</b>' >&2\nexit 3\n";

/** A site in a folder of its own, and its page. */
class Site {
  static #made = 0;
  readonly path: string;
  readonly page: string;
  readonly #options: readonly string[];

  /** @param seconds that the program has to answer */
  constructor({ program = ends, packed, options = [], seconds = 60 }: {
    program?: string | Buffer | ((file: string) => void);
    packed?: Buffer;
    options?: readonly string[];
    seconds?: number;
  } = {}) {
    this.path = join(folder.path, `site${++Site.#made}`);
    this.#options = options;
    mkdirSync(this.path, { mode: 0o755 });
    if (typeof program === "function") program(this.file("mysite.fcgi"));
    else writeFileSync(this.file("mysite.fcgi"), program, { mode: 0o755 });
    if (packed) writeFileSync(this.file("runfcgi.gz"), packed);
    writeFileSync(this.file(".htaccess"), htaccess);
    writeFileSync(this.file("mysite.ts"), "export default { fetch: () => new Response('hello') };\n");
    const files = ["mysite.fcgi", ...packed ? ["runfcgi.gz"] : []];
    const facts: DoctorFacts = {
      program: "mysite.fcgi",
      files: Object.fromEntries(files.map((name) => [name, describeFile(readFileSync(this.file(name)))])),
      htaccess,
    };
    this.page = this.file(doctorName(plain));
    writeFileSync(this.page, doctorText(source, plain, facts).replace("'START_SECONDS', 25", `'START_SECONDS', ${seconds}`));
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Asks as a browser does. */
  async ask({ form, cookie, env = {} }: { form?: Record<string, string>; cookie?: string; env?: Record<string, string> } = {}) {
    const body = form === undefined ? "" : String(new URLSearchParams(form));
    const child = spawn("php-cgi", this.#options.flatMap((option) => ["-d", option]), {
      cwd: this.path,
      env: {
        PATH: process.env.PATH,
        REDIRECT_STATUS: "200",
        GATEWAY_INTERFACE: "CGI/1.1",
        SCRIPT_FILENAME: this.page,
        SCRIPT_NAME: `/${basename(this.page)}`,
        REQUEST_METHOD: form === undefined ? "GET" : "POST",
        CONTENT_TYPE: "application/x-www-form-urlencoded",
        CONTENT_LENGTH: String(body.length),
        SERVER_SOFTWARE: "Apache/2.4.68",
        // Nobody answers there.
        HTTP_HOST: "127.0.0.1:9",
        HTTPS: "on",
        ...cookie !== undefined && { HTTP_COOKIE: cookie },
        ...env,
      },
      stdio: ["pipe", "pipe", "pipe"],
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
    child.stderr.resume();
    child.stdin.on("error", () => {});
    child.stdin.end(body);
    await new Promise((resolve) => child.once("close", resolve));
    const [head, page] = [text.slice(0, text.indexOf("\r\n\r\n")), text.slice(text.indexOf("\r\n\r\n") + 4)];
    const header = (name: string) => new RegExp(`^${name}: (.*)$`, "im").exec(head)?.[1].trim();
    return { status: Number(header("Status")?.slice(0, 3) ?? 200), header, page };
  }

  /** The page for who has the key. */
  async look(env?: Record<string, string>): Promise<string> {
    const { status, page } = await this.ask({ cookie, env });
    assert.equal(status, 200);
    return page;
  }

  /** Presses a button of a page. */
  async press(page: string, label: string) {
    const [, token, id] = new RegExp(`name="token" value="(\\w+)"><button name="do" value="(\\w+)">${label}<`).exec(page)!;
    return await this.ask({ cookie, form: { token, do: id } });
  }
}

/** The findings of a page, as text. */
function findings(page: string): { state: string; text: string; fix: string }[] {
  const unescaped = (text: string) =>
    text.replace(
      /&(?:#0?39|quot|lt|gt|amp);/g,
      (entity) => ({ "&#039;": "'", "&quot;": '"', "&lt;": "<", "&gt;": ">", "&amp;": "&" })[entity]!,
    );
  return [...page.matchAll(/<li class="[\w-]+"><b>([^<]*)<\/b> ([^<]*)(?:<pre tabindex="0">([^<]*)<\/pre>)?/g)].map((
    [, state, text, fix = ""],
  ) => ({ state, text: unescaped(text).trim(), fix: unescaped(fix) }));
}

function problems(page: string): string[] {
  return findings(page).filter(({ state }) => state === "problem").map(({ text }) => text);
}

describe("the doctor in PHP", { skip: lacks }, () => {
  before(() => chmodSync(folder.path, 0o755));
  after(() => folder.remove());

  test("is PHP without errors, filled in or not", { timeout }, () => {
    for (const file of [sourceFile, new Site().page]) {
      const { stdout } = spawnSync("php-cgi", ["-l", file], { encoding: "utf8" });
      assert.match(stdout, /No syntax errors detected/);
    }
    // What PHP 5.6 does not know: `??`, `<=>`, types of scalars and of results, `yield from`, `fn`, `[$a] =`, `?->`, `match`.
    const code = source.replaceAll(/'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\/\*[^]*?\*\/|\/\/.*/g, "''");
    assert.doesNotMatch(
      code,
      /\?\?|<=>|\?->|\bfn\s*\(|\bmatch\s*\(|\byield from\b|(?:string|int|bool|float|mixed|array) \$\w|\)\s*:\s*\??\w+\s*\{|^\s*\[[^\]]*\]\s*=[^>]/m,
    );
  });

  test("is PHP that says nothing to strangers", { timeout }, async () => {
    const site = new Site();
    const { status, header, page } = await site.ask();
    assert.equal(status, 200);
    assert.match(page, /<input id="key" name="key" type="password"/);
    assert.doesNotMatch(page, /mysite|\.fcgi|<li/);
    assert.equal(header("cache-control"), "no-store");
    assert.equal(header("x-robots-tag"), "noindex");
    assert.equal(header("x-frame-options"), "DENY");
    assert.match(
      header("content-security-policy")!,
      /^default-src 'none'; style-src 'sha256-[^']*'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
    );
    for (const form of [{ key: makeKey() }, { key: "x" }] as Record<string, string>[]) {
      const wrong = await site.ask({ form });
      assert.equal(wrong.status, 403);
      assert.equal(wrong.header("set-cookie"), undefined);
    }
    for (
      const cookie of [undefined, "runfcgi-doctor=", "runfcgi-doctor=fixed", "runfcgi-doctor[]=1", `runfcgi-doctor=${plain}`]
    ) {
      assert.doesNotMatch((await site.ask({ cookie })).page, /mysite/);
    }
    const text = readFileSync(site.page, "utf8");
    assert.ok(!text.includes(plain) && !text.includes(key));
  });

  test("lets in who has the key, and does nothing for a forged form", { timeout }, async () => {
    const site = new Site();
    chmodSync(site.file("mysite.fcgi"), 0o644);
    const { header } = await site.ask({ form: { key: ` ${key.toUpperCase()} ` } });
    assert.match(
      header("set-cookie")!,
      /^runfcgi-doctor=[0-9a-f]{64}; Path=\/doctor-\w+\.php; Max-Age=3[56]\d\d; HttpOnly; SameSite=Strict; Secure$/,
    );
    assert.equal(header("set-cookie")!.split(";")[0], cookie);
    const page = await site.look();
    const [, id] = /name="do" value="(\w+)">Set the mode 755/.exec(page)!;
    for (const form of [{ do: id }, { do: id, token: "guess" }] as Record<string, string>[]) {
      assert.equal((await site.ask({ cookie, form })).status, 403);
      assert.doesNotMatch((await site.ask({ form })).page, /Done/);
    }
    const [, token] = /name="token" value="(\w+)"/.exec(page)!;
    assert.match((await site.ask({ cookie, form: { token, do: "0".repeat(40) } })).page, /nothing to do/);
    assert.equal(statSync(site.file("mysite.fcgi")).mode & 0o777, 0o644);
  });

  test("works for an hour, and then deletes itself", { timeout }, async () => {
    const site = new Site();
    await site.ask({ cookie });
    const [mark] = readdirSync(site.path).filter((name) => name.endsWith(".since"));
    assert.equal(statSync(site.file(mark)).mode & 0o777, 0o600);
    const [since, uploaded] = readFileSync(site.file(mark), "utf8").split(" ").map(Number);
    writeFileSync(site.file(mark), `${since - 3500} ${uploaded}`);
    assert.match((await site.ask({ cookie })).page, /It works for 1 minute more/);
    // Uploaded again, it begins anew.
    utimesSync(site.page, 1000, 1000);
    assert.match((await site.ask({ cookie })).page, /It works for (?:59|60) minutes more/);
    writeFileSync(site.file(mark), `${since - 3601} 1000`);
    for (const question of [{ cookie }, { form: { key } }]) {
      const text = readFileSync(site.page, "utf8");
      const { status, page } = await site.ask(question);
      assert.equal(status, 410);
      assert.match(page, /that is over\. It has deleted itself/);
      assert.equal(existsSync(site.page), false);
      assert.equal(existsSync(site.file(mark)), false);
      writeFileSync(site.page, text);
      utimesSync(site.page, 1000, 1000);
      writeFileSync(site.file(mark), `${since - 3601} 1000`);
    }
  });

  test(
    "says that it should be deleted where it cannot do that, and works without what hosts switch off",
    { timeout },
    async () => {
      const off =
        "unlink,chmod,proc_open,shell_exec,php_uname,disk_free_space,posix_geteuid,glob,sleep,umask,stream_socket_client";
      const site = new Site({ options: [`disable_functions=${off}`], packed: gzipSync(elf(own)) });
      const page = await site.look();
      assert.match(page, /because this host does not let PHP start programs \(proc_open\)/);
      assert.match(page, /<h2>Logs<\/h2>/);
      const [mark] = readdirSync(site.path).filter((name) => name.endsWith(".since"));
      writeFileSync(site.file(mark), `1 ${Math.floor(statSync(site.page).mtimeMs / 1000)}`);
      const { status, page: last } = await site.ask();
      assert.equal(status, 410);
      assert.match(last, /Delete this file now: <code>doctor-\w+\.php<\/code>/);
    },
  );

  test("finds nothing wrong with a site that works, and starts its program", { timeout: 2 * timeout }, async () => {
    const site = new Site({ program: (file) => putProgram(file, join(file, "../mysite.ts")) });
    const page = await site.look();
    assert.deepEqual(problems(page), [], page);
    const texts = findings(page).map(({ state, text }) => `${state} ${text}`);
    for (
      const expected of [
        /^ok program file: ".*mysite\.fcgi" is as init wrote it, \d+ bytes$/,
        /^ok \.htaccess: ".*\.htaccess" has all the lines that init wrote$/,
        /^ok start: GET \/ was answered with 200 after \d+ ms$/,
        /^ok application: ".*mysite\.ts" is there$/,
        /^not checked web server: because the host does not let PHP ask https:\/\/127\.0\.0\.1:9\//,
      ]
    ) assert.ok(texts.some((text) => expected.test(text)), `${expected}\n${texts.join("\n")}`);
    assert.match(
      page,
      /<th scope="row">\d+, as init wrote it; needs mod_fcgid, and AllowOverride FileInfo<\/th><td>AddHandler fcgid-script \.fcgi/,
    );
  });

  test("finds a page of the program that is an error", { timeout: 2 * timeout }, async () => {
    const site = new Site({ program: (file) => putProgram(file, join(file, "../mysite.ts")) });
    writeFileSync(site.file("mysite.ts"), 'export default () => { throw new Error("out of order"); };\n');
    const page = await site.look();
    assert.match(problems(page).join("\n"), /^start: GET \/ was answered with 500 after \d+ ms$/);
    assert.match(page, /<h2>What the program wrote<\/h2><pre[^>]*>[^<]*out of order/);
  });

  test("shows what a program says that ends", { timeout }, async () => {
    const page = await new Site().look();
    assert.deepEqual(problems(page), ["start: the program ended with the status 3 before it had answered"]);
    assert.match(
      page,
      /<h2>What the program wrote<\/h2><pre class="log" tabindex="0">no luck &lt;b&gt;today&lt;\/b&gt;\n<\/pre>/,
    );
  });

  test("names a program that hangs, and ends it", { timeout }, async () => {
    const site = new Site({ program: "#!/bin/sh\necho $$ > pid\nexec sleep 1000\n", seconds: 1 });
    assert.deepEqual(problems(await site.look()).map((text) => text.slice(0, 36)), ["start: there was no answer in 1 s: t"]);
    // It is killed before it begins where that takes long.
    const pid = existsSync(site.file("pid")) ? Number(readFileSync(site.file("pid"), "utf8")) : 0;
    assert.ok(pid === 0 || !isRunning(pid));
  });

  const modes: [what: string, change: (site: Site) => void, problem: RegExp, label: string][] = [
    [
      "a program that is not executable",
      (site) => chmodSync(site.file("mysite.fcgi"), 0o644),
      /is not executable \(mode 644\)$/,
      "Set the mode 755",
    ],
    [
      "a .htaccess of another name",
      (site) => renameSync(site.file(".htaccess"), site.file("htaccess.txt")),
      /is not called \.htaccess/,
      "Rename htaccess.txt to .htaccess",
    ],
    [
      "a program of another name",
      (site) => renameSync(site.file("mysite.fcgi"), site.file("MySite.fcgi")),
      /"mysite\.fcgi", which is not there; "MySite\.fcgi" is$/,
      "Rename MySite.fcgi to mysite.fcgi",
    ],
    [
      "a program that others can change",
      (site) => chmodSync(site.file("mysite.fcgi"), 0o775),
      /can be changed by others \(mode 775\)/,
      "Set the mode 755",
    ],
    [
      "a folder that others can change",
      (site) => chmodSync(site.path, 0o777),
      /the folder ".*" can be changed by others \(mode 777\)/,
      "Set the mode 755",
    ],
    [
      "a .htaccess that cannot be read",
      (site) => chmodSync(site.file(".htaccess"), 0o600),
      /may not read ".*\.htaccess" \(mode 600\)/,
      "Set the mode 644",
    ],
    [
      "an application of another name",
      (site) => renameSync(site.file("mysite.ts"), site.file("MySite.ts.txt")),
      /"MySite\.ts\.txt" is there, and "mysite\.ts" is looked for/,
      "Rename MySite.ts.txt to mysite.ts",
    ],
    [
      "an application with an ending that is not looked for",
      (site) => renameSync(site.file("mysite.ts"), site.file("mysite.mts")),
      /"mysite\.mts" is there, and "mysite\.ts" is looked for/,
      "Rename mysite.mts to mysite.ts",
    ],
  ];
  for (const [what, change, problem, label] of whole ? modes : modes.slice(0, 4)) {
    test(`finds ${what}, and cures it by a button`, { timeout }, async () => {
      const site = new Site();
      change(site);
      const page = await site.look();
      assert.ok(problems(page).some((text) => problem.test(text)), problems(page).join("\n"));
      const { page: cured } = await site.press(page, label);
      assert.match(cured, /role="status">Done: /);
      assert.ok(!problems(cured).some((text) => problem.test(text)), problems(cured).join("\n"));
    });
  }

  test("takes the .htaccess away and puts it back", { timeout }, async () => {
    const site = new Site();
    const { page } = await site.press(await site.look(), "Rename .htaccess to htaccess.txt");
    assert.ok(existsSync(site.file("htaccess.txt")) && !existsSync(site.file(".htaccess")));
    await site.press(page, "Rename htaccess.txt to .htaccess");
    assert.equal(readFileSync(site.file(".htaccess"), "utf8"), htaccess);
  });

  /** Ways in which an upload goes wrong, and how that is told. */
  const uploads: [what: string, change: (bytes: Buffer) => Buffer, problem: RegExp][] = [
    [
      "lost its carriage returns",
      (bytes) => Buffer.from(bytes.toString("latin1").replaceAll("\r\n", "\n"), "latin1"),
      /has lost \d+ bytes on its way: it was taken for text/,
    ],
    [
      "got carriage returns",
      (bytes) => Buffer.from(bytes.toString("latin1").replaceAll("\n", "\r\n"), "latin1"),
      /has got \d+ bytes on its way: it was taken for text/,
    ],
    [
      "got those that were missing",
      (bytes) => Buffer.from(bytes.toString("latin1").replaceAll(/(?<!\r)\n/g, "\r\n"), "latin1"),
      /has got \d+ bytes on its way: it was taken for text/,
    ],
    ["was cut off", (bytes) => bytes.subarray(0, bytes.length >> 1), /is not whole: \d+ of \d+ bytes are there/],
    ["is empty", () => Buffer.alloc(0), /is not whole: 0 of \d+ bytes/],
    ["is damaged", (bytes) => Buffer.concat([bytes.subarray(0, -1), Buffer.from("?")]), /has the right size, and is damaged/],
  ];
  for (const [what, change, problem] of whole ? uploads : uploads.slice(0, 4)) {
    test(`finds a file that ${what}`, { timeout }, async () => {
      const packed = Buffer.concat([gzipSync(elf(own)), Buffer.from("a\nb\r\nc\r\nd\n")]);
      const site = new Site({ program: elf(own), packed });
      for (const name of ["mysite.fcgi", "runfcgi.gz"]) writeFileSync(site.file(name), change(readFileSync(site.file(name))));
      const page = await site.look();
      const told = problems(page).filter((text) => problem.test(text)).map((text) => text.split(":")[0]).sort();
      assert.deepEqual(told, ["program file", "runfcgi.gz"], problems(page).join("\n"));
    });
  }

  test("knows another version that was uploaded from a damaged one, and what the script says of it", { timeout }, async () => {
    const script = `#!/bin/sh\nname=${UNPACKED_PROGRAM}\n`;
    const site = new Site({ program: script, packed: gzipSync(elf(own)) });
    const [gz, unpacked, mark] = [PACKED, UNPACKED_PROGRAM, REFUSED].map((name) => site.file(name));
    const program = Buffer.concat([elf(own), randomBytes(6_000_000), Buffer.from("\r\r\n")]);
    const packed = gzipSync(program, { level: 1 });
    const asText = (from: RegExp, to: string) => Buffer.from(packed.toString("latin1").replaceAll(from, to), "latin1");
    /** What is said of what was uploaded, and unpacked. */
    const look = async (bytes: Uint8Array, started = program) => {
      writeFileSync(gz, bytes);
      writeFileSync(unpacked, started, { mode: 0o755 });
      for (const file of [gz, unpacked]) utimesSync(file, 1_700_000_000, 1_700_000_000);
      return told(await site.look());
    };
    const told = (page: string) =>
      findings(page).map(({ state, text, fix }) => ({ text: `${state} ${text}`, fix }))
        .filter(({ text }) => /runfcgi\.gz|unpacked/.test(text));
    assert.deepEqual((await look(packed)).map(({ text }) => text), [
      `ok runfcgi.gz: "${gz}" is whole, ${packed.length} bytes, and another one than init wrote`,
    ]);
    const broken: [bytes: Uint8Array, said: RegExp][] = [
      [asText(/\n/g, "\r\n"), /^problem runfcgi\.gz: ".*" was taken for text on its way/],
      [asText(/\r\n/g, "\n"), /^problem runfcgi\.gz: ".*" was taken for text on its way/],
      [packed.subarray(0, -100), /^problem runfcgi\.gz: ".*" is damaged: it has \d+ bytes, and that of init has \d+$/],
    ];
    for (const [bytes, said] of whole ? broken : broken.slice(0, 2)) assert.match((await look(bytes))[0].text, said);
    // Cut off where the site was copied.
    const [cut] = await look(packed, program.subarray(0, 5000));
    assert.match(
      cut.text,
      /^problem program file: ".*\.htrunfcgi-program", which the program has unpacked, is not whole any more$/,
    );
    await look(packed);
    utimesSync(gz, 1_710_000_000, 1_710_000_000);
    const later = told(await site.look())[0];
    assert.match(later.text, /^note runfcgi\.gz: ".*" is not unpacked yet, and the program before goes on$/);
    writeFileSync(mark, "what is in it cannot be started\n");
    utimesSync(mark, 1_710_000_000, 1_710_000_000);
    const refused = told(await site.look())[0];
    assert.match(refused.text, /^problem runfcgi\.gz: ".*" was tried, and is not used$/);
    assert.equal(refused.fix, "what is in it cannot be started");
  });

  test("looks where the script unpacks what it cannot put beside itself", { timeout }, async () => {
    const script = `#!/bin/sh\nname=${UNPACKED_PROGRAM}\n`;
    const packed = gzipSync(elf(own));
    const site = new Site({ program: script, packed });
    const user = `/tmp/runfcgi-${process.geteuid!()}`;
    const place = join(user, site.path);
    const told = async () =>
      findings(await site.look()).map(({ state, text }) => `${state} ${text}`).filter((text) =>
        /runfcgi\.gz|unpacked/.test(text)
      );
    mkdirSync(user, { recursive: true, mode: 0o700 });
    mkdirSync(place, { recursive: true });
    try {
      const [program, mark] = [UNPACKED_PROGRAM, REFUSED].map((name) => join(place, name));
      writeFileSync(program, elf(own), { mode: 0o755 });
      const put = (time: number, ...files: string[]) => files.forEach((file) => utimesSync(file, time, time));
      put(1_700_000_000, site.file(PACKED), program);
      assert.match((await told()).join("\n"), /^ok runfcgi\.gz: ".*" is as init wrote it, \d+ bytes$/);
      put(1_710_000_000, site.file(PACKED));
      assert.match((await told()).join("\n"), /^note runfcgi\.gz: ".*" is not unpacked yet/);
      writeFileSync(mark, "no luck\n");
      put(1_710_000_000, mark);
      assert.match((await told()).join("\n"), /^problem runfcgi\.gz: ".*" was tried, and is not used$/);
      writeFileSync(program, "cut", { mode: 0o755 });
      put(1_710_000_000, program);
      assert.match(
        (await told()).join("\n"),
        /problem program file: "\/tmp\/runfcgi-\d+\/.*", which the program has unpacked, is not whole/,
      );
      rmSync(site.file(PACKED));
      assert.match((await told()).join("\n"), /^note runfcgi\.gz: ".*" is not there, but unpacked already$/);
    } finally {
      rmSync(join(user, folder.path), { recursive: true });
    }
  });

  test("finds a script with the line ends of Windows", { timeout }, async () => {
    const site = new Site();
    writeFileSync(site.file("mysite.fcgi"), `${ends.replaceAll("\n", "\r\n")}more\r\n`);
    assert.ok(problems(await site.look()).some((text) => /the first line of ".*" ends as on Windows/.test(text)));
  });

  test("finds a program for another machine, packed or not", { timeout }, async () => {
    const machine = own === 62 ? "arm64" : "x64";
    const alone = problems(await new Site({ program: elf(other) }).look());
    assert.ok(alone.some((text) => text.endsWith(`is for ${machine}, and this machine is ${process.arch}`)), alone.join("\n"));
    const packed = problems(await new Site({ packed: gzipSync(elf(other)) }).look());
    assert.ok(packed.some((text) => text.startsWith("runfcgi.gz: ") && text.includes(`is for ${machine}`)), packed.join("\n"));
  });

  test("reads a .htaccess as Apache does", { timeout }, async () => {
    const site = new Site();
    const look = async (text: string) => {
      writeFileSync(site.file(".htaccess"), text);
      return await site.look();
    };
    assert.ok(problems(await look(`\ufeff${htaccess}`)).some((text) => text.includes("byte order mark")));
    const windows = await look(htaccess.replaceAll("\n", "\r\n"));
    assert.ok(!problems(windows).some((text) => text.includes("htaccess")), problems(windows).join("\n"));
    assert.ok(problems(await look(htaccess.replaceAll("\n", "\r"))).some((text) => text.includes("CR alone")));
    const changed = await look(htaccess.replace("CGIPassAuth On", "AddHandler application/x-httpd-ea-php82 .php <script>"));
    const [missing] = findings(changed).filter(({ text }) => /1 of the lines that init wrote are not in/.test(text));
    assert.equal(missing.fix, "They are:\nCGIPassAuth On");
    assert.match(
      changed,
      /of somebody else; needs nothing: it is how the host runs PHP<\/th><td>AddHandler \S+ \.php &lt;script&gt;/,
    );
    rmSync(site.file(".htaccess"));
    assert.ok(problems(await site.look()).some((text) => /"\S*\.htaccess" is not there/.test(text)));
  });

  test("says what the doctor of the program says", { timeout }, async () => {
    const site = new Site({ program: elf(other) });
    chmodSync(site.file("mysite.fcgi"), 0o775);
    writeFileSync(site.file(".htaccess"), `\ufeff${htaccess}`);
    const ours = [
      ...checkProgramFile(site.file("mysite.fcgi"), []),
      ...checkHtaccess({ path: site.file(".htaccess"), text: `\ufeff${htaccess}` }),
    ].filter(({ state }) => state === "problem");
    const theirs = findings(await site.look());
    let same = 0;
    for (const { text, fix } of ours) {
      const found = theirs.find((one) => one.text.endsWith(`: ${text}`));
      // Only the program knows that the file, as a whole, is not one.
      if (found === undefined) continue;
      assert.equal(found.fix, fix);
      same++;
    }
    assert.equal(same, 3, JSON.stringify({ ours, theirs }, null, 1));
  });

  test("shows logs as text", { timeout }, async () => {
    const site = new Site();
    writeFileSync(site.file(".htmysite.log"), "[a] <script>alert(1)</script> \x1b[31m \u202e\n");
    writeFileSync(site.file("error_log"), `${"x".repeat(50_000)}</pre><img src=x onerror=alert(1)>`);
    const page = await site.look();
    for (const text of ["<script", "<img", "\x1b", "\u202e"]) assert.ok(!page.includes(text), text);
    assert.match(page, /\[a\] &lt;script&gt;alert\(1\)&lt;\/script&gt; \\x1b\[31m \\xe2\\x80\\xae/);
    assert.ok(page.length < 120_000);
  });

  test("believes no name of the host that is none", { timeout }, async () => {
    const page = await new Site().look({ HTTP_HOST: "a b\r\n<script>" });
    assert.match(page, /not checked<\/b> web server: because the host is not known/);
  });
});
