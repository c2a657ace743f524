/**
 * The process of a program that speaks HTTP: started on an endpoint of ours, started again when it ends, stopped with us.
 *
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createConnection, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { execCommand, expectCommand, listenVariables, openAddresses } from "./exec_command.ts";
import { Guard } from "../runtime/guard.ts";
import { groupOf, processesWith } from "../runtime/proc.ts";
import type { Address } from "../runtime/socket.ts";

/**
 * All runtimes raise their soft limit of descriptors to the hard one, and a child inherits that: programs that use select(2)
 * fail with numbers above 1023, and others close every number there may be. They get what systems start with.
 */
const usualDescriptors = 'n=$(ulimit -S -n); [ "$n" != unlimited ] && [ "$n" -le 1024 ] || ulimit -S -n 1024';

/** Milliseconds from the end of a program to its next start; doubled for each that did not last. */
const FIRST_DELAY_MS = 250;
/** The longest delay, and how long a program has to run for the delay to start again from the first. */
const LONGEST_DELAY_MS = 30_000;
/** Milliseconds between two attempts to connect to a program that starts. */
const PROBE_MS = 25;
/** Milliseconds after which a program that does not accept connections is named in the log. */
const LATE_MS = 10_000;
/** Milliseconds for the last output of a program to arrive, in case a process that it left behind holds the pipe open. */
const LAST_OUTPUT_MS = 1000;
/** Characters of output that the web server's error log gets when a program ends. */
const LAST_OUTPUT = 2000;
/** Variable by which processes of a program are found that have left its group, as daemons do. No option has this name. */
const MARK = "RUNFCGI_EXEC_ID";
/** A line without an end is logged in pieces. */
const MAX_LINE = 16 * 1024;

/** What a program is doing: it is on its way up, it answers, or it ended before it ever did. */
export type ExecState = "starting" | "answering" | "failed";

/** A program that somebody runs. */
export interface ExecRunner {
  readonly state: ExecState;
  /** Resolves when a program that starts answers, or has failed. */
  readonly settled: Promise<void>;
  /** Where it is to listen, another object after each start; `undefined` before the first. */
  readonly address: Address | undefined;
  /** How it ended, and its last lines. */
  readonly failure: string;
  /** Starts the program, and from then on again when it has ended. */
  start(): void;
  /** @param grace seconds that it has to end by itself */
  stop(grace: number): Promise<void>;
}

/** A running program. */
export class ExecProcess implements ExecRunner {
  /** Called when the state or the address is another. */
  onChange: (() => void) | undefined;
  readonly #command: string;
  readonly #log: (text: string) => void;
  readonly #late: number;
  /** Where the program's socket is, if it takes one. */
  #folder: string | undefined;
  #address: Address | undefined;
  #state: ExecState = "starting";
  /** Resolves when the state is no longer "starting". */
  #settled = Promise.withResolvers<void>();
  #failure = "";
  #delay = FIRST_DELAY_MS;
  #restart: ReturnType<typeof setTimeout> | undefined;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #guard: Guard | undefined;
  readonly #mark: string = randomUUID();
  #stopping = false;

  /**
   * @param command what `/bin/sh` is to run; `{socket}` stands for a Unix socket and `{port}` for a port of 127.0.0.1. Both are
   * in variables as well: see {@linkcode listenVariables}
   * @param log gets what the program writes, and how it ended
   * @param late milliseconds after which the log says that it does not accept connections
   * @throws {TypeError} when the command has both
   */
  constructor(command: string, log: (text: string) => void, late = LATE_MS) {
    expectCommand(command);
    this.#command = command;
    this.#log = log;
    this.#late = late;
  }

  get state(): ExecState {
    return this.#state;
  }

  /** Resolves when a program that starts answers, or has failed. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  /** Where it is to listen, another object after each start; `undefined` before the first. */
  get address(): Address | undefined {
    return this.#address;
  }

  /** How it ended, and its last lines. */
  get failure(): string {
    return this.#failure;
  }

  /** Starts the program, and from then on again when it has ended. */
  start(): void {
    const begun = Date.now();
    const ended = this.#run().catch((error) => ({ how: `with an error: ${error.message}`, last: "" }));
    this.#ended = ended.then(({ how, last }) => {
      this.#child = undefined;
      if (!this.#stopping) this.#again(how, last, Date.now() - begun);
    });
  }

  /** Runs the program to its end. Resolves with how that came, and what it wrote last. */
  async #run(): Promise<{ how: string; last: string }> {
    if (this.#command.includes("{socket}")) this.#folder ??= mkdtempSync(join(temporaryFolder(), "runfcgi-"));
    this.#guard ??= new Guard({ folder: this.#folder, mark: `${MARK}=${this.#mark}` });
    const address = this.#address = await this.#newAddress();
    if (this.#stopping) return { how: "", last: "" };
    const at = address.transport === "unix" ? address.path : String(address.port);
    this.onChange?.();
    const command = execCommand(this.#command.replaceAll(/\{(?:socket|port)\}/g, at));
    const child = this.#child = spawn("/bin/sh", ["-c", `${usualDescriptors}; ${command}`], {
      // A group of its own, so that all of it can be stopped, and a terminal's Ctrl-C reaches us alone.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...listenVariables(address), [MARK]: this.#mark },
    });
    const output = new Output(this.#log);
    output.read(child);
    const end = endOf(child);
    const group = -child.pid!;
    if (child.pid) this.#guard?.add(group);
    let running = true;
    this.#probe(address, () => running);
    let how = await end;
    running = false;
    this.#signal("SIGKILL");
    if (this.#killStrays(child.pid) && how === "with exit status 0" && !this.#stopping) {
      how +=
        " and went on in the background, where it was stopped: have it stay in the foreground, without an option such as --daemon";
    }
    this.#guard?.remove(group);
    await Promise.race([output.closed, delay(LAST_OUTPUT_MS, undefined, { ref: false })]);
    output.flush();
    return { how, last: output.last };
  }

  /** A program that has answered gets another chance before visitors are turned away. */
  #again(how: string, last: string, lasted: number): void {
    if (lasted >= LONGEST_DELAY_MS) this.#delay = FIRST_DELAY_MS;
    const failed = this.#state !== "answering";
    this.#failure = `"${this.#command}" ended ${how}${failed ? " before it answered" : ""}`;
    this.#log(`${this.#failure}. It is started again in ${this.#delay / 1000} s`);
    if (last) this.#failure += `. It wrote:\n${last}`;
    if (failed) this.#settle("failed");
    else [this.#state, this.#settled] = ["starting", Promise.withResolvers()];
    this.onChange?.();
    this.#restart = setTimeout(() => this.start(), this.#delay);
    this.#delay = Math.min(2 * this.#delay, LONGEST_DELAY_MS);
  }

  #settle(state: ExecState): void {
    this.#state = state;
    this.#settled.resolve();
    this.onChange?.();
  }

  async #probe(address: Address, running: () => boolean): Promise<void> {
    const begun = Date.now();
    for (let told = false; running();) {
      if (await connects(address)) {
        if (!running()) return;
        this.#settle("answering");
        return this.#warn(address);
      }
      if (!told && Date.now() - begun >= this.#late) {
        told = true;
        const where = address.transport === "unix"
          ? `on the socket "${address.path}". It has to listen there: {socket} in the command stands for it`
          : `on ${address.hostname}:${address.port}. It has to listen there: {port} in the command stands for the port, which is in PORT, too`;
        this.#log(`"${this.#command}" has been running for ${this.#late / 1000} s, and accepts no connections ${where}`);
      }
      await delay(PROBE_MS, undefined, { ref: false });
    }
  }

  /** Anybody who reaches the program directly can forge what we say about the visitor. */
  #warn(address: Address): void {
    const open = address.transport === "tcp" ? openAddresses(address.port) : [];
    if (open.length === 0) return;
    this.#log(
      `"${this.#command}" listens on ${open.join(" and ")}, so clients that bypass the web server can forge ` +
        "X-Forwarded-For and similar headers. Have it listen on 127.0.0.1 only, or on {socket}",
    );
  }

  /** Kills what the program has started outside of its group, where the system has /proc. Returns whether there was any. */
  #killStrays(group: number | undefined): boolean {
    const mark = `${MARK}=${this.#mark}`;
    const found = new Set<number>();
    // More than once, since one that ends may start another before it does.
    for (let i = 0; i < 3; i++) {
      for (const pid of processesWith(mark)) {
        try {
          if (groupOf(pid) !== group) found.add(pid);
          process.kill(pid, "SIGKILL");
        } catch {
          // It has just ended.
        }
      }
    }
    return found.size > 0;
  }

  async #newAddress(): Promise<Address> {
    if (this.#folder === undefined) return { transport: "tcp", hostname: "127.0.0.1", port: await freePort() };
    const path = join(this.#folder, "http.sock");
    // What a program that was killed left behind keeps many from listening.
    rmSync(path, { force: true });
    return { transport: "unix", path };
  }

  /** Tells all processes of the program. */
  #signal(signal: "SIGTERM" | "SIGKILL"): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // None is left.
    }
  }

  /**
   * Stops the program for good.
   *
   * @param grace seconds that it has to end by itself
   */
  async stop(grace: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    this.#signal("SIGTERM");
    const late = setTimeout(() => this.#signal("SIGKILL"), grace * 1000);
    await this.#ended;
    clearTimeout(late);
    this.#guard?.close();
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** How a process ended, in words. */
function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(`with an error: ${error.message}`));
    child.once("exit", (code, signal) => resolve(signal === null ? `with exit status ${code}` : `by ${signal}`));
  });
}

/** Logs what a process writes, line by line, and keeps the end of it. */
class Output {
  readonly #log: (text: string) => void;
  readonly #unfinished: string[] = [];
  last = "";
  closed: Promise<unknown> = Promise.resolve();

  constructor(log: (text: string) => void) {
    this.#log = log;
  }

  read({ stdout, stderr }: ChildProcess): void {
    const streams = [stdout, stderr].filter((stream) => stream !== null);
    streams.forEach((stream, i) => {
      this.#unfinished[i] = "";
      stream.setEncoding("utf8").on("data", (text: string) => this.#take(i, text));
      stream.on("error", () => {});
    });
    this.closed = Promise.all(streams.map((stream) => new Promise<void>((resolve) => stream.once("close", resolve))));
  }

  #take(i: number, text: string): void {
    const whole = this.#unfinished[i] + text;
    const end = whole.lastIndexOf("\n") + 1 || (whole.length > MAX_LINE ? whole.length : 0);
    this.#unfinished[i] = whole.slice(end);
    if (end > 0) this.#write(whole.slice(0, end));
  }

  #write(lines: string): void {
    this.#log(lines);
    this.last = (this.last + lines).slice(-LAST_OUTPUT);
  }

  /** Logs lines without an end. */
  flush(): void {
    this.#unfinished.forEach((line, i) => {
      if (line) this.#write(line);
      this.#unfinished[i] = "";
    });
  }
}

/** Where a folder's path is short enough for a socket in it and plain enough for a shell. */
export function temporaryFolder(): string {
  const folder = tmpdir();
  return /^[\w./-]{1,70}$/.test(folder) ? folder : "/tmp";
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

function connects(address: Address): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(connectOptions(address));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** An address as `node:net` takes it. */
export function connectOptions(address: Address): { path: string } | { host: string; port: number } {
  return address.transport === "unix" ? { path: address.path } : { host: address.hostname, port: address.port };
}
