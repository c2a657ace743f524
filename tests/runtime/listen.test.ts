import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createConnection, createServer, type Server, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import process from "node:process";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { describeDescriptor } from "../../src/runtime/descriptor.ts";
import { listen, ListenError, type ListenOptions } from "../../src/runtime/listen.ts";
import type { Accept, Address, Endpoint, Listener } from "../../src/runtime/socket.ts";
import type { ServeEndpoint, ServeOptions } from "../../src/server/options.ts";
import { serve } from "../../src/server/serve.ts";
import { ask, folder, gate, soon } from "../support/peer.ts";
import { type Running, start, until } from "../support/program.ts";

/** The command of a child that serves what it inherits. */
const inheriting = [
  process.execPath,
  ...process.versions.deno ? ["run", "-A", "--no-check"] : [],
  fileURLToPath(new URL("inherited.ts", import.meta.url)),
];
const hasPython = process.env.CI === "true" || ["/usr/bin/python3", "/usr/local/bin/python3"].some((path) => existsSync(path));
const hasIPv6 = Object.values(networkInterfaces()).flat().some((address) => address?.family === "IPv6");

/** Answers each connection with these bytes and closes. */
function greeter(text: string): Accept {
  return (connection) => {
    queueMicrotask(() => {
      connection.write(new TextEncoder().encode(text));
      connection.close();
    });
    return { data() {}, end() {}, drain() {}, close() {} };
  };
}

/** Listens until the end of the block. */
async function open(endpoint: Endpoint, greeting = "hello", options?: ListenOptions): Promise<Listener & Disposable> {
  const { address, close } = await listen(endpoint, greeter(greeting), options);
  return { address, close, [Symbol.dispose]: close };
}

/** What an endpoint greets with; the reason when it cannot be reached. */
function greeting(address: Address): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = createConnection(
    address.transport === "unix" ? { path: address.path } : { host: address.hostname, port: address.port },
  );
  let text = "";
  socket.on("data", (bytes) => text += bytes);
  socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  socket.on("close", () => resolve(text));
  return soon("a greeting", promise);
}

/** The message of the ListenError that an attempt to listen fails with. */
async function refusal(endpoint: Endpoint): Promise<string> {
  try {
    (await listen(endpoint, greeter("")))?.close();
  } catch (error) {
    assert.ok(error instanceof ListenError, `${(error as Error).name}: ${(error as Error).message}`);
    assert.doesNotMatch(error.message, /\n/);
    return error.message;
  }
  throw new Error("It listens");
}

/** A listening server of node:net, until the end of the block. */
async function netServer(where: { path: string } | { host: string; port: number }): Promise<Server & AsyncDisposable> {
  const server = createServer((socket) => socket.end("other"));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, resolve);
  });
  return server as Server & AsyncDisposable;
}

function descriptorOf(holder: Server | Socket): number {
  const { fd } = (holder as unknown as { _handle: { fd?: number } })._handle;
  return fd !== undefined && fd >= 0 ? fd : tcpDescriptor(holder);
}

/** Deno does not tell the descriptor of a TCP socket, but the kernel does. */
function tcpDescriptor(holder: Server | Socket): number {
  const { port } = holder.address() as AddressInfo;
  const remotePort = "remotePort" in holder ? holder.remotePort! : 0;
  const hex = (port: number) => `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  for (const line of `${readFileSync("/proc/net/tcp")}${readFileSync("/proc/net/tcp6")}`.split("\n")) {
    const [, local, remote, , , , , , , inode] = line.trim().split(/\s+/);
    if (!local?.endsWith(hex(port)) || !remote.endsWith(hex(remotePort))) continue;
    const own = readdirSync("/proc/self/fd").find((fd) => linkOf(`/proc/self/fd/${fd}`) === `socket:[${inode}]`);
    if (own !== undefined) return Number(own);
  }
  throw new Error(`No descriptor has the port ${port}`);
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Nobody may listen on it any more, but its file is still there: what a crash leaves. */
async function makeStale(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  renameSync(path, `${path}.kept`);
  await new Promise((resolve) => server.close(resolve));
  renameSync(`${path}.kept`, path);
}

test("of servers that start on one path at the same moment, one has it and the others are told, 200 times", async () => {
  using place = folder();
  const path = place.join("a.sock");
  for (let i = 0; i < 200; i++) {
    if (i % 2 === 1) await makeStale(path);
    const started = await Promise.allSettled([1, 2, 3].map((n) => listen({ transport: "unix", path }, greeter(String(n)))));
    const won = started.filter(({ status }) => status === "fulfilled") as PromiseFulfilledResult<Listener>[];
    const lost = started.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
    assert.deepEqual([won.length, lost.length], [1, 2], `in turn ${i + 1}`);
    for (const { reason } of lost) assert.ok(reason instanceof ListenError && reason.inUse, String(reason));
    assert.equal(await greeting({ transport: "unix", path }), String(1 + started.indexOf(won[0])));
    assert.deepEqual(readdirSync(place.path), ["a.sock"]);
    won[0].value.close();
  }
});

/** Replaces whatever a server is about to rename into place in a folder, as its user might, by a link to a file of root's. */
const swapping = `import process from "node:process";
import { readdirSync, renameSync, symlinkSync, writeSync } from "node:fs";
const [, , folder, victim] = process.argv;
process.setgid(65534);
process.setuid(65534);
writeSync(1, "ready\\n");
for (let i = 0;;) {
  for (const name of readdirSync(folder)) {
    if (!name.startsWith(".s") || name.startsWith(".swapped")) continue;
    try {
      renameSync(folder + "/" + name, folder + "/.swapped" + i++);
      symlinkSync(victim, folder + "/" + name);
      writeSync(1, "x");
    } catch {}
  }
}
`;

test("root changes the permissions and the owner of no other file, whatever the user puts in the socket's place", {
  skip: process.getuid?.() !== 0 && "needs root",
}, async () => {
  using place = folder();
  using outside = folder();
  const [victim, script, path] = [outside.join("victim"), outside.join("swap.ts"), place.join("a.sock")];
  writeFileSync(victim, "", { mode: 0o600 });
  writeFileSync(script, swapping);
  chmodSync(outside.path, 0o755);
  chownSync(place.path, 65534, 65534);
  const runtimeWords = process.versions.deno ? ["run", "-A", "--no-check"] : [];
  const swapper = start([process.execPath, ...runtimeWords, script, place.path, victim]);
  try {
    await until("it runs", () => swapper.stdout().includes("ready"));
    let [swapped, served] = [0, 0];
    for (let i = 0; i < 200; i++) {
      try {
        (await listen({ transport: "unix", path }, greeter(""), { mode: 0o666, owner: { uid: 65534, gid: 65534 } })).close();
        served++;
      } catch (error) {
        assert.ok(error instanceof ListenError);
        swapped++;
      }
      const { mode, uid } = statSync(victim);
      assert.deepEqual([mode & 0o777, uid], [0o600, 0], `after ${i + 1} starts`);
      rmSync(path, { force: true });
    }
    assert.equal(swapped + served, 200);
    await until("it has been told that something was swapped", () => swapper.stdout().includes("x"));
  } finally {
    await swapper.stop();
  }
});

describe("listening on a Unix socket", () => {
  test("accepts on the path, which is a socket, and leaves nothing else beside it", async () => {
    using place = folder();
    using listener = await open({ transport: "unix", path: place.join("a.sock") });
    assert.deepEqual(listener.address, { transport: "unix", path: place.join("a.sock") });
    assert.ok(lstatSync(place.join("a.sock")).isSocket());
    assert.equal(await greeting(listener.address), "hello");
    assert.deepEqual(readdirSync(place.path), ["a.sock"]);
  });

  test("takes a path of the working directory, whatever name the socket has before that", async () => {
    const before = process.cwd();
    using place = folder();
    process.chdir(place.path);
    try {
      // Of random names, one in thirty is a number, which Node and Deno take for a port.
      for (let i = 0; i < 200; i++) (await listen({ transport: "unix", path: "a.sock" }, greeter("")))?.close();
    } finally {
      process.chdir(before);
    }
  });

  test("replaces a socket that nobody listens on any more", async () => {
    using place = folder();
    const path = place.join("a.sock");
    await makeStale(path);
    assert.equal(await greeting({ transport: "unix", path }), "ECONNREFUSED");
    using listener = await open({ transport: "unix", path });
    assert.equal(await greeting(listener.address), "hello");
  });

  test("does not take a path from a running server, and names it", async () => {
    using place = folder();
    const path = place.join("a.sock");
    using first = await open({ transport: "unix", path }, "first");
    assert.equal(
      await refusal({ transport: "unix", path }),
      `Cannot listen on "${path}": a running server listens there. Stop it or choose another path`,
    );
    assert.equal(await greeting(first.address), "first");
  });

  test("does not replace what is no socket", async () => {
    using place = folder();
    const path = place.join("a.txt");
    writeFileSync(path, "precious");
    assert.match(await refusal({ transport: "unix", path }), /^Cannot listen on ".*a\.txt": it exists and is not a socket/);
    mkdirSync(place.join("folder"));
    assert.match(await refusal({ transport: "unix", path: place.join("folder") }), /not a socket/);
    assert.equal(statSync(path).size, 8);
  });

  const noDatagrams = process.versions.bun ? "to Bun, any failure to connect is a refusal" : !hasPython && "there is no Python";
  test("does not replace a socket for datagrams", { skip: noDatagrams }, async () => {
    using place = folder();
    const path = place.join("log");
    const bind = "import socket,sys,time\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(sys.argv[1])\ntime.sleep(60)";
    const logger = start(["python3", "-c", bind, path]);
    await until("there is a socket", () => existsSync(path));
    assert.match(await refusal({ transport: "unix", path }), /a running server listens there/);
    await logger.stop();
  });

  test("names the directory that is missing", async () => {
    using place = folder();
    assert.match(
      await refusal({ transport: "unix", path: place.join("no/a.sock") }),
      /^Cannot listen on ".*\/no\/a\.sock": there is no directory ".*\/no"/,
    );
  });

  test("says so when a part of the path is no directory", async () => {
    using place = folder();
    writeFileSync(place.join("file"), "");
    assert.match(await refusal({ transport: "unix", path: place.join("file/a.sock") }), /^Cannot listen on ".*file\/a\.sock": /);
  });

  test("says how long a path may be", async () => {
    using place = folder();
    const path = place.join("x".repeat(120));
    const most = process.platform === "linux" ? 107 : 103;
    assert.equal(
      await refusal({ transport: "unix", path }),
      `Cannot listen on "${path}": a socket's path has at most ${most} bytes. Choose a shorter one`,
    );
  });

  test("takes a path of the greatest length", { skip: process.platform !== "linux" && "the length is Linux's" }, async () => {
    using place = folder();
    const path = place.join("x".repeat(107 - place.path.length - 1));
    using listener = await open({ transport: "unix", path });
    assert.equal(await greeting(listener.address), "hello");
  });

  for (const mode of [0o600, 0o660, 0o666]) {
    test(`gives the socket the permissions ${mode.toString(8)}`, async () => {
      using place = folder();
      const path = place.join("a.sock");
      using _listener = await open({ transport: "unix", path }, "", { mode });
      assert.equal(statSync(path).mode & 0o777, mode);
    });
  }

  test("removes its file when it closes", async () => {
    using place = folder();
    const listener = await open({ transport: "unix", path: place.join("a.sock") });
    listener.close();
    assert.equal(existsSync(place.join("a.sock")), false);
  });

  test("does not remove the file of a server that has taken its place", async () => {
    using place = folder();
    const path = place.join("a.sock");
    const first = await open({ transport: "unix", path }, "first");
    rmSync(path);
    using second = await open({ transport: "unix", path }, "second");
    first.close();
    assert.equal(await greeting(second.address), "second");
  });

  test("frees its path at once: another listens there right after it has closed", async () => {
    using place = folder();
    const path = place.join("a.sock");
    for (const name of ["first", "second", "third"]) {
      using listener = await open({ transport: "unix", path }, name);
      assert.equal(await greeting(listener.address), name);
    }
  });
});

describe("listening on a TCP port", () => {
  test("takes a port of the kernel's choice and says which", async () => {
    using listener = await open({ transport: "tcp", hostname: "127.0.0.1", port: 0 });
    const { address } = listener;
    assert.ok(address.transport === "tcp" && address.port > 0);
    assert.equal(address.hostname, "127.0.0.1");
    assert.equal(await greeting(address), "hello");
  });

  test("listens on IPv6", { skip: !hasIPv6 && "this machine has no IPv6" }, async () => {
    using listener = await open({ transport: "tcp", hostname: "::1", port: 0 });
    assert.equal(listener.address.transport === "tcp" && listener.address.hostname, "::1");
    assert.equal(await greeting(listener.address), "hello");
  });

  test(
    "listens where it was told to and nowhere else",
    { skip: process.platform !== "linux" && "127.0.0.2 is Linux's" },
    async () => {
      using listener = await open({ transport: "tcp", hostname: "127.0.0.1", port: 0 });
      assert.equal(await greeting({ ...listener.address, hostname: "127.0.0.2" } as Address), "ECONNREFUSED");
    },
  );

  test("says so when the port is in use", async () => {
    using first = await open({ transport: "tcp", hostname: "127.0.0.1", port: 0 });
    const { port } = first.address as { port: number };
    assert.equal(
      await refusal({ transport: "tcp", hostname: "127.0.0.1", port }),
      `Cannot listen on 127.0.0.1:${port}: another program listens there. Stop it or choose another address`,
    );
    assert.equal(await greeting(first.address), "hello");
  });

  test("says so when the machine has no such address", async () => {
    assert.equal(
      await refusal({ transport: "tcp", hostname: "192.0.2.1", port: 0 }),
      "Cannot listen on 192.0.2.1:0: this machine has no such address",
    );
  });

  test("stops accepting when it closes", async () => {
    const listener = await open({ transport: "tcp", hostname: "127.0.0.1", port: 0 });
    assert.equal(await greeting(listener.address), "hello");
    listener.close();
    await until("nobody accepts", async () => await greeting(listener.address) === "ECONNREFUSED");
  });
});

describe("the endpoint in the options", () => {
  const wrong: [string, object][] = [
    ["no endpoint", {}],
    ["a host alone", { host: "localhost" }],
    ["a socket and a port", { socket: "/nowhere/a.sock", port: 0 }],
    ["a port and a descriptor", { port: 0, fd: 0 }],
    ["a socket and a descriptor", { socket: "/nowhere/a.sock", fd: 0 }],
  ];
  for (const [what, options] of wrong) {
    test(`${what} is a TypeError`, async () => {
      await assert.rejects(serve(options as ServeOptions & ServeEndpoint, () => new Response()), TypeError);
    });
  }

  test("a port without a host is on the loopback address", async () => {
    const server = await serve({ port: 0 }, () => new Response());
    assert.equal(server.address.transport === "tcp" && server.address.hostname, "127.0.0.1");
    await server.shutdown();
  });
});

describe("an inherited descriptor", { skip: process.platform === "win32" && "there are none on Windows" }, () => {
  const children: Running[] = [];
  after(() => Promise.all(children.map((running) => running.stop())));

  async function inherit(server: Server, command = inheriting): Promise<Running> {
    const running = start(command, { stdin: descriptorOf(server) });
    children.push(running);
    await until("the child listens", () => running.stdout().includes("\n") || running.stderr());
    return running;
  }

  test("serves a TCP socket that the parent listens on, and knows its address", async () => {
    const server = await netServer({ host: "127.0.0.1", port: 0 });
    const { port } = server.address() as AddressInfo;
    const running = await inherit(server);
    server.close();
    const address = { transport: "tcp", hostname: "127.0.0.1", port } as const;
    assert.equal(running.stdout(), `${JSON.stringify(address)}\n`, running.stderr());
    for (const protocol of ["fcgi", "http", "fcgi"] as const) {
      assert.equal((await ask(address, `/${protocol}`, {}, undefined, protocol)).text, `child: /${protocol}`);
    }
    running.kill("SIGTERM");
    assert.equal((await running.exit).code, 0, running.stderr());
  });

  test("serves a Unix socket that the parent listens on, knows its path and leaves the file", async () => {
    using place = folder();
    const path = place.join("a b.sock");
    const server = await netServer({ path });
    const running = await inherit(server);
    // Closing would remove the file.
    renameSync(path, `${path}.kept`);
    server.close();
    renameSync(`${path}.kept`, path);
    assert.equal(running.stdout(), `${JSON.stringify({ transport: "unix", path })}\n`, running.stderr());
    assert.equal((await ask({ transport: "unix", path }, "/x")).text, "child: /x");
    running.kill("SIGTERM");
    assert.equal((await running.exit).code, 0, running.stderr());
    assert.ok(existsSync(path));
  });

  test("serves descriptor 3, where systemd puts a socket", async () => {
    const server = await netServer({ host: "127.0.0.1", port: 0 });
    const { port } = server.address() as AddressInfo;
    const running = await inherit(server, ["sh", "-c", `exec "$@" 3 3<&0 </dev/null`, "sh", ...inheriting]);
    server.close();
    const address = { transport: "tcp", hostname: "127.0.0.1", port } as const;
    assert.equal(running.stdout(), `${JSON.stringify(address)}\n`, running.stderr());
    assert.equal((await ask(address, "/x")).text, "child: /x");
  });

  test("a descriptor that is no listening socket is refused in words", async () => {
    using place = folder();
    writeFileSync(place.join("file"), "");
    const fd = openSync(place.join("file"), "r");
    assert.equal(
      await refusal({ transport: "fd", fd }),
      `Cannot listen on descriptor ${fd}: it is a file, not a listening socket`,
    );
    closeSync(fd);
    assert.equal(
      await refusal({ transport: "fd", fd: 9999 }),
      "Cannot listen on descriptor 9999: it is closed, not a listening socket",
    );
  });
});

describe("a descriptor in words", { skip: process.platform !== "linux" && "the kernel's tables are Linux's" }, () => {
  function words(path: string, flags = constants.O_RDONLY): string {
    const fd = openSync(path, flags);
    const { listening, what } = describeDescriptor(fd);
    closeSync(fd);
    assert.equal(listening, false);
    return what;
  }

  test("a file, a directory, /dev/null and another device", () => {
    assert.equal(words(fileURLToPath(import.meta.url)), "a file");
    assert.equal(words("/tmp"), "a directory");
    assert.equal(words("/dev/null"), "/dev/null");
    assert.equal(words("/dev/zero"), "a terminal or another device");
    assert.deepEqual(describeDescriptor(9999), { listening: false, what: "closed" });
  });

  test("a pipe", () => {
    using place = folder();
    execFileSync("mkfifo", [place.join("pipe")]);
    assert.equal(words(place.join("pipe"), constants.O_RDWR), "a pipe");
  });

  test("sockets: listening and connected, Unix, IPv4 and IPv6", async () => {
    using place = folder();
    const hosts = hasIPv6 ? ["127.0.0.1", "::1"] : ["127.0.0.1"];
    for (const host of hosts) {
      const server = await netServer({ host, port: 0 });
      const { port } = server.address() as AddressInfo;
      const text = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
      const address = { transport: "tcp", hostname: host, port };
      assert.deepEqual(describeDescriptor(descriptorOf(server)), { listening: true, what: `a TCP socket ${text}`, address });
      const { socket, close } = await connectedTo(server, { host, port });
      assert.equal(describeDescriptor(descriptorOf(socket)).listening, false);
      assert.match(describeDescriptor(descriptorOf(socket)).what, /^a connected TCP socket /);
      close();
    }
    const path = place.join("a b.sock");
    const server = await netServer({ path });
    assert.deepEqual(describeDescriptor(descriptorOf(server)), {
      listening: true,
      what: `a Unix socket ${path}`,
      address: { transport: "unix", path },
    });
    const { socket, close } = await connectedTo(server, { path });
    assert.equal(describeDescriptor(descriptorOf(socket)).listening, false);
    assert.match(describeDescriptor(descriptorOf(socket)).what, /Unix socket/);
    close();
  });

  async function connectedTo(server: Server, where: { path: string } | { host: string; port: number }) {
    const accepted = gate<Socket>();
    server.removeAllListeners("connection");
    server.on("connection", accepted.resolve);
    const socket = createConnection(where);
    const other = await soon("a connection", accepted.promise);
    const close = () => {
      socket.destroy();
      other.destroy();
      server.close();
    };
    return { socket: other, close };
  }

  test("a socket that is not bound", { skip: !hasPython && "there is no Python to make one" }, async () => {
    const launcher = "import socket,subprocess,sys\ns=socket.socket()\nsys.exit(subprocess.call(sys.argv[1:],stdin=s.fileno()))";
    const refused = start(["python3", "-c", launcher, ...inheriting]);
    await refused.exit;
    assert.match(refused.stderr(), /Cannot listen on descriptor 0: it is a socket that is not bound, not a listening socket/);
  });
});

// Permissions do not bind root.
describe("a directory that may not be written to", { skip: process.getuid?.() === 0 && "root may write anywhere" }, () => {
  test("is named", async () => {
    using place = folder();
    mkdirSync(place.join("closed"));
    chmodSync(place.join("closed"), 0o500);
    assert.match(
      await refusal({ transport: "unix", path: place.join("closed/a.sock") }),
      /this user may not write to the directory ".*closed"/,
    );
  });
});
