/** A debugger of the application, by the runtimes' own protocols: a breakpoint, a request that hits it, a variable. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { cleanUp, launch, run, site } from "../support/cli.ts";
import { freePort, program, type Running, until, within } from "../support/program.ts";

const { name: runtime, command } = program();
const isBun = runtime === "bun" || runtime === "binary";
cleanUp();

const app = (word: string) =>
  `interface Named { name: string }
export default function handler(request: Request): Response {
  const visitor: Named = { name: "${word}" + new URL(request.url).pathname };
  return new Response(visitor.name); // here
}
`;

// deno-lint-ignore no-explicit-any
type Message = any;

/** A session with V8's inspector, or JavaScriptCore's, which has nearly the same messages. */
class Session {
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, (message: Message) => void>();
  readonly #events: Message[] = [];
  #id = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      const message = JSON.parse(String(data));
      if (message.id === undefined) this.#events.push(message);
      else this.#answers.get(message.id)?.(message);
    });
  }

  static async open(url: string): Promise<Session> {
    const socket = new WebSocket(url);
    const opened = new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve());
      socket.addEventListener("error", () => reject(new Error(`Cannot connect to ${url}`)));
    });
    const session = new Session(socket);
    await within("the debugger's connection", opened);
    return session;
  }

  async call(method: string, params: Message = {}): Promise<Message> {
    const id = ++this.#id;
    const answer = new Promise<Message>((resolve) => this.#answers.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params }));
    const { result, error } = await within(method, answer);
    assert.equal(error, undefined, `${method}: ${JSON.stringify(error)}`);
    return result;
  }

  event(method: string, is: (params: Message) => boolean = () => true): Promise<Message> {
    return until(method, () => this.#events.find((event) => event.method === method && is(event.params))?.params);
  }

  close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#socket.addEventListener("close", () => resolve()));
    this.#socket.close();
    return closed;
  }
}

/** The address of the debugger that the last worker has. */
async function debuggerUrl(port: number, running: Running): Promise<string> {
  const told = () => /Debugger: https:\/\/debug\.bun\.sh\/#(\S+)/.exec(running.stderr())?.[1];
  if (isBun) return `ws://${await until("its address is printed", told)}`;
  return await until("it tells its address", async () => {
    const list = await fetch(`http://127.0.0.1:${port}/json/list`).then((response) => response.json()).catch(() => undefined);
    return list?.[0]?.webSocketDebuggerUrl as string | undefined;
  });
}

/** Asks for a page, and stops the request at a breakpoint. */
async function stopped(port: number, running: Running, page: URL) {
  const session = await Session.open(await debuggerUrl(port, running));
  await session.call("Runtime.enable");
  await session.call("Debugger.enable");
  if (isBun) await session.call("Debugger.setBreakpointsActive", { active: true });
  const { scriptId } = await session.event("Debugger.scriptParsed", ({ url }) => url.replace(/\?.*$/, "").endsWith("/app.ts"));
  // Editors have the source map for it: runtimes that rewrite TypeScript keep no lines.
  const { scriptSource } = await session.call("Debugger.getScriptSource", { scriptId });
  const lineNumber = scriptSource.split("\n").findIndex((line: string) => line.includes("new Response(visitor.name)"));
  assert.ok(lineNumber > 0, scriptSource);
  await session.call("Debugger.setBreakpoint", { location: { scriptId, lineNumber, columnNumber: 0 } });
  const answer = fetch(page).then(async (response) => `${response.status} ${await response.text()}`, () => "none");
  const { callFrames } = await session.event("Debugger.paused");
  return { session, answer, frame: callFrames[0].callFrameId as string };
}

/** What the application's variable is at the breakpoint, and then the answer. */
async function debugged(port: number, running: Running, page: URL): Promise<[name: string, answer: string]> {
  const { session, answer, frame } = await stopped(port, running, page);
  const { result } = await session.call("Debugger.evaluateOnCallFrame", { callFrameId: frame, expression: "visitor.name" });
  await session.call("Debugger.resume");
  const text = await within("the answer", answer);
  await session.close();
  return [result.value, text];
}

describe(`a debugger (${runtime})`, () => {
  const started = async (words: string[], flags: string[] = []) => {
    const cwd = site({ "app.ts": app("first") });
    const [executable, ...rest] = command;
    const at = runtime === "deno" ? 1 : 0;
    const running = launch([executable, ...rest.toSpliced(at, 0, ...flags), "preview=0", ...words], { cwd });
    const page = await until("the address is printed", () => /open (http:\S+)/.exec(running.stderr())?.[1]);
    return { cwd, running, page: new URL("/x", page) };
  };

  test("stops the application in its TypeScript, before and after a change, on one port", async () => {
    const port = await freePort();
    const { cwd, running, page } = await started([`inspect=${port}`]);
    assert.deepEqual(await debugged(port, running, page), ["first/x", "200 first/x"]);
    writeFileSync(join(cwd, "app.ts"), app("second"));
    assert.equal(await (await fetch(page)).text(), "second/x");
    assert.deepEqual(await debugged(port, running, page), ["second/x", "200 second/x"]);
    running.kill();
    assert.deepEqual(await running.exit, { code: 0, signal: null }, running.stderr());
  });

  test("that holds a request does not keep a change or a stop from happening", async () => {
    const port = await freePort();
    const { cwd, running, page } = await started([`inspect=${port}`]);
    const { answer } = await stopped(port, running, page);
    writeFileSync(join(cwd, "app.ts"), app("second"));
    assert.notEqual(await within("the end of the request", answer), "200 first/x");
    assert.equal(await (await fetch(page)).text(), "second/x");
    running.kill();
    await within("the end of the server", running.exit);
  });

  test(
    "of the runtime's own option is the application's",
    { skip: runtime === "binary" && "it takes no options of Bun's" },
    async () => {
      const port = await freePort();
      const { running, page } = await started([], [`--inspect=127.0.0.1:${port}`]);
      assert.deepEqual(await debugged(port, running, page), ["first/x", "200 first/x"]);
      running.kill();
      assert.deepEqual(await running.exit, { code: 0, signal: null }, running.stderr());
    },
  );

  test("whose port is taken is an error, and nothing is served", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    try {
      const { code, stderr } = await run(["app.ts", "port=0", `inspect=${port}`], { cwd: site({ "app.ts": app("") }) });
      assert.equal(code, 1);
      const taken = `Cannot listen on 127.0.0.1:${port}: another program listens there. Stop it or choose another address`;
      assert.equal(stderr, `runfcgi: ${taken}\n`);
    } finally {
      other.close();
    }
  });

  test("is for one worker", async () => {
    const { code, stderr } = await run(["app.ts", "port=0", "threads=2", "inspect=9229"], { cwd: site({ "app.ts": app("") }) });
    assert.equal(code, 2);
    assert.match(stderr, /^runfcgi: inspect is for one worker: leave out threads and method\n$/);
  });
});
