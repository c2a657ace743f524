/** Interim responses with the status 103. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { connect } from "node:net";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ExecProgram } from "../../src/handlers/exec.ts";
import { serverHandler } from "../../src/handlers/node_upgrade.ts";
import type { Handler } from "../../src/server/handler.ts";
import { gate, type SiteOptions, startSite } from "../support/peer.ts";
import { until } from "../support/program.ts";

const link = "</style.css>; rel=preload; as=style";

/** What a client of this version gets, and whether the hint came while the handler still waited. */
async function ask(
  handler: Handler,
  options: SiteOptions,
  version = "1.1",
  wait?: PromiseWithResolvers<void>,
  path = "/",
): Promise<string> {
  await using site = await startSite(handler, options);
  const socket = connect((site.address as { path: string }).path).setEncoding("latin1");
  let text = "";
  let ended = false;
  socket.on("data", (more) => text += more).on("end", () => ended = true);
  socket.write(`GET ${path} HTTP/${version}\r\nhost: x\r\nconnection: close\r\n\r\n`);
  if (wait) {
    await until("the hint is there", () => text.includes("\r\n\r\n"));
    wait.resolve();
  }
  await until("the response is complete", () => ended);
  socket.destroy();
  return text;
}

const sent: boolean[] = [];
const hinting = (wait: Promise<void> = Promise.resolve()): Handler => async (_request, info) => {
  sent.length = 0;
  sent.push(info.earlyHints({ link, connection: "close", "x-a": "1" }));
  await wait;
  return new Response("page");
};

for (const protocol of ["http", "auto"] as const) {
  test(`over ${protocol} a hint leaves before the response is made`, async () => {
    const wait = gate();
    const text = await ask(hinting(wait.promise), { protocol, earlyHints: true }, "1.1", wait);
    assert.match(
      text,
      /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/style\.css>; rel=preload; as=style\r\nx-a: 1\r\n\r\nHTTP\/1\.1 200 OK\r\n/,
    );
    assert.match(text, /page$/);
    assert.deepEqual(sent, [true]);
  });
}

test("nothing is sent unless the option says that the web server can take it, and to HTTP/1.0", async () => {
  for (const [options, version] of [[{}, "1.1"], [{ earlyHints: true }, "1.0"]] as const) {
    assert.match(await ask(hinting(), { protocol: "http", ...options }, version), /^HTTP\/1\.1 200 OK\r\n/);
    assert.deepEqual(sent, [false]);
  }
});

for (const protocol of ["fcgi", "scgi", "ajp", "uwsgi"] as const) {
  test(`nothing is sent over ${protocol}`, async () => {
    await using site = await startSite(hinting(), { protocol, earlyHints: true });
    assert.equal((await site.ask()).text, "page");
    assert.deepEqual(sent, [false]);
  });
}

test("nothing is sent behind the head of the response", async () => {
  const [asked, seen] = [gate(), gate<boolean>()];
  const text = await ask(
    (_request, info) =>
      new Response(
        new ReadableStream<Uint8Array>({
          start(controller) {
            controller.enqueue(new Uint8Array([0x61]));
            asked.promise.then(() => {
              seen.resolve(info.earlyHints({ link }));
              controller.close();
            });
          },
        }),
      ),
    { protocol: "http", earlyHints: true },
    "1.1",
    asked,
  );
  assert.equal(await seen.promise, false);
  assert.doesNotMatch(text, /103/);
});

test("response.writeEarlyHints() of a Node-style application sends one", async () => {
  const server = createServer((_request, response) => {
    response.writeEarlyHints({ link: [link, "</b.js>; rel=preload; as=script"], "x-a": "1" });
    response.end("page");
  });
  const text = await ask(serverHandler(server), { protocol: "http", earlyHints: true });
  assert.match(text, /^HTTP\/1\.1 103 Early Hints\r\nlink: .*style\.css.*b\.js.*\r\nx-a: 1\r\n\r\nHTTP\/1\.1 200 OK\r\n/i);
});

test("a program of exec sends one", async () => {
  const runtime = process.versions.deno ? `"${process.execPath}" run -A --quiet --no-check` : `"${process.execPath}"`;
  const file = fileURLToPath(new URL("../support/http_program.ts", import.meta.url));
  const program = new ExecProgram(`${runtime} ${file} {socket}`, { write() {}, place: "in the log of a test" });
  program.start();
  try {
    const text = await ask(program.handler, { protocol: "http", earlyHints: true }, "1.1", undefined, "/hints");
    assert.match(text, /^HTTP\/1\.1 103 [^]*style\.css[^]*HTTP\/1\.1 200 /);
  } finally {
    await program.stop(0);
  }
});
