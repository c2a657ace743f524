/** WebSockets and early hints through real web servers, with the configuration that the program prints and the runtime's own client. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { copyFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { whole } from "../support/program.ts";
import { needs } from "../support/servers.ts";
import { VisitorSocket } from "../support/visitor_socket.ts";
import { fcgidRow } from "./fcgid.ts";
import { type Row, startRow } from "./site.ts";

const appFile = fileURLToPath(new URL("websocket_app.ts", import.meta.url));

/** Asks, and waits for the interim response before the page. */
function hinted(port: number): Promise<{ link: unknown; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ link: unknown; text: string }>();
  let link: unknown;
  const sent = request({ host: "127.0.0.1", port, path: "/hints", agent: false }, async (response) => {
    let text = "";
    for await (const bytes of response) text += bytes;
    resolve({ link, text });
  });
  sent.on("information", ({ headers }) => link = headers.link).on("error", reject).end();
  return promise;
}

const rows: Pick<Row, "server" | "listens" | "config">[] = [
  { server: "nginx", listens: "port", config: ["nginx"] },
  { server: "nginx", listens: "socket", config: ["nginx", "keepalive=4"] },
  { server: "apache", listens: "port", config: ["apache"] },
  { server: "apache", listens: "socket", config: ["apache"] },
  { server: "caddy", listens: "socket", config: ["caddy"] },
  { server: "haproxy", listens: "port", config: ["haproxy"] },
  { server: "lighttpd", listens: "port", config: ["lighttpd"] },
];

for (const row of rows) {
  // nginx passes them on since 1.29, and breaks on them before.
  const hints = row.server !== "nginx";
  const name = `${row.config!.join(" ")}, ${row.listens}`;
  describe(name, { skip: needs(row.server) }, () => {
    test("passes a WebSocket on, in both directions and to its end", { timeout: 60_000 }, async () => {
      const { site, stop } = await startRow({
        ...row,
        name,
        protocol: "http",
        config: [...row.config!, "websocket=true", ...hints ? ["earlyhints=true"] : []] as unknown as Row["config"],
        app(folder) {
          const file = join(folder, "mysite.ts");
          copyFileSync(appFile, file);
          return file;
        },
        logs: "program",
      });
      try {
        assert.equal((await site.ask("/page")).text, "/page");
        const link = hints ? "</style.css>; rel=preload; as=style" : undefined;
        assert.deepEqual(await hinted(site.port), { link, text: String(hints) });
        const url = `ws://127.0.0.1:${site.port}/socket`;
        const visitor = new VisitorSocket(url, ["other", "echo"]);
        const { url: seen, visitor: address } = JSON.parse(String(await visitor.message(1)));
        assert.deepEqual({ seen, address, protocol: visitor.socket.protocol }, {
          seen: url,
          address: "127.0.0.1",
          protocol: "echo",
        });
        visitor.socket.send("Grüße");
        assert.equal(await visitor.message(2), "Grüße");
        visitor.socket.send(new Uint8Array([0, 255, 128]));
        assert.deepEqual(await visitor.message(3), new Uint8Array([0, 255, 128]));
        const large = new Uint8Array(1024 * 1024).map((_, i) => i * 7 + (i >> 8));
        visitor.socket.send(large);
        assert.deepEqual(await visitor.message(4), large);
        visitor.socket.send("close 3456 as asked");
        assert.deepEqual(await visitor.close(), { code: 3456, reason: "as asked", wasClean: true });

        const second = new VisitorSocket(url, "echo");
        await second.message(1);
        second.socket.close(4001, "bye");
        assert.equal((await second.close()).code, 4001);
      } catch (error) {
        throw new Error(`The error log ends with:\n${site.errors.slice(-4000)}`, { cause: error });
      } finally {
        await stop();
      }
    });
  });
}

/** Where none can pass: over these protocols, and over HTTP without `websocket=true`. */
const refusing: Pick<Row, "server" | "protocol" | "config" | "site">[] = [
  { server: "nginx", protocol: "fcgi", config: ["nginx"] },
  { server: "nginx", protocol: "scgi", config: ["nginx"] },
  { server: "nginx", protocol: "uwsgi", config: ["nginx"] },
  { server: "nginx", protocol: "http", config: ["nginx"] },
  { server: "apache", protocol: "fcgi", config: ["apache"] },
  { server: "apache", protocol: "scgi", config: ["apache"] },
  { server: "apache", protocol: "ajp", config: ["apache"] },
  { server: "apache", protocol: "http", config: ["apache"] },
  { server: "lighttpd", protocol: "fcgi", config: ["lighttpd"] },
  { server: "lighttpd", protocol: "http", config: ["lighttpd"] },
  { server: "caddy", protocol: "fcgi", config: ["caddy"] },
  { server: "haproxy", protocol: "fcgi", config: ["haproxy"] },
  fcgidRow,
];

describe("a WebSocket that cannot pass is a 426 that says why", {
  skip: !whole && "only with --whole",
}, () => {
  for (const row of refusing) {
    const name = `${row.server} over ${row.site ? "mod_fcgid" : row.protocol}`;
    test(name, { skip: needs(row.server), timeout: 60_000 }, async () => {
      const { site, stop } = await startRow({
        ...row,
        name,
        listens: row.site ? "spawned" : "port",
        app(folder) {
          const file = join(folder, "mysite.ts");
          copyFileSync(appFile, file);
          return file;
        },
      });
      try {
        const headers = {
          connection: "Upgrade",
          upgrade: "websocket",
          "sec-websocket-version": "13",
          "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
          "sec-websocket-protocol": "echo",
        };
        const { status, text } = await site.ask("/socket", { headers });
        assert.equal(status, 426, text);
        assert.match(text, /WebSocket .*: runfcgi config SERVER protocol=http websocket=true/);
      } catch (error) {
        throw new Error(`The error log ends with:\n${site.errors.slice(-4000)}`, { cause: error });
      } finally {
        await stop();
      }
    });
  }
});
