/**
 * One program for all processes of a site. A keeper runs it: a process of its own, to which the processes of the site stay
 * connected for as long as they live. The first of them starts the keeper, which ends after the last has gone.
 *
 * The keeper reports the state of the program, one JSON text a line.
 *
 * @module
 */
import { rmdirSync, rmSync } from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { withLock } from "../runtime/lock.ts";
import { makePrivateFolder } from "../runtime/private_folder.ts";
import type { Address } from "../runtime/socket.ts";
import { ExecProcess, type ExecRunner, type ExecState } from "./exec_process.ts";

/** Milliseconds that a keeper has to come up, and that it waits for its first user. */
const START_MS = 10_000;
/** Milliseconds between two attempts to reach it. */
const AGAIN_MS = 25;
/** Milliseconds that a keeper waits for another user: web servers replace all processes at once. */
const LINGER_MS = 1000;

/** What the keeper reports. */
interface Report {
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
  const report = (user: Socket) => {
    const { state, failure, address } = program;
    user.write(`${JSON.stringify({ state, failure, address } satisfies Report)}\n`);
  };
  program.onChange = () => {
    for (const user of users) report(user);
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
    // Nothing is read from it but its end.
    user.resume();
    report(user);
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
  #report: Report = { state: "starting", failure: "", address: undefined };
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
    return this.#report.state;
  }

  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  get failure(): string {
    return this.#report.failure;
  }

  get address(): Address | undefined {
    return this.#report.address;
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
        this.#update({ ...this.#report, state: "starting" });
      } catch (error) {
        const failure = `The program that all processes share cannot be started: ${(error as Error).message}`;
        if (failure !== this.#report.failure) this.#log(failure);
        this.#update({ state: "failed", failure, address: undefined });
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
    // Only here, so that it takes no memory of other servers.
    const { createInterface } = await import("node:readline");
    const lines = createInterface({ input: keeper });
    lines.on("line", (line) => this.#update(JSON.parse(line)));
    lines.on("error", () => {});
    if (!keeper.destroyed) await new Promise((resolve) => keeper.once("close", resolve));
    lines.close();
  }

  #update(report: Report): void {
    const settled = this.#report.state !== "starting";
    // The same object for the same address: kept connections go by it.
    const address = JSON.stringify(report.address) === JSON.stringify(this.#report.address)
      ? this.#report.address
      : report.address;
    this.#report = { ...report, address };
    if (report.state !== "starting") this.#settled.resolve();
    else if (settled) this.#settled = Promise.withResolvers();
  }

  /** Disconnects; the program runs on for the other processes. */
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
