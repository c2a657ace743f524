/** The PROXY protocol as HAProxy speaks it, in both versions. */
import assert from "node:assert/strict";
import { copyFileSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { request as secureRequest } from "node:https";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { needs } from "../support/servers.ts";
import { startRow } from "./site.ts";

const certificate = fileURLToPath(new URL("../fixtures/localhost.pem", import.meta.url));
const app = `export default {
  fetch: (request, info) => Response.json({ url: request.url, ...info.remoteAddr }),
};
`;

/** Asks on a connection of its own: what came back, and from which port. */
function ask(port: number, isSecure: boolean): Promise<{ seen: Record<string, unknown>; from: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ seen: Record<string, unknown>; from: number }>();
  const options = { host: "127.0.0.1", port, path: "/a", agent: false as const, rejectUnauthorized: false };
  const sent = (isSecure ? secureRequest : request)(options, async (response) => {
    const from = sent.socket!.localPort!;
    let text = "";
    for await (const bytes of response) text += bytes;
    resolve({ seen: JSON.parse(text), from });
  });
  sent.on("error", reject).end();
  return promise;
}

describe("HAProxy, which passes connections on", { skip: needs("haproxy") }, () => {
  for (const word of ["send-proxy", "send-proxy-v2-ssl"]) {
    test(`with ${word} says where the visitor comes from`, { timeout: 60_000 }, async () => {
      const isSecure = word.endsWith("ssl");
      const { site, stop } = await startRow({
        name: word,
        server: "haproxy",
        protocol: "http",
        listens: "port",
        words: ["proxyprotocol=true", "trust=127.0.0.1"],
        app(folder) {
          copyFileSync(certificate, join(folder, "localhost.pem"));
          const file = join(folder, "mysite.ts");
          writeFileSync(file, app);
          return file;
        },
        site: ({ port, folder, app }) => `
          frontend f
            mode tcp
            bind 127.0.0.1:${port}${isSecure ? ` ssl crt ${folder}/localhost.pem` : ""}
            default_backend b
          backend b
            mode tcp
            server s 127.0.0.1:${app.port} ${word}`,
        logs: "program",
      });
      try {
        const { seen, from } = await ask(site.port, isSecure);
        const scheme = isSecure ? "https" : "http";
        assert.deepEqual(seen, {
          url: `${scheme}://127.0.0.1:${site.port}/a`,
          transport: "tcp",
          hostname: "127.0.0.1",
          port: from,
        });
        assert.doesNotMatch(site.errors, /PROXY/);
      } finally {
        await stop();
      }
    });
  }
});
