/**
 * One program for all processes of a site. A keeper runs it, a process of its own, which the processes of the site are
 * connected to for as long as they live. The first of them starts it, and it ends behind the last.
 *
 * The keeper tells how the program fares, one JSON text a line.
 *
 * @module
 */
import { lstatSync, mkdirSync, rmdirSync, rmSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { withLock } from "../runtime/lock.ts";
import type { Address } from "../runtime/socket.ts";
import { ExecProcess, type ExecRunner, type ExecState } from "./exec_process.ts";

/** Milliseconds that a keeper has to come up, and that it waits for its first user. */
const START_MS = 10_000;
/** Milliseconds between two attempts to reach it. */
const AGAIN_MS = 25;
/** Milliseconds that a keeper waits for another user: web servers replace all processes at once. */
const LINGER_MS = 1000;

/** What the keeper tells. */
interface Told {
  state: ExecState;
  failure: string;
  address: Address | undefined;
}

/**
 * Runs a program until nobody uses it any more, or until `stopped` settles.
 *
 * @param path the socket on which the processes of the site connect, in a folder that is theirs alone
 * @param grace seconds that the program has to end
 */
export async function keepProgram(
  command: string,
  path: string,
  log: (text: string) => void,
  grace: number,
  stopped: Promise<void>,
): Promise<void> {
  const program = new ExecProcess(command, log);
  const users = new Set<Socket>();
  let asked = false;
  let wake = () => {};
  let timer = setTimeout(() => wake(), START_MS);
  const tell = (user: Socket) => {
    const { state, failure, address } = program;
    user.write(`${JSON.stringify({ state, failure, address } satisfies Told)}\n`);
  };
  program.onChange = () => {
    for (const user of users) tell(user);
  };
  const server = createServer((user) => {
    clearTimeout(timer);
    users.add(user);
    user.on("error", () => {});
    user.once("close", () => {
      users.delete(user);
      if (users.size > 0) return;
      clearTimeout(timer);
      timer = setTimeout(() => wake(), LINGER_MS);
    });
    // Its end is looked for, and nothing else.
    user.resume();
    tell(user);
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(path, resolve));
  program.start();
  for (let over = false; !over;) {
    await new Promise<void>((resolve) => {
      wake = resolve;
      stopped.then(() => {
        asked = true;
        resolve();
      });
    });
    // Nobody connects while it is decided.
    over = await withLock(path, undefined, () => {
      if (users.size > 0 && !asked) return false;
      rmSync(path, { force: true });
      return true;
    });
  }
  clearTimeout(timer);
  server.close();
  for (const user of users) user.destroy();
  await program.stop(grace);
  try {
    rmdirSync(dirname(path));
  } catch {
    // Another keeper is in it by now.
  }
}

/** The program of all processes of a site, as one of them sees it. */
export class SharedProgram implements ExecRunner {
  readonly #path: string;
  readonly #startKeeper: () => void;
  readonly #log: (text: string) => void;
  #told: Told = { state: "starting", failure: "", address: undefined };
  #settled = Promise.withResolvers<void>();
  #keeper: Socket | undefined;
  #stopped = false;

  /**
   * @param path the keeper's socket, in a folder that is made for it
   * @param startKeeper starts a process that calls {@linkcode keepProgram}
   */
  constructor(path: string, startKeeper: () => void, log: (text: string) => void) {
    this.#path = path;
    this.#startKeeper = startKeeper;
    this.#log = log;
  }

  get state(): ExecState {
    return this.#told.state;
  }

  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  get failure(): string {
    return this.#told.failure;
  }

  get address(): Address | undefined {
    return this.#told.address;
  }

  start(): void {
    this.#follow();
  }

  /** Follows one keeper after another. */
  async #follow(): Promise<void> {
    while (!this.#stopped) {
      try {
        const keeper = this.#keeper = await this.#join();
        if (this.#stopped) keeper.destroy();
        await this.#listen(keeper);
        this.#tell({ ...this.#told, state: "starting" });
      } catch (error) {
        const failure = `The program that all processes share cannot be started: ${(error as Error).message}`;
        if (failure !== this.#told.failure) this.#log(failure);
        this.#tell({ state: "failed", failure, address: undefined });
        await delay(LINGER_MS);
      }
    }
  }

  async #join(): Promise<Socket> {
    const path = this.#path;
    const running = await connected(path);
    if (running) return running;
    makePrivateFolder(dirname(path));
    return await withLock(path, undefined, async () => {
      const faster = await connected(path);
      if (faster) return faster;
      rmSync(path, { force: true });
      this.#startKeeper();
      for (const deadline = Date.now() + START_MS; Date.now() < deadline; await delay(AGAIN_MS)) {
        const started = await connected(path);
        if (started) return started;
      }
      throw new Error(`the process that runs it did not come up within ${START_MS / 1000} s`);
    });
  }

  /** Resolves when the keeper is gone. */
  async #listen(keeper: Socket): Promise<void> {
    keeper.on("error", () => {});
    const lines = createInterface({ input: keeper });
    lines.on("line", (line) => this.#tell(JSON.parse(line)));
    lines.on("error", () => {});
    if (!keeper.destroyed) await new Promise((resolve) => keeper.once("close", resolve));
    lines.close();
  }

  #tell(told: Told): void {
    const settled = this.#told.state !== "starting";
    // The same as long as it is: connections are kept to it.
    const address = JSON.stringify(told.address) === JSON.stringify(this.#told.address) ? this.#told.address : told.address;
    this.#told = { ...told, address };
    if (told.state !== "starting") this.#settled.resolve();
    else if (settled) this.#settled = Promise.withResolvers();
  }

  /** Leaves it to the others. */
  stop(): Promise<void> {
    this.#stopped = true;
    this.#keeper?.destroy();
    return Promise.resolve();
  }
}

/** A connection to a Unix socket, `undefined` where nobody listens. */
function connected(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection({ path });
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}

/** @throws {Error} when the folder is there and others may enter it */
function makePrivateFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = lstatSync(folder);
  if (uid !== process.getuid?.() || (mode & 0o170077) !== 0o040000) {
    throw new Error(`the folder "${folder}" is not this user's alone`);
  }
}
