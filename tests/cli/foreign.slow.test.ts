/** What somebody does on the own computer, which has Windows or macOS, for a host with Linux. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { doctorReply } from "../../src/app/doctor_reply.ts";
import { program, start } from "../support/program.ts";
import { makeFolder } from "../support/servers.ts";

const timeout = 60_000;
const { name, command } = program();

/** What differs there, as far as it can be pretended here. */
const pretends = (platform: string) =>
  `import process from "node:process";
Object.defineProperty(process, "platform", { value: "${platform}" });
if ("${platform}" === "win32") for (const name of ["getuid", "geteuid", "getgid", "getegid"]) delete process[name];
`;

describe("a computer that is not the host", { skip: name === "binary" && "only a runtime can be told what to pretend" }, () => {
  for (const platform of ["win32", "darwin"]) {
    test(`makes a site and looks at it as visitors do, ${platform}`, { timeout }, async () => {
      const folder = makeFolder();
      const server = createServer(({ url = "" }, response) => {
        const [, nonce] = /\/runfcgi-doctor\/([0-9a-f]{32})$/.exec(url) ?? [];
        response.end(nonce ? doctorReply(nonce) : "hello");
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      try {
        const preload = join(folder.path, "pretend.mjs");
        writeFileSync(preload, pretends(platform));
        const [runtime, ...words] = command;
        const module = words.pop()!;
        const flag = name === "node" ? "--import" : "--preload";
        const run = async (cwd: string, ...more: string[]) => {
          const running = start([runtime, ...words, flag, preload, module, ...more], { cwd });
          const { code } = await running.exit;
          return { code, text: running.stdout() + running.stderr() };
        };
        const site = join(folder.path, "site");
        const made = await run(folder.path, "init", site, "for=apache-shared");
        assert.equal(made.code, 0, made.text);
        assert.match(made.text, /deno task compile --target linux-x64\n/);
        assert.deepEqual(readdirSync(site).map((file) => file.replace(/-\w+\.php/, "-….php")).sort(), [
          ".htaccess",
          ".htmysite.key",
          "doctor-….php",
          "mysite.ts",
        ]);
        // What is here is what is to be uploaded, and has no modes.
        writeFileSync(join(site, "mysite.fcgi"), "for the host");
        mkdirSync(join(folder.path, "elsewhere"));
        for (const cwd of [site, join(folder.path, "elsewhere")]) {
          const { port } = server.address() as AddressInfo;
          const { code, text } = await run(cwd, "doctor", `url=http://127.0.0.1:${port}/`);
          assert.match(text, /^not checked +files +because this computer is not the host/m);
          assert.match(text, /^ok +web server /m);
          assert.doesNotMatch(text, /program file|memory/);
          assert.equal(code, 0, text);
        }
      } finally {
        server.closeAllConnections();
        server.close();
        folder.remove();
      }
    });
  }
});
