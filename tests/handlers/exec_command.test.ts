import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, test } from "node:test";
import { execCommand, listenVariables, openAddresses } from "../../src/handlers/exec_command.ts";

describe("the last program of a command takes the shell's place", () => {
  const cases: [command: string, expected: string][] = [
    ["gunicorn mysite.wsgi", "exec gunicorn mysite.wsgi"],
    ["  node server.js", "  exec node server.js"],
    ["A=1 node server.js", "A=1 exec node server.js"],
    [`A="x y" B='z' C= node "server 1.js"`, `A="x y" B='z' C= exec node "server 1.js"`],
    ["cd site && node server.js", "cd site && exec node server.js"],
    [`cd "my site" && NODE_ENV=production node server.js`, `cd "my site" && NODE_ENV=production exec node server.js`],
    ["cd site && npm run build && node server.js", "cd site && npm run build && exec node server.js"],
    ["cd $HOME/site; node server.js", "cd $HOME/site; exec node server.js"],
    ["node server.js >log 2>&1", "exec node server.js >log 2>&1"],
    [`sh -c 'a; b && c' x`, `exec sh -c 'a; b && c' x`],
    ["exec node server.js", "exec node server.js"],
    ["cd site && exec node server.js", "cd site && exec node server.js"],
    ["node server.js | logger", "node server.js | logger"],
    ["if true; then node server.js; fi", "if true; then node server.js; fi"],
    ["(cd site; node server.js)", "(cd site; node server.js)"],
    ["node server.js &", "node server.js &"],
    ["node server.js; echo over", "node server.js; exec echo over"],
  ];
  for (const [command, expected] of cases) test(command, () => assert.equal(execCommand(command), expected));

  test("and has its folder and its variables", () => {
    const command = execCommand(`cd / && A="x y" B=2 sh -c 'echo "$$ $PWD $A $B"'`);
    const { stdout, pid } = spawnSync("/bin/sh", ["-c", command], { encoding: "utf8" });
    assert.equal(stdout, `${pid} / x y 2\n`);
  });
});

test("where to listen is in the variables that programs look at", () => {
  assert.deepEqual(listenVariables({ transport: "unix", path: "/tmp/a.sock" }), {
    SOCKET_PATH: "/tmp/a.sock",
    NITRO_UNIX_SOCKET: "/tmp/a.sock",
  });
  const { PORT, HOST, HOSTNAME, NITRO_HOST, NITRO_PORT, SOCKET_PATH } = listenVariables({
    transport: "tcp",
    hostname: "127.0.0.1",
    port: 3000,
  });
  assert.deepEqual([PORT, NITRO_PORT], ["3000", "3000"]);
  assert.deepEqual([HOST, HOSTNAME, NITRO_HOST], ["127.0.0.1", "127.0.0.1", "127.0.0.1"]);
  assert.equal(SOCKET_PATH, undefined);
});

for (const [host, expected] of [["127.0.0.1", []], ["0.0.0.0", ["0.0.0.0"]], ["::1", []], ["::", ["[::]"]]] as const) {
  test(`a port that is open on ${host}`, async (context) => {
    const server = createServer();
    server.listen(0, host);
    try {
      await once(server, "listening");
    } catch {
      return context.skip("this machine has no IPv6");
    }
    try {
      assert.deepEqual(openAddresses((server.address() as AddressInfo).port), expected);
    } finally {
      server.close();
    }
  });
}
