import assert from "node:assert/strict";
import { once } from "node:events";
import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { createServer } from "node:net";
import { join, relative } from "node:path";
import { describe, test } from "node:test";
import { answerFailure, connectFailure, reasonText } from "../../src/doctor/ask.ts";
import { paramsOf, run as get, timesText } from "../../src/cli/commands/get.ts";
import type { ServeInfo } from "../../src/server/handler.ts";
import { type ListeningProtocol, protocols } from "../../src/protocol/protocols.ts";
import { bytes, hex } from "../support/bytes.ts";
import { startSite } from "../support/peer.ts";
import { program, start } from "../support/program.ts";
import { run, workplace } from "../support/words.ts";
import { parseArguments, UsageError } from "../../src/options/arguments.ts";

const { site: makeSite, path: place } = workplace();
const all = Object.keys(protocols) as ListeningProtocol[];

/** Tells what arrived. */
async function echo(request: Request, info: ServeInfo): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/error") {
    info.stderr("it went wrong");
    return new Response("bad", { status: 500 });
  }
  if (pathname === "/never") return await new Promise(() => {});
  const { method, url, headers } = request;
  const told = { method, url, type: headers.get("content-type"), agent: headers.get("user-agent"), body: await request.text() };
  return Response.json({ ...told, user: info.params.REMOTE_USER ?? "", path: info.params.PATH ?? "" });
}

/** The endpoint of a site as words. */
function words(address: { transport: string; path?: string; port?: number }): string {
  return address.transport === "unix" ? `socket=${address.path}` : `port=${address.port}`;
}

describe("get", () => {
  for (const protocol of all) {
    test(`sends over ${protocol} what it is told, and nothing of the environment`, async () => {
      await using site = await startSite(echo, { protocol });
      const form = ["-d", "name=value", "-H", "Content-Type: text/x", "-H", "User-Agent: me"];
      const { code, stdout, stderr } = await run(
        ["get", `protocol=${protocol}`, words(site.server.address), ...form, "-iv", "https://example.org:8443/a?b=c"],
        { env: { REMOTE_USER: "somebody" } },
      );
      assert.equal(code, 0, stderr);
      const told = { method: "POST", url: "https://example.org:8443/a?b=c", type: "text/x", agent: "me", body: "name=value" };
      assert.deepEqual(JSON.parse(stdout), { ...told, user: "", path: "" });
      assert.match(stderr, /^200 OK\ncontent-type: application\/json/m);
      assert.match(stderr, /^ +\d+\.\d ms \* connected to .*\n +\d+\.\d ms > /m);
      const seen = {
        fcgi:
          /BEGIN_REQUEST: responder.*closed afterwards[^]*PARAMS[^]*STDIN: 10 bytes[^]*STDOUT[^]*END_REQUEST: application status 0/,
        scgi: /netstring: \d+ bytes, \d+ headers\n +CONTENT_LENGTH=10[^]*body: 10 bytes[^]*Status: 200 OK/,
        ajp: /Forward Request[^]*body packet: 10 bytes[^]*Send Headers: 200 OK[^]*Send Body Chunk[^]*End Response/,
        uwsgi: /header: modifier1 0, \d+ bytes of variables[^]*body: 10 bytes[^]*< HTTP\/1.1 200 OK/,
        http: /> POST \/a\?b=c HTTP\/1.1\n[^]*body: 10 bytes[^]*< HTTP\/1.1 200 OK/,
      }[protocol];
      assert.match(stderr, seen);
    });
  }

  test("sets variables, and exits with 22 for an answer from 400 on, whose error log it shows", async () => {
    await using site = await startSite(echo);
    const at = words(site.server.address);
    const set = await run(["get", at, "param=REMOTE_USER=me=you", "-X", "PUT", "/"]);
    assert.deepEqual([JSON.parse(set.stdout).user, JSON.parse(set.stdout).method], ["me=you", "PUT"]);
    const failed = await run(["get", at, "/error"]);
    assert.deepEqual(failed, {
      code: 22,
      stdout: "bad",
      stderr: "error log: it went wrong\nrunfcgi: the status is 500 Internal Server Error\n",
    });
  });

  test("sends a body as a form unless told otherwise, as curl does", async () => {
    await using site = await startSite(echo);
    const form = "application/x-www-form-urlencoded";
    const json = "application/json";
    const cases: [words: string[], type: string | null][] = [
      [["-d", "a=1"], form],
      [["-d", ""], form],
      [["-X", "PUT", "-d", "a=1"], form],
      [["-d", "{}", "-H", `content-type: ${json}`], json],
      [["-d", "{}", "-H", "Content-Type:"], null],
      [["-d", "{}", `param=CONTENT_TYPE=${json}`], json],
      [[], null],
    ];
    const sent = await Promise.all(cases.map(([given]) => run(["get", words(site.server.address), ...given, "/"])));
    assert.deepEqual(sent.map(({ stdout }) => JSON.parse(stdout).type), cases.map(([, type]) => type));
  });

  test("says that a body was cut off, which that of a HEAD is not", async () => {
    await using site = await startSite(() => {
      const late = new ReadableStream({
        async pull(controller) {
          await new Promise((resolve) => setTimeout(resolve, 20));
          controller.close();
        },
      });
      return new Response(late, { headers: { "content-length": "10" } });
    });
    const at = words(site.server.address);
    const [cut, head] = await Promise.all([run(["get", at, "/"]), run(["get", at, "-X", "HEAD", "-i", "/"])]);
    assert.deepEqual(cut, {
      code: 18,
      stdout: "",
      stderr: "runfcgi: the body was cut off after 0 of 10 bytes; see the program's log\n",
    });
    assert.deepEqual(head, { code: 0, stdout: "", stderr: "200 OK\ncontent-length: 10\n\n" });
  });

  test("sends a file, and hides what is secret", async () => {
    await using site = await startSite(echo, { protocol: "ajp", secret: "s3cret" });
    const folder = makeSite({ "body.txt": "of a file" });
    const { stdout, stderr } = await run(
      ["get", "protocol=ajp", "secret=s3cret", words(site.server.address), "-vd", "@body.txt", "-H", "Cookie: id=12345", "/"],
      { cwd: folder },
    );
    assert.equal(JSON.parse(stdout).body, "of a file");
    assert.match(stderr, /HTTP_COOKIE=\(8 bytes, hidden\)/);
    assert.ok(!stderr.includes("12345") && !stderr.includes("s3cret"), stderr);
    const stdin = openSync(join(folder, "body.txt"), "r");
    const piped = await run(["get", "protocol=ajp", "secret=s3cret", words(site.server.address), "-d", "@-", "/"], { stdin });
    closeSync(stdin);
    assert.equal(JSON.parse(piped.stdout).body, "of a file");
  });

  test("sends packets of the length that the endpoint takes", async () => {
    await using site = await startSite(echo, { protocol: "ajp", packetSize: 65536 });
    const agent = "x".repeat(20_000);
    const asked = ["get", "protocol=ajp", words(site.server.address), "-H", `User-Agent: ${agent}`, "/"];
    assert.equal(JSON.parse((await run([...asked, "packetsize=65536"])).stdout).agent, agent);
    assert.equal((await run(asked)).code, 52);
  });

  test("repeats a request over kept connections where the protocol has them, and counts failures", async () => {
    for (const protocol of ["fcgi", "ajp", "http"] as const) {
      let count = 0;
      await using site = await startSite(() => new Response(null, { status: count++ === 2 ? 503 : 200 }), { protocol });
      const { code, stdout, stderr } = await run(
        ["get", `protocol=${protocol}`, words(site.server.address), "repeat=5", "--keep", "/"],
      );
      assert.deepEqual([code, stdout], [22, ""], stderr);
      assert.match(
        stderr,
        /^5 requests, 1 failed: min [\d.]+ ms, median [\d.]+ ms, max [\d.]+ ms, over 1 connection\n {2}1 × status 503 Service Unavailable\n$/,
      );
      assert.equal(count, 5);
      const { stderr: apart } = await run(["get", `protocol=${protocol}`, words(site.server.address), "repeat=2", "/"]);
      assert.match(apart, /^2 requests, 0 failed: .* max [\d.]+ ms\n$/);
    }
  });

  test("says in one line that the reader of the body has left", async () => {
    await using site = await startSite(() => new Response("x".repeat(3_000_000)));
    const script = `{ "$@"; echo "status $?" >&2; } | head -c 3`;
    const running = start(["sh", "-c", script, "sh", ...program().command, "get", words(site.server.address), "/"]);
    await running.exit;
    assert.equal(running.stdout(), "xxx");
    assert.match(running.stderr(), /^runfcgi: cannot write to standard output: .*EPIPE.*\nstatus 1\n$/);
  });

  const wrong: [words: string[], message: RegExp][] = [
    [["/"], /there is no endpoint to connect to: give socket=PATH or port=PORT/],
    [[relative(process.cwd(), import.meta.filename!)], /get what of ".*\.ts"\? Give a path such as \/ or a URL behind it/],
    [["port=1"], /get what\? Give a path such as \/ or a URL/],
    [["port=1", "page"], /"page" is neither a path .* nor a URL/],
    [["port=1", "/", "-H", "no header"], /header is "no header", expected a header/],
    [["port=1", "/", "socket=a"], /give one of socket and port/],
    [["port=1", "app.ts", "/"], /there are an application, "app\.ts", and an endpoint: give one of them/],
    [["a.ts", "b.ts", "/"], /get takes an application and one path, not a\.ts and b\.ts and \//],
    [["none.ts", "/"], /there is no file "none\.ts"/],
    [["port=1", "/", "protocol=fast"], /protocol is "fast", expected fcgi\|scgi/],
    [["port=1", "/", "sokcet=a"], /there is no option "sokcet", did you mean "socket"\?/],
    [["port=1", "/", "-z"], /there is no option "-z"/],
    [["port=1", "/", "-d", "@/nothing/here"], /data is "@\/nothing\/here", which cannot be read/],
    [["port=1", "/", "protocol=scgi", "--keep"], /scgi uses a connection for each request/],
  ];
  test("exits with 2 for invalid arguments", async () => {
    for (const [words, message] of wrong) {
      await assert.rejects(get(words), (error) => error instanceof UsageError && message.test(error.message), words.join(" "));
    }
    const { code, stdout, stderr } = await run(["get", "port=1"]);
    assert.deepEqual([code, stdout, stderr], [2, "", "runfcgi: get what? Give a path such as / or a URL\n"]);
  });

  test("has a help", async () => {
    const { code, stdout } = await run(["get", "help"]);
    assert.equal(code, 0);
    assert.match(stdout, /-X, method/);
  });

  test("says why there is no answer, and exits with curl's status", async () => {
    const silent = createServer((socket) => socket.on("error", () => {})).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address() as { port: number };
    await using site = await startSite(echo, { protocol: "http" });
    const cases: [words: string[], message: RegExp, status: number][] = [
      [[`socket=${place}/none.sock`], /there is no socket ".*none\.sock": start the program with socket=/, 7],
      [[`socket=${place}/none/a.sock`], /there is no folder ".*none" for the socket/, 7],
      [["host=127.0.0.2", "port=1"], /nothing listens on 127\.0\.0\.2:1: /, 7],
      [[`port=${port}`, "timeout=0.05"], /there was no response after 0.05 s/, 28],
      [
        [words(site.server.address), "protocol=fcgi"],
        /^runfcgi: the response is not FastCGI: it begins with 48 54 54 50.*HTTP.*try protocol=http\n$/,
        8,
      ],
    ];
    const results = await Promise.all(cases.map(([words]) => run(["get", ...words, "/"])));
    silent.close();
    results.forEach(({ code, stderr }, i) => {
      assert.match(stderr, cases[i][1]);
      assert.equal(code, cases[i][2]);
    });
  });
});

describe("get of an application without a server", () => {
  const app = `import process from "node:process";
export const runfcgi = { static: "/media/=./media" };
export default async (request: Request, info: { protocol: string; waitUntil(work: Promise<unknown>): void }) => {
  const { pathname } = new URL(request.url);
  console.log("asked for", pathname);
  if (pathname === "/error") throw new Error("thrown for a test");
  info.waitUntil(new Promise((resolve) => setTimeout(resolve, 50)).then(() => console.error("work is done")));
  const body = await request.text();
  return Response.json({ method: request.method, url: request.url, body, protocol: info.protocol, word: process.env.WORD });
};
`;
  const leaving = {
    "leaves.ts": "process.exit(0);",
    "leaves_later.ts": "export default () => process.exit(0);",
    "waits.ts":
      "export const runfcgi = { loadtimeout: 1 };\nawait new Promise(() => {});\nexport default () => new Response();\n",
  };
  const cwd = makeSite({ "app.ts": app, "media/a.txt": "a file", "broken.ts": "export default {\n", ...leaving });

  test("has the application's answer on standard output, and all else on standard error", async () => {
    const words = ["app.ts", "http://example.org/a?b", "-d", "x=1", "env=WORD=given", "protocol=scgi"];
    const { code, stdout, stderr } = await run(["get", ...words], { cwd });
    assert.equal(code, 0, stderr);
    const expected = { method: "POST", url: "http://example.org/a?b", body: "x=1", protocol: "scgi", word: "given" };
    assert.deepEqual(JSON.parse(stdout), expected);
    assert.match(stderr, /^asked for \/a\n/);
    assert.match(stderr, /^work is done\n/m);
  });

  test("serves the files that the application's options name, and shows what passes", async () => {
    const { code, stdout, stderr } = await run(["get", "app.ts", "/media/a.txt", "-v"], { cwd });
    assert.deepEqual([code, stdout], [0, "a file"], stderr);
    assert.match(stderr, /BEGIN_REQUEST: responder/);
  });

  test("exits with curl's status for an error, and for an application that cannot be loaded", async () => {
    const failed = await run(["get", "app.ts", "/error"], { cwd });
    assert.equal(failed.code, 22);
    assert.match(failed.stderr, /GET \/error: Error: thrown for a test\n/);
    const broken = await run(["get", "broken.ts", "/"], { cwd });
    assert.deepEqual([broken.code, broken.stdout], [7, ""]);
    assert.match(broken.stderr, /broken\.ts cannot be loaded\n$/);
    assert.equal((await run(["get", "app.ts", "/missing.txt", "repeat=3"], { cwd })).code, 0);
    const reasons = {
      "leaves.ts": /leaves\.ts ended the process with status 0 before it answered\n$/,
      "leaves_later.ts": /leaves_later\.ts ended the process with status 0 before it answered\n$/,
      "waits.ts": /waits\.ts has not been loaded within 1 s \(loadtimeout\)\n$/,
    };
    for (const [name, reason] of Object.entries(reasons)) {
      const { code, stdout, stderr } = await run(["get", name, "/"], { cwd });
      assert.deepEqual([code, stdout], [7, ""], stderr);
      assert.match(stderr, reason);
    }
  });
});

describe("the reason why nobody could be connected to", () => {
  const error = (code: string) => Object.assign(new Error(code), { code });
  const somebody = { uid: 54321, groups: [54321], name: "somebody" };

  test("for a socket", async () => {
    const folder = makeSite({ file: "" });
    const reason = (name: string, code = "EACCES") =>
      reasonText(connectFailure(error(code), { transport: "unix", path: join(folder, name) }, somebody));
    chmodSync(place, 0o755);
    chmodSync(folder, 0o755);
    assert.match(reason("file"), /is not a socket/);
    const server = createServer().listen(join(folder, "s"));
    await once(server, "listening");
    chmodSync(join(folder, "s"), 0o755);
    assert.match(reason("s"), /^somebody may not write to ".*\/s" \(mode 755, .*\): start the program with mode=666/);
    chmodSync(join(folder, "s"), 0o666);
    assert.match(reason("s", "ECONNREFUSED"), /nothing listens on .*whose program has ended: start it again/);
    chmodSync(folder, 0o750);
    assert.match(reason("s"), /^somebody may not enter ".*" \(mode 750, .*: chmod o\+x \//);
    server.close();
    chmodSync(folder, 0o755);
    mkdirSync(join(folder, "x"));
    assert.match(reason("x/s"), /there is no socket/);
  });

  test("for a port", () => {
    const reason = (code: string) => reasonText(connectFailure(error(code), { transport: "tcp", hostname: "h", port: 1 }));
    assert.match(reason("ECONNREFUSED"), /nothing listens on h:1/);
    assert.match(reason("ENOTFOUND"), /there is no host "h"/);
    assert.match(reason("EHOSTUNREACH"), /cannot be reached/);
  });
});

test("an answer in another protocol is told by its first bytes", () => {
  const reason = (received: Uint8Array, protocol: ListeningProtocol) =>
    reasonText(answerFailure({ error: new Error("The bytes are wrong"), protocol, received, timedOut: false, timeout: 1 }));
  assert.match(reason(bytes("HTTP/1.1 400 Bad Request\r\n"), "fcgi"), /try protocol=http/);
  assert.match(reason(hex("4142 0003 04"), "scgi"), /looks like AJP: try protocol=ajp/);
  assert.match(reason(hex("01 06 0001 0000 0000"), "http"), /looks like FastCGI: try protocol=fcgi/);
  assert.match(reason(bytes("Status: 200 OK\r\n\r\n"), "fcgi"), /header lines of CGI.*try protocol=scgi/);
  assert.match(reason(hex("15 03 01 00 02"), "fcgi"), /TLS/);
  assert.match(reason(bytes("\0\0"), "fcgi"), /no known protocol/);
  assert.match(reason(bytes(""), "fcgi"), /closed without a response, so .* or the endpoint does not speak FastCGI: /);
  assert.match(reason(bytes("HTTP/1.1 200 OK\r\n"), "uwsgi"), /^the bytes are wrong/);
});

test("times are told by least, middle and most", () => {
  assert.equal(timesText([3, 1, 2]), ": min 1.00 ms, median 2.00 ms, max 3.00 ms");
  assert.equal(timesText([4, 1, 2, 3]), ": min 1.00 ms, median 2.50 ms, max 4.00 ms");
  assert.equal(timesText([]), "");
});

test("the params of a request are those of a web server, and what was given in their place", () => {
  const record = (target: string, options: Parameters<typeof paramsOf>[1], body?: Uint8Array) =>
    paramsOf(target, options, body).toRecord();
  const plain = record("/a%20b?c", { param: ["SERVER_NAME=other"], header: ["x-y: z"] });
  const wanted = { REQUEST_URI: "/a%20b?c", PATH_INFO: "/a b", QUERY_STRING: "c", HTTP_HOST: "localhost", HTTP_X_Y: "z" };
  for (const [name, value] of Object.entries({ ...wanted, SERVER_NAME: "other", REMOTE_ADDR: "127.0.0.1" })) {
    assert.equal(plain[name], value);
  }
  const secure = record("https://é.example", {}, bytes("12"));
  for (
    const [name, value] of Object.entries({
      HTTPS: "on",
      SERVER_PORT: "443",
      REQUEST_URI: "/",
      CONTENT_LENGTH: "2",
      REQUEST_METHOD: "POST",
    })
  ) {
    assert.equal(secure[name], value);
  }
  assert.equal(record("/", { protocol: "http" }).REMOTE_ADDR, undefined);
  assert.equal(record("/", { header: ["accept: CONTENT_LENGTH"] }, bytes("12")).CONTENT_LENGTH, "2");
});

test("words are read as those of curl and as name=value", () => {
  const kind = { name: "text", read: (value: string) => value };
  const table = {
    text: { kind, short: "t", repeatable: true, help: "", example: "" },
    flag: { short: "f", help: "", example: "" },
    other: { short: "o", help: "", example: "" },
  } as const;
  const read = (...words: string[]) => parseArguments(words, table);
  const { options, plain } = read(
    "-fot",
    "a",
    "text=b=c",
    "--text",
    "d=e",
    "-t",
    "f=g",
    "--text=h",
    "-ti",
    "rest",
    "--",
    "-x",
    "text=j",
  );
  assert.deepEqual(options, { flag: true, other: true, text: ["a", "b=c", "d=e", "f=g", "h", "i"] });
  assert.deepEqual(plain, ["rest", "-x", "text=j"]);
  assert.throws(() => read("flag=1"), UsageError);
  assert.throws(() => read("-t"), /text is without a value/);
  assert.throws(() => read("-z"), /there is no option "-z"/);
});
