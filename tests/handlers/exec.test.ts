import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { Readable } from "node:stream";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ExecProgram } from "../../src/handlers/exec.ts";
import { ExecProcess, type ExecState } from "../../src/handlers/exec_process.ts";
import { bytes, pattern } from "../support/bytes.ts";
import { folder, type Site, type SiteOptions, startSite, turns } from "../support/peer.ts";
import { isRunning, until } from "../support/program.ts";
import { closePayload, WebSocketPeer } from "../support/websocket.ts";

const MIB = 1024 * 1024;
/** Room for the buffers of two connections on both of their sides. */
const ROOM = 16 * MIB;
const runtime = process.versions.deno ? `"${process.execPath}" run -A --quiet --no-check` : `"${process.execPath}"`;
const program = `${runtime} ${fileURLToPath(new URL("../support/http_program.ts", import.meta.url))}`;

/** Milliseconds that a program may take to start where the machine is busy, below those that a peer waits for its response. */
const PATIENCE_MS = 40_000;

/** A site that a program answers. */
class ProgramSite implements AsyncDisposable {
  readonly site: Site;
  readonly program: ExecProgram;
  readonly logged: string[];

  constructor(site: Site, program: ExecProgram, logged: string[]) {
    this.site = site;
    this.program = program;
    this.logged = logged;
  }

  async json(path: string, params?: Record<string, string>, body?: string) {
    const length: Record<string, string> = body === undefined
      ? {}
      : { REQUEST_METHOD: "POST", CONTENT_LENGTH: String(body.length) };
    const { head, text } = await this.ask(path, { ...length, ...params }, body);
    assert.equal(head.status, 200, text + this.log);
    return JSON.parse(text);
  }

  ask(path: string, params?: Record<string, string>, body?: string) {
    return this.site.ask(path, params, body === undefined ? undefined : Readable.from([bytes(body)]));
  }

  get log(): string {
    return this.logged.join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.site[Symbol.asyncDispose]();
    await this.program.stop(0);
  }
}

async function startProgram(command = `${program} {socket}`, timeout?: number, options?: SiteOptions): Promise<ProgramSite> {
  const logged: string[] = [];
  const log = { write: (text: string) => logged.push(text), place: "in the log of a test" };
  const program = new ExecProgram(command, log, timeout, undefined, PATIENCE_MS);
  program.start();
  return new ProgramSite(await startSite(program.handler, options), program, logged);
}

/** A number that grew, once it grows no more. */
async function settled(number: () => number | Promise<number>): Promise<number> {
  let [last, equal] = [0, 0];
  await until("a number grows no more", async () => {
    const now = await number();
    equal = now > 0 && now === last ? equal + 1 : 0;
    last = now;
    return equal === 5;
  });
  return last;
}

function values(headers: readonly string[], name: string): string[] {
  return headers.filter((_, i) => i % 2 === 1 && headers[i - 1].toLowerCase() === name);
}

describe("a program is asked", () => {
  test("for the URL that the web server went to", async () => {
    await using site = await startProgram();
    assert.equal((await site.json("/private/a", { DOCUMENT_URI: "/echo", QUERY_STRING: "x=%2F" })).url, "/echo?x=%2F");
  });

  test("for the URL, where the visitor typed dots", async () => {
    await using site = await startProgram();
    for (
      const [sent, target] of [
        ["/private/../echo?x=%2F/../'", "/echo?x=%2F/../'"],
        ["/private/%2e%2E/echo", "/echo"],
        ["/./echo?x=/../", "/echo?x=/../"],
        ["/private\\../../echo?\\", "/echo?\\"],
      ]
    ) assert.equal((await site.json(sent)).url, target);
  });

  test("with what the visitor sent, and what the web server knows of the visitor", async () => {
    await using site = await startProgram();
    const { method, url, headers } = await site.json("/a%20b/echo?x=%2F", {
      HTTP_HOST: "example.com:8443",
      HTTPS: "on",
      REMOTE_ADDR: "192.0.2.7",
      HTTP_COOKIE: "a=1",
      HTTP_ACCEPT: "*/*",
      HTTP_CONNECTION: "x-a",
      HTTP_EXPECT: "100-continue",
      HTTP_X_FORWARDED_FOR: "203.0.113.1",
      HTTP_X_FORWARDED_PROTO: "ftp",
      HTTP_X_FORWARDED_HOST: "evil",
      HTTP_X_FORWARDED_PORT: "1",
      HTTP_X_FORWARDED_PREFIX: "/evil",
      HTTP_X_FORWARDED_SSL: "on",
      HTTP_FORWARDED: "for=evil",
      HTTP_X_REAL_IP: "203.0.113.1",
      HTTP_X_SCRIPT_NAME: "/evil",
    });
    assert.deepEqual({ method, url }, { method: "GET", url: "/a%20b/echo?x=%2F" });
    assert.deepEqual({ ...headers, connection: "" }, {
      host: "example.com:8443",
      cookie: "a=1",
      accept: "*/*",
      connection: "",
      "x-forwarded-for": "192.0.2.7",
      "x-forwarded-proto": "https",
      "x-forwarded-host": "example.com:8443",
      "x-forwarded-port": "8443",
    });
  });

  test("with where it is mounted", async () => {
    await using site = await startProgram();
    const { headers } = await site.json("/my%20app/echo", { SCRIPT_NAME: "/my app", PATH_INFO: "/echo" });
    for (const target of ["/echo", "/echo?a", "/echo/echo"]) {
      const pathInfo = target.replace(/^\/echo|\?.*/g, "");
      const { url, headers } = await site.json(target, { SCRIPT_NAME: "/echo", PATH_INFO: pathInfo });
      assert.deepEqual([url, headers.script_name], [target, "/echo"]);
    }
    assert.equal(headers["x-script-name"], "/my%20app");
    assert.equal(headers["x-forwarded-prefix"], "/my%20app");
    assert.equal(headers.script_name, "/my%20app");
    assert.equal(headers["x-forwarded-port"], "80");
  });

  test("with a mount that the web server has cut off", async () => {
    await using site = await startProgram(undefined, undefined, { scriptName: "/my app" });
    const { url, headers } = await site.json("/echo?a");
    assert.deepEqual([url, headers.script_name, headers["x-script-name"]], ["/my%20app/echo?a", "/my%20app", "/my%20app"]);
  });

  test("with a body of known length, and with one in chunks", async () => {
    await using site = await startProgram();
    for (const method of ["POST", "PUT", "DELETE", "GET"]) {
      const known = await site.json("/echo", { REQUEST_METHOD: method }, "a body");
      assert.deepEqual([known.method, known.body, known.headers["content-length"]], [method, "a body", "6"]);
      if (method === "GET") continue;
      const chunks = await site.json("/echo", { REQUEST_METHOD: method, CONTENT_LENGTH: "" }, "a body");
      assert.deepEqual([chunks.method, chunks.body, chunks.headers["transfer-encoding"]], [method, "a body", "chunked"]);
    }
  });

  test("on a port, which is in its command or in the variable PORT", async () => {
    for (const command of [`${program} {port}`, program]) {
      await using site = await startProgram(command);
      assert.equal((await site.json("/echo")).url, "/echo");
    }
  });

  test("with the soft limit of descriptors that systems start with, and not the one that runtimes raise", async () => {
    await using site = await startProgram(`sh -c 'echo "limit $(ulimit -S -n)"; exec ${program} {socket}'`);
    await site.ask("/");
    const [, limit] = /limit (\w+)/.exec(site.log) ?? [];
    assert.ok(Number(limit) <= 1024, limit);
  });

  test("where and as what this process runs", async () => {
    await using site = await startProgram(program);
    const { PATH, PORT, CWD } = await site.json("/environment");
    assert.equal(PATH, process.env.PATH);
    assert.match(PORT, /^\d+$/);
    assert.equal(CWD, process.cwd());
  });

  test("in a folder and with variables that the command names", async () => {
    await using site = await startProgram(`cd / && GREETING="hello you" ${program} {port}`);
    const { CWD, GREETING, HOST, NITRO_PORT, PORT } = await site.json("/environment");
    assert.deepEqual([CWD, GREETING, HOST, NITRO_PORT], ["/", "hello you", "127.0.0.1", PORT]);
  });

  test("and one that listens on all addresses is named in the log", { skip: !existsSync("/proc/net/tcp") }, async () => {
    await using site = await startProgram(program);
    await site.json("/environment");
    await until("it is named", () => /http_program\.ts" listens on (?:0\.0\.0\.0|\[::\]), so clients/.test(site.log));
  });

  test("and answers with its status, its headers and its cookies", async () => {
    await using site = await startProgram();
    const { head, text } = await site.ask("/cookies");
    assert.deepEqual([head.status, head.reason, text], [201, "Baked", "baked"]);
    assert.deepEqual(values(head.headers, "set-cookie"), ["a=1", "b=2"]);
    for (const name of ["connection", "keep-alive", "transfer-encoding"]) assert.deepEqual(values(head.headers, name), []);
    assert.equal((await site.ask("/empty")).head.status, 204);
    assert.equal((await site.ask("/cached")).head.status, 304);
    assert.equal((await site.ask("/nothing")).head.status, 404);
    const sized = await site.ask("/sized", { REQUEST_METHOD: "HEAD" });
    assert.deepEqual([values(sized.head.headers, "content-length"), sized.text], [["5"], ""]);
  });
});

describe("between a program and the web server", () => {
  test("a body that is not read makes the web server wait, and then all arrives", async () => {
    await using site = await startProgram();
    await site.ask("/nothing");
    const piece = pattern(64 * 1024);
    const pieces = 24 * MIB / piece.length;
    const expected = createHash("sha256");
    for (let i = 0; i < pieces; i++) expected.update(piece);
    const peer = await site.site.connect();
    peer.begin("/hash", { params: { REQUEST_METHOD: "POST" } });
    const taken = await peer.bodyUntilFull(piece, pieces);
    assert.ok(taken * piece.length < ROOM, `${taken} pieces were taken`);
    for (let i = taken + 1; i < pieces; i++) peer.body(piece);
    peer.bodyEnd();
    await site.ask("/take");
    assert.equal((await peer.answer()).text, expected.digest("hex"));
  });

  test("a response that is not taken makes the program wait, and then all arrives", async () => {
    await using site = await startProgram();
    await site.ask("/nothing");
    const peer = await site.site.connect({ forget: true });
    peer.pause();
    const response = peer.get("/download", { params: { HTTP_X_PIECES: "400" } });
    const written = await settled(async () => Number((await site.ask("/written")).text) * 64 * 1024);
    assert.ok(written < ROOM, `${written} bytes were written`);
    peer.resume();
    await peer.answer();
    assert.equal(response.length, 400 * 64 * 1024);
  });

  test("pieces go both ways as they come", async () => {
    await using site = await startProgram(undefined, undefined, { duplex: true });
    await site.ask("/nothing");
    const peer = await site.site.connect();
    const response = peer.begin("/pipe", { params: { REQUEST_METHOD: "POST" } });
    for (const text of ["first", "second"]) {
      peer.body(text);
      await peer.until(`the ${text} piece is back`, () => response.text.endsWith(text));
    }
    peer.bodyEnd();
    assert.equal((await peer.answer()).text, "firstsecond");
  });

  test("a response that starts before the body has ended may take longer than one may take to start", async () => {
    await using site = await startProgram(undefined, 0.1, { duplex: true });
    await site.ask("/nothing");
    const peer = await site.site.connect();
    const response = peer.begin("/lingering", { params: { REQUEST_METHOD: "POST" } });
    peer.body("first ");
    await peer.until("it has started", () => response.text === "first ");
    peer.bodyEnd();
    assert.equal((await peer.answer()).text, "first last");
  });

  test("a response that ends with its request says why", async () => {
    await using site = await startProgram(undefined, undefined, { duplex: true });
    await site.ask("/nothing");
    const peer = await site.site.connect();
    const response = peer.begin("/pipe", { params: { REQUEST_METHOD: "POST", CONTENT_LENGTH: "10" } });
    peer.body("first");
    await peer.until("it has started", () => response.text === "first");
    peer.bodyEnd();
    await peer.gone();
    assert.match(site.site.errors.map(String).join(), /content-length of 10 and had 5 bytes/i);
  });

  test("an answer before the body was read arrives", async () => {
    await using site = await startProgram();
    await site.ask("/nothing");
    const peer = await site.site.connect();
    peer.begin("/early", { params: { REQUEST_METHOD: "POST" } });
    await peer.until("it is answered", () => peer.response().end);
    assert.deepEqual([peer.response().head?.status, peer.response().text], [413, "too much"]);
    for (let i = 0; i < 16; i++) peer.body(pattern(64 * 1024));
    peer.bodyEnd();
    await peer.gone();
  });

  for (const place of ["{socket}", "{port}"]) {
    test(`an answer arrives from a program on ${place} that closes without reading the body`, async () => {
      await using site = await startProgram(`${program} ${place}`);
      await site.ask("/nothing");
      for (let i = 0; i < 20; i++) {
        const body = Readable.from(Array.from({ length: 16 }, () => pattern(64 * 1024)));
        const { head, text } = await site.site.ask("/early", { REQUEST_METHOD: "POST", CONTENT_LENGTH: String(MIB) }, body);
        assert.deepEqual([head.status, text], [413, "too much"], site.log);
      }
    });
  }

  for (const path of ["/endless", "/silent"]) {
    test(`a visitor who leaves ${path} leaves the program, too`, async () => {
      await using site = await startProgram();
      await site.ask("/nothing");
      const peer = await site.site.connect();
      const response = peer.get(path);
      if (path === "/endless") await peer.until("it begins", () => response.text === "first");
      else await turns(10);
      peer.destroy();
      await until("the program has heard of it", async () => (await site.ask("/left")).text === "1");
      assert.equal((await site.ask("/asked")).text, "1");
      assert.deepEqual(site.site.errors, []);
    });
  }

  test("a response that breaks off is cut", async () => {
    await using site = await startProgram();
    await site.ask("/nothing");
    const peer = await site.site.connect();
    const response = peer.get("/broken");
    await peer.gone();
    assert.deepEqual([response.text, response.end], ["first", undefined]);
    assert.equal(site.site.errors.length, 1);
  });
});

describe("a program that does not answer", () => {
  test("is a 502, and the reason is logged", async () => {
    await using site = await startProgram();
    await site.ask("/nothing");
    const { head, text } = await site.ask("/hangup", { REQUEST_METHOD: "POST" });
    assert.equal(head.status, 502);
    assert.match(text, /did not answer/);
    assert.match(site.log, /POST http:\/\/localhost\/hangup: the program gave no response/);
  });

  test("in time is a 504, and hears that nobody waits any more", async () => {
    await using site = await startProgram(undefined, 0.1);
    await site.ask("/nothing");
    const { head, text } = await site.ask("/silent");
    assert.equal(head.status, 504);
    assert.match(text, /too long/);
    assert.match(site.log, /silent: the program gave no response: There was no response for 0\.1 s/);
    await until("the program has heard of it", async () => (await site.ask("/left")).text === "1");
  });

  test("on a connection that it had kept is asked on another", async () => {
    await using site = await startProgram();
    assert.equal((await site.ask("/once")).text, "1");
    // The second reaches a connection that is closed under it.
    assert.equal((await site.ask("/once")).text, "3");
    for (const expected of ["4", "5"]) assert.equal((await site.ask("/once", { REQUEST_METHOD: "POST" })).text, expected);
  });
});

describe("a program that ends", () => {
  test("is started again, and requests wait for it", async () => {
    await using site = await startProgram();
    const { pid } = await site.json("/echo");
    process.kill(pid, "SIGKILL");
    await until("its end is noticed", () => /ended by SIGKILL/.test(site.log));
    const again = await site.json("/echo", { REQUEST_METHOD: "POST" }, "a body");
    assert.notEqual(again.pid, pid);
    assert.equal(again.body, "a body");
    assert.match(site.log, /http_program\.ts \{socket\}" ended by SIGKILL\. It is started again in 0\.25 s/);
  });

  test("in the middle of a response cuts it, and in the middle of an upload is a 502, which the log explains", async () => {
    await using site = await startProgram();
    const { pid } = await site.json("/echo");
    const [reader, sender] = await Promise.all([site.site.connect(), site.site.connect()]);
    const response = reader.get("/endless");
    sender.begin("/hash", { params: { REQUEST_METHOD: "POST", CONTENT_LENGTH: String(2 * MIB) } });
    sender.body(pattern(64 * 1024));
    await reader.until("the response begins", () => response.text === "first");
    await until("the upload has begun", async () => (await site.ask("/hashing")).text === "1");
    process.kill(pid, "SIGKILL");
    await sender.until("it is answered", () => sender.response().end);
    assert.equal(sender.response().head?.status, 502);
    await reader.gone();
    assert.equal(response.end, undefined);
    assert.match(site.log, /POST http:\/\/localhost\/hash: the program gave no response/);
    await until("its end is logged", () => /ended by SIGKILL/.test(site.log));
    assert.notEqual((await site.json("/echo")).pid, pid);
  });

  test("has its output logged, however much there is, and answers meanwhile", async () => {
    const lines = 20_000;
    // Node makes its output non-blocking, also for others that write to the same pipe, and they would lose lines.
    const rest = `exec ${program} "$0" > /dev/null 2>&1`;
    await using site = await startProgram(`sh -c 'yes "a line of a flood" | head -n ${lines} >&2 & ${rest}' {socket}`);
    const logged = () => site.log.split("a line of a flood").length - 1;
    assert.equal((await site.ask("/sized")).text, "12345");
    await until("all is logged", () => logged() === lines);
    assert.equal((await site.ask("/sized")).text, "12345");
  });

  test("takes the processes that it has started with it", async () => {
    await using site = await startProgram();
    const started = [Number((await site.ask("/child")).text), Number((await site.ask("/stray")).text)];
    assert.ok(started.every(isRunning));
    await site.ask("/exit");
    await until("they are gone", () => !started.some(isRunning));
    await until("its end is logged", () => /ended with exit status 3/.test(site.log));
    assert.match(site.log, /its last words/);
  });

  test("before it answers is a 503, is started again and again, and is served once it works", async () => {
    using place = folder();
    const broken = place.join("broken");
    writeFileSync(broken, "");
    const command = `sh -c '[ -e "${broken}" ] && echo "no such module" >&2 && exit 7; exec ${program} "$0"' {socket}`;
    await using site = await startProgram(command);
    const { head, text, stderr } = await site.ask("/echo");
    assert.equal(head.status, 503);
    assert.match(text, /The site cannot be started\. The reason is in the log of a test\./);
    assert.deepEqual(values(head.headers, "retry-after"), ["5"]);
    assert.match(stderr, /ended with exit status 7 before it answered\. It wrote:\nno such module/);
    await until("it was started twice", () => /started again in 0\.5 s/.test(site.log));
    assert.match(site.log, /no such module/);
    place[Symbol.dispose]();
    await until("it answers", async () => (await site.ask("/echo")).head.status === 200);
  });

  test("or never listens where it should is a 503, and the log says where that is", async () => {
    const logged: string[] = [];
    const write = (text: string) => void logged.push(text);
    const running = new ExecProcess("exec sleep 1000", write, 100);
    const slow = new ExecProgram("", { write, place: "" }, undefined, running, 50);
    try {
      assert.equal(await slow.load(), undefined);
      await using site = await startSite(slow.handler);
      const { head, text } = await site.ask("/");
      assert.deepEqual([head.status, values(head.headers, "retry-after")], [503, ["5"]]);
      assert.match(text, /still starting/);
      await until("it is logged", () => /accepts no connections on 127\.0\.0\.1:\d+\. .*\{port\} .*PORT/.test(logged.join("")));
    } finally {
      await slow.stop(0);
    }
  });

  test("yet is waited for where others serve meanwhile", async () => {
    const { promise: settled, resolve } = Promise.withResolvers<void>();
    const runner = { state: "starting" as ExecState, settled, address: undefined, failure: "", start() {}, stop: async () => {} };
    const program = new ExecProgram("", { write() {}, place: "" }, undefined, runner, 1);
    const loaded = program.load(true);
    assert.equal(await Promise.race([loaded, turns(20).then(() => "waits")]), "waits");
    runner.state = "answering";
    resolve();
    assert.equal(await loaded, undefined);
  });

  test("to go on in the background is stopped there, and the log says what to do", async () => {
    using place = folder();
    const note = place.join("pid");
    const daemon =
      `sh -c 'setsid sh -c "echo \\$\\$ >> \\"${note}\\"; exec sleep 1000" "$0" & until [ -s "${note}" ]; do sleep 0.1; done' {socket}`;
    await using site = await startProgram(daemon);
    assert.equal((await site.ask("/echo")).head.status, 503);
    await until("it is logged", () => /exit status 0 and went on in the background, .* --daemon before it/.test(site.log));
    await site.program.stop(0);
    const pids = readFileSync(note, "utf8").trim().split("\n").map(Number);
    assert.ok(pids.length > 0);
    await until("none is left", () => !pids.some(isRunning));
  });

  test("for want of a terminal is a 503, and the log has what it says", async () => {
    await using site = await startProgram(`sh -c 'test -t 0 || { echo "the input device is not a TTY" >&2; exit 1; }' {socket}`);
    const { head, stderr } = await site.ask("/echo");
    assert.equal(head.status, 503);
    assert.match(stderr, /exit status 1 before it answered\. It wrote:\nthe input device is not a TTY/);
  });

  test("says what the shell says", async () => {
    await using site = await startProgram("/nonexistent/program {socket}");
    assert.equal((await site.ask("/")).head.status, 503);
    assert.match(site.log, /ended with exit status 127 before it answered/);
    assert.match(site.log, /not found/);
  });
});

describe("a program is stopped", () => {
  test("by TERM, with its processes and its socket", async () => {
    const site = await startProgram();
    const { pid } = await site.json("/echo");
    const child = Number((await site.ask("/child")).text);
    const socket = await until("it listens", () => site.program.address);
    assert.ok(socket.transport === "unix" && existsSync(socket.path));
    await site.site[Symbol.asyncDispose]();
    await site.program.stop(10);
    assert.equal(isRunning(pid), false);
    await until("its child is gone", () => !isRunning(child));
    assert.equal(existsSync(dirname(socket.path)), false);
  });

  test("by KILL when it does not listen", async () => {
    const site = await startProgram(`${program} {socket} stubborn`);
    const { pid } = await site.json("/echo");
    await site.site[Symbol.asyncDispose]();
    const stopping = site.program.stop(0.2);
    await until("it was asked", () => /^no$/m.test(site.log));
    await stopping;
    await until("it is gone", () => !isRunning(pid));
  });

  test("while it waits to be started again", async () => {
    const site = await startProgram("false");
    await site.ask("/");
    await site.site[Symbol.asyncDispose]();
    await site.program.stop(10);
  });
});

test("a command with both {socket} and {port} is refused", () => {
  const log = { write() {}, place: "" };
  assert.throws(() => new ExecProgram("a {socket} {port}", log), /has both \{socket\} and \{port\}/);
});

describe("a WebSocket", () => {
  const open = async (site: ProgramSite, path = "/chat?x=1") => {
    const peer = new WebSocketPeer(site.site.address);
    peer.ask(path, { origin: "http://example.com" });
    await until("it is answered", () => peer.head !== "");
    return peer;
  };

  test("passes both ways, and so does its end", async () => {
    await using site = await startProgram(undefined, undefined, { protocol: "http" });
    const peer = await open(site);
    assert.match(peer.head, /^HTTP\/1\.1 101 [^]*Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i);
    const { url, headers } = JSON.parse((await peer.frame(1)).payload.toString());
    assert.equal(url, "/chat?x=1");
    assert.deepEqual([headers.upgrade, headers.origin, headers.host, headers["x-forwarded-host"]], [
      "websocket",
      "http://example.com",
      "example.com",
      "example.com",
    ]);
    peer.send({ opcode: 1, payload: "to and fro" });
    assert.equal((await peer.frame(2)).payload.toString(), "to and fro");
    const large = pattern(3 * MIB);
    peer.send({ opcode: 2, payload: large });
    assert.ok((await peer.frame(3)).payload.equals(large));
    peer.send({ opcode: 8, payload: closePayload(3000) });
    assert.equal((await peer.closeFrame()).code, 3000);
    await until("the connection ends", () => peer.ended);
    peer.socket.end();
    await until("it is closed", () => peer.closed);
  });

  test("of a visitor who reads nothing makes him and the program wait, and then all arrives", async () => {
    await using site = await startProgram(undefined, undefined, { protocol: "http" });
    const peer = await open(site);
    await peer.frame(1);
    peer.socket.pause();
    const [count, sent] = [256, pattern(256 * 1024)];
    for (let i = 0; i < count; i++) peer.send({ opcode: 2, payload: sent });
    // What is left with the visitor, once nothing moves any more.
    assert.ok(await settled(() => peer.socket.writableLength) > count * sent.length - 3 * ROOM);
    peer.socket.resume();
    await until("all are back", () => peer.frames.length === count + 1);
    assert.ok(peer.frames.slice(1).every(({ payload }) => payload.equals(sent)));
    peer.socket.destroy();
  });

  test("that the program refuses is a response like any other", async () => {
    await using site = await startProgram(undefined, undefined, { protocol: "http" });
    const peer = await open(site, "/refused");
    assert.match(peer.head, /^HTTP\/1\.1 403 /);
    await until("the page is there", () => peer.body === "not here");
    peer.socket.destroy();
  });

  test("is closed with 1001 by a stop", async () => {
    await using site = await startProgram(undefined, undefined, { protocol: "http" });
    const peer = await open(site);
    await peer.frame(1);
    const stopped = site.site.server.shutdown(30);
    assert.deepEqual(await peer.closeFrame(), { code: 1001, reason: "" });
    peer.socket.end();
    await stopped;
  });

  test("ends when its visitor leaves, or the program", async () => {
    await using site = await startProgram(undefined, undefined, { protocol: "http" });
    (await open(site)).socket.destroy();
    const peer = await open(site);
    await peer.frame(1);
    await site.program.stop(0);
    await until("the connection ends", () => peer.ended || peer.closed);
    peer.socket.destroy();
  });

  test("that has a body gets a 400, and the program hears nothing of it", async () => {
    await using site = await startProgram(undefined, undefined, { protocol: "http" });
    const upgrade = { HTTP_UPGRADE: "websocket", HTTP_CONNECTION: "Upgrade", REQUEST_METHOD: "GET" };
    const lengths: Record<string, string>[] = [{ CONTENT_LENGTH: "5" }, {
      CONTENT_LENGTH: "",
      HTTP_TRANSFER_ENCODING: "chunked",
    }];
    for (const length of lengths) {
      const { head, text } = await site.ask("/chat", { ...upgrade, ...length }, "hello");
      assert.deepEqual([head.status, /it has a body/.test(text)], [400, true], text);
    }
  });

  for (const protocol of ["fcgi", "scgi", "ajp", "uwsgi"] as const) {
    test(`over ${protocol} gets a 426 that says why`, async () => {
      await using site = await startProgram(undefined, undefined, { protocol });
      // Without Upgrade, as Apache passes it on.
      for (const upgrade of [{ HTTP_UPGRADE: "websocket", HTTP_CONNECTION: "Upgrade" }, { HTTP_SEC_WEBSOCKET_KEY: "a key" }]) {
        const { head, text, stderr } = await site.ask("/chat", upgrade as unknown as Record<string, string>);
        assert.equal(head.status, 426);
        assert.match(text, /cannot pass over .*, only over HTTP: .*protocol=http websocket=true/);
        if (protocol === "fcgi") assert.match(stderr, /cannot pass over FastCGI/);
      }
    });
  }
});
