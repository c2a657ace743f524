/** `serve()` as programs call it that import the library. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { describe, test } from "node:test";
import { AbortedError, type Handler, serve, type ServeEndpoint, type ServeOptions } from "../../mod.ts";
import { ask, folder, gate, soon } from "../support/peer.ts";

const hello: Handler = () => new Response("Hello");
const module = new URL("../../mod.ts", import.meta.url).href;

/** Runs a program of its own on this runtime, for what it does to its globals and when it ends. */
function runs(text: string): { status: number | null; stdout: string; stderr: string } {
  using place = folder();
  const file = place.join("program.ts");
  writeFileSync(file, `import { serve } from ${JSON.stringify(module)};\n${text}`);
  const words = process.versions.deno ? ["run", "-A", "--no-check", "--config", configFile] : [];
  return spawnSync(process.execPath, [...words, file], {
    encoding: "utf8",
    timeout: 60_000,
    env: { ...process.env, NO_COLOR: "1" },
  });
}
const configFile = new URL("../../deno.json", import.meta.url).pathname;

describe("serve()", () => {
  test("takes an object with a function fetch, which keeps its this", async () => {
    class App {
      text = "of the object";
      fetch(): Response {
        return new Response(this.text);
      }
    }
    await using server = await serve({ port: 0 }, new App());
    assert.equal((await ask(server.address)).text, "of the object");
  });

  test("is shut down at the end of a block", async () => {
    let finished: Promise<void>;
    {
      await using server = await serve({ port: 0 }, hello);
      finished = server.finished;
    }
    await soon("the server to be shut down", finished);
  });

  test("aborts the signal of a request with an AbortedError", async () => {
    const reason = gate<unknown>();
    const server = await serve({ port: 0, onError: () => {} }, ({ signal }) => {
      signal.addEventListener("abort", () => reason.resolve(signal.reason));
      server.shutdown(0);
      return new Promise<Response>(() => {});
    });
    await ask(server.address).catch(() => {});
    assert.ok(await soon("the signal", reason.promise) instanceof AbortedError);
    await server.finished;
  });

  const wrong: [options: object, error: RegExp][] = [
    [{}, /takes one of the options socket, port and fd/],
    [{ port: 0, socket: "/nowhere/s" }, /takes one of the options socket, port and fd/],
    [{ port: "3033" }, /^port is "3033", expected a port from 0 to 65535$/],
    [{ port: 65536 }, /^port is 65536, expected a port/],
    [{ socket: "" }, /^socket is "", expected a path$/],
    [{ port: 0, protocol: "http2" }, /^protocol is "http2", expected "fcgi" or "scgi" or "ajp" or "uwsgi" or "http" or "auto"$/],
    [{ port: 0, protcol: "http" }, /^There is no option protcol, only socket, mode/],
    [{ port: 0, shared: true }, /^There is no option shared/],
    [{ port: 0, roles: "responder" }, /^roles is "responder", expected an array of "responder"/],
    [{ port: 0, trust: "loopback" }, /^trust is "loopback", expected an array of strings$/],
    [{ port: 0, trust: ["nobody"] }, /"nobody" is neither an address nor a network/],
    [{ port: 0, trustHeaders: ["for"] }, /^trustHeaders is \["for"\], expected an array of "host"/],
    [{ port: 0, timeout: 0 }, /^timeout is 0, expected a number of seconds above 0$/],
    [{ port: 0, limits: { maxConnection: 1 } }, /^There is no option limits\.maxConnection, only/],
    [{ port: 0, limits: { idleTimeout: "1" } }, /^limits\.idleTimeout is "1", expected a number/],
    [{ port: 0, signal: {} }, /^signal is \[object Object\], expected an AbortSignal$/],
    [{ port: 0, onListen: true }, /^onListen is true, expected a function$/],
    [{ port: 0, scriptName: "app" }, /^scriptName is "app", expected "" or a path/],
  ];
  for (const [options, message] of wrong) {
    test(`refuses ${JSON.stringify(options)}`, async () => {
      await assert.rejects(serve(options as ServeOptions & ServeEndpoint, hello), { name: "TypeError", message });
    });
  }

  for (const handler of [undefined, null, {}, "app.ts"]) {
    test(`refuses the handler ${JSON.stringify(handler)}`, async () => {
      await assert.rejects(serve({ port: 0 }, handler as unknown as Handler), {
        name: "TypeError",
        message: /^The handler is neither a function nor an object/,
      });
    });
  }

  test("leaves the globals alone, unless it is asked to patch them", () => {
    const program = (options: string) => `
const before = [Request, Response, fetch];
await using server = await serve({ port: 0${options} }, () => new Response("x"));
console.log([Request, Response, fetch].map((now, i) => now === before[i]).join());
console.log(await new Response("abc").text(), await Response.prototype.text.call(new Response("abc")));
`;
    const alone = runs(program(""));
    assert.equal(alone.stdout, "true,true,true\nabc abc\n", alone.stderr);
    assert.match(runs(program(", patchGlobals: true")).stdout, /^false,false,false\nabc abc\n$/);
  });

  test("hands out a request that can be read, copied and rebuilt without that", () => {
    const { stdout, stderr } = runs(`
import { request } from ${JSON.stringify(new URL("../../src/server/client.ts", import.meta.url).href)};
import { Params } from ${JSON.stringify(new URL("../../src/protocol/params.ts", import.meta.url).href)};
await using server = await serve({ port: 0 }, async (request) => {
  const copy = request.clone();
  const moved = new Request("http://elsewhere/", request);
  return Response.json([request instanceof Request, moved.method, moved.headers.get("x-a"), await moved.text(), await copy.text()]);
});
const params = Params.from(Object.entries({ REQUEST_METHOD: "POST", REQUEST_URI: "/", HTTP_HOST: "a", HTTP_X_A: "1", CONTENT_LENGTH: "3" }));
const { body } = await request({ address: server.address, protocol: "fcgi", params, body: [new TextEncoder().encode("abc")] });
console.log(await new Response(body).text());
`);
    assert.equal(stdout, '[true,"POST","1","abc","abc"]\n', stderr);
  });

  test("lets the process end after unref(), and not after ref()", () => {
    const unreferenced = runs(
      "const server = await serve({ port: 0 }, () => new Response());\nserver.unref();\nconsole.log('over');\n",
    );
    assert.deepEqual([unreferenced.status, unreferenced.stdout], [0, "over\n"], unreferenced.stderr);
    const referenced = runs(`const server = await serve({ port: 0 }, () => new Response());
server.unref();
server.ref();
setTimeout(() => { console.log("still there"); process.exit(3); }, 200).unref();
`);
    assert.deepEqual([referenced.status, referenced.stdout], [3, "still there\n"], referenced.stderr);
  });
});
