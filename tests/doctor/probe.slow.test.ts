import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { describe, test } from "node:test";
import { pipeline } from "node:stream/promises";
import { checkThrough, makeProbe, probeChecks } from "../../src/doctor/probe.ts";
import { httpParams } from "../../src/protocol/http/params.ts";
import { Params } from "../../src/protocol/params.ts";
import { request } from "../../src/server/client.ts";
import { startSite } from "../support/peer.ts";

/** What a web server does wrong. */
interface Front {
  /** Changes the params of a request. */
  params?: (params: Map<string, string>) => void;
  /** Answers itself. */
  answer?: (message: IncomingMessage, response: ServerResponse) => boolean;
  buffers?: boolean;
}

/** A web server in front of the probe, and what the doctor finds through it. */
async function findings(
  { params: change, answer, buffers }: Front,
  patience = 2,
): Promise<Record<string, { state: string; text: string; fix?: string }>> {
  const { handler, word } = makeProbe(patience);
  await using site = await startSite(handler);
  const server = createServer(async (message, response) => {
    if (answer?.(message, response)) return void message.resume();
    const { remoteAddress = "", remotePort = 0, localAddress = "", localPort = 0 } = message.socket;
    const { pairs } = httpParams({
      method: message.method!,
      target: message.url!,
      version: "1.1",
      headers: message.rawHeaders,
      addresses: { remoteAddress, remotePort, localAddress, localPort },
    }, "nginx/1.0");
    const params = new Map<string, string>();
    for (let i = 0; i < pairs.length; i += 2) params.set(pairs[i], pairs[i + 1]);
    change?.(params);
    const { head, body } = await request({
      address: site.server.address,
      protocol: "fcgi",
      params: Params.from(params),
      body: message,
    });
    response.writeHead(head.status, head.reason, head.headers);
    if (buffers) return void response.end(new Uint8Array(await new Response(body).arrayBuffer()));
    response.flushHeaders();
    await pipeline(body, response).catch(() => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as { port: number };
    const found = await checkThrough(new URL(`http://127.0.0.1:${port}/shop`), word);
    return Object.fromEntries(found.map(({ check, ...rest }) => [check, rest]));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** The checks that are problems, or worth a note. */
function problems(found: Record<string, { state: string }>): string[] {
  return Object.keys(found).filter((check) => /^(?:problem|note)$/.test(found[check].state));
}

describe("through a web server", () => {
  test("that passes on everything nothing is wrong", async () => {
    const found = await findings({});
    assert.deepEqual(Object.keys(found), [...probeChecks]);
    assert.deepEqual(problems(found), [], JSON.stringify(found));
  });

  const wrong: [name: string, front: Front, check: string, fix: RegExp][] = [
    [
      "drops Authorization",
      { params: (params) => params.delete("HTTP_AUTHORIZATION") },
      "authorization",
      /HTTP_AUTHORIZATION \$http_authorization/,
    ],
    ["takes HTTP for HTTPS", { params: (params) => params.set("HTTPS", "on") }, "scheme", /fastcgi_param HTTPS/],
    ["has another host", { params: (params) => params.set("HTTP_HOST", "backend") }, "host", /HTTP_HOST \$http_host/],
    [
      "doubles the program's name",
      { params: (params) => params.set("REQUEST_URI", `/mysite.fcgi${params.get("REQUEST_URI")}`).delete("PATH_INFO") },
      "path",
      /REQUEST_URI/,
    ],
    [
      "decodes the path",
      { params: (params) => params.set("REQUEST_URI", params.get("REQUEST_URI")!.replace("%20", "+")).delete("PATH_INFO") },
      "path",
      /REQUEST_URI/,
    ],
    [
      "leads all URLs to one file",
      { params: (params) => params.set("SCRIPT_NAME", "/index.php").delete("PATH_INFO") },
      "path",
      /frontcontroller=\/index\.php$/,
    ],
    ["does not tell the visitor", { params: (params) => params.delete("REMOTE_ADDR") }, "visitor", /REMOTE_ADDR \$remote_addr/],
    [
      "takes no long uploads",
      {
        answer: (message, response) => {
          const tooLong = Number(message.headers["content-length"]) > 131072;
          if (tooLong) response.writeHead(413).end();
          return tooLong;
        },
      },
      "uploads",
      /client_max_body_size/,
    ],
    ["holds back events", { buffers: true }, "events", /fastcgi_buffering off/],
  ];
  for (const [name, front, check, fix] of wrong) {
    test(`that ${name}, just that is a problem`, async () => {
      const found = await findings(front, name.includes("events") ? 0.2 : 2);
      assert.deepEqual(problems(found), [check], JSON.stringify(found));
      assert.match(found[check].fix!, fix);
    });
  }

  test("that does not reach the program, the rest is not checked", async () => {
    for (const [status, text] of [[502, /cannot reach the program/], [404, /somebody else/], [301, /redirected/]] as const) {
      const found = await findings({ answer: (_message, response) => !!response.writeHead(status).end() });
      assert.deepEqual(problems(found), ["web server"]);
      assert.match(found["web server"].text, text);
      assert.equal(found["what arrives"].state, "not checked");
    }
  });
});

test("the probe answers nobody without its word", async () => {
  const { handler, word } = makeProbe();
  await using site = await startSite(handler);
  for (const given of [undefined, "", "x".repeat(word.length), word.slice(1)]) {
    const { head, text } = await site.ask("/", given === undefined ? {} : { HTTP_X_RUNFCGI_DOCTOR: given });
    assert.equal(head.status, 503);
    assert.ok(!text.includes("url"), text);
  }
  assert.equal((await site.ask("/", { HTTP_X_RUNFCGI_DOCTOR: word })).head.status, 200);
});
