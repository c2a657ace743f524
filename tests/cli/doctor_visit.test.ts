/** What the doctor makes of a site's answers: above all, what it does not take for wrong. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import { describe, test } from "node:test";
import { configText } from "../../src/cli/config/command.ts";
import type { Finding } from "../../src/cli/doctor/finding.ts";
import { type Place, visit } from "../../src/cli/doctor/visit.ts";
import { workplace } from "../support/words.ts";

const { site } = workplace();
const source = "export default () => new Response();\n";
const folder = site({ ".htaccess": configText(["apache-shared"]), "mysite.ts": source });
const place = {
  htaccess: { path: join(folder, ".htaccess"), text: configText(["apache-shared"]) },
  program: join(folder, "mysite.fcgi"),
  app: join(folder, "mysite.ts"),
};

/** What is found at a site that answers like this. */
async function found(
  answer: (message: IncomingMessage, response: ServerResponse) => void,
  at: Place = place,
): Promise<Record<string, Finding>> {
  const server = createServer((message, response) => {
    message.resume();
    message.on("end", () => answer(message, response));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as { port: number };
    const findings = await visit(new URL(`http://127.0.0.1:${port}/`), at);
    return Object.fromEntries(findings.map((finding) => [finding.check, finding]));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const states = (findings: Record<string, Finding>) => Object.values(findings).map(({ check, state }) => `${check}: ${state}`);

describe("a visit finds nothing wrong", () => {
  const fine = ["web server: ok", "uploads: ok"];
  for (
    const [name, status, headers] of [
      ["where the application knows no page", 404, {}],
      ["where the application wants to know who comes", 401, { "www-authenticate": "Basic" }],
      ["where the application lets nobody in", 403, {}],
      ["where the application leads to another page", 303, { location: "/login" }],
      ["where it leads to another page by its URL", 303, { location: "http://HOST/login" }],
    ] as const
  ) {
    test(name, async () => {
      const findings = await found(({ headers: { host } }, response) => {
        const own = Object.entries(headers).map(([key, value]) => [key, value.replace("HOST", host!)]);
        response.writeHead(status, Object.fromEntries(own)).end("text");
      });
      assert.deepEqual(states(findings), fine);
    });
  }

  test("where there is no .htaccess, and the application knows no page", async () => {
    const findings = await found((_message, response) => response.writeHead(404).end("text"), { htaccess: { path: "/none" } });
    assert.deepEqual(states(findings), fine);
  });

  test("where a page never ends", async () => {
    const findings = await found((_message, response) => {
      response.on("error", () => {});
      const more = () => void (!response.destroyed && response.write("x".repeat(16_384), () => setTimeout(more, 1)));
      more();
    });
    assert.deepEqual(states(findings), fine);
  });

  test("where somebody between takes no GET with a body, but says that it was not seen", async () => {
    const findings = await found((message, response) => response.writeHead(message.headers["content-length"] ? 403 : 200).end());
    assert.deepEqual(states(findings), ["web server: ok", "uploads: not checked"]);
  });
});

describe("a visit finds", () => {
  test("a site that leads elsewhere, and says where", async () => {
    const findings = await found((_message, response) => response.writeHead(301, { location: "https://example.org/" }).end());
    assert.deepEqual(states(findings), ["web server: note"]);
    assert.match(findings["web server"].fix!, /url=https:\/\/example\.org\/$/);
  });

  test("a source that is shown", async () => {
    const findings = await found((message, response) => response.end(message.url === "/mysite.ts" ? source : "text"));
    assert.deepEqual(states(findings), ["web server: ok", "source: problem", "uploads: ok"]);
  });

  test("a site that nobody answers for", async () => {
    const [finding] = await visit(new URL("http://127.0.0.1:9/"), place);
    assert.match(finding.text, /does not answer/);
  });
});
