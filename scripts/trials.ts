/**
 * Trials at full size: `deno task trials [names] [--only=bun,node,deno,binary] [--full]`. Each prints what it counted, and
 * fails where something was lost that may not be. Without `--full`, slow requests take 3 s and loops are short.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { lstatSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Params } from "../src/protocol/params.ts";
import { request } from "../src/server/client.ts";
import { descendants } from "../tests/support/processes.ts";
import { isRunning, type Running, start, until } from "../tests/support/program.ts";
import { own } from "./bench/servers.ts";

const app = `
import process from "node:process";
export default async (request) => {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === "/loop") for (;;);
  if (pathname === "/send") process.send?.(searchParams.get("what") === "null" ? null : {});
  if (pathname === "/slow") await new Promise((resolve) => setTimeout(resolve, Number(searchParams.get("ms"))));
  return new Response("hello");
};
`;

interface Trial {
  command: readonly string[];
  runtime: string;
  folder: string;
  socket: string;
  full: boolean;
}

/** What a trial found; it has failed where there is a fault. */
interface Outcome {
  text: string;
  faults: string[];
}

/** Starts the program in the folder of a trial and waits until it serves. */
async function serve({ command, folder, socket }: Trial, words: readonly string[], before = ""): Promise<Running> {
  const limited = before === "" ? command : ["/bin/sh", "-c", `${before}; exec "$@"`, "sh", ...command];
  const running = start([...limited, "app.ts", `socket=${socket}`, "watch=false", ...words], { cwd: folder });
  await until(`it serves:\n${running.stderr()}`, () => running.stderr().includes("serving ")).catch((error) => {
    throw new Error(`${error.message}: ${running.stderr()}`);
  });
  return running;
}

/** Asks once; `undefined` for the right answer, or what came in its place. */
async function ask(path: string, socket: string): Promise<string | undefined> {
  const params = { REQUEST_METHOD: "GET", REQUEST_URI: path, HTTP_HOST: "localhost", SERVER_PROTOCOL: "HTTP/1.1" };
  try {
    const { head, body } = await request({
      address: { transport: "unix", path: socket },
      protocol: "fcgi",
      params: Params.from(Object.entries(params)),
    });
    const text = await new Response(body).text();
    return head.status === 200 && text === "hello" ? undefined : `status ${head.status}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
  }
}

/** Different failures, with their numbers. */
function faultsOf(what: string, answers: readonly (string | undefined)[]): string[] {
  const counts = new Map<string, number>();
  for (const answer of answers) if (answer !== undefined) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  return [...counts].map(([answer, count]) => `${count} of ${answers.length} ${what}: ${answer}`);
}

/** 10,000 requests under `ulimit -n 64`, beside 500 connections that say nothing. */
async function descriptors(trial: Trial): Promise<Outcome> {
  // Deno refuses to start with fewer.
  const limit = trial.runtime === "deno" ? 128 : 64;
  const running = await serve(trial, ["threads=1"], `ulimit -n ${limit}`);
  const idle: Socket[] = [];
  try {
    for (let i = 0; i < 500; i++) {
      const socket = createConnection(trial.socket);
      socket.on("error", () => {});
      idle.push(socket);
      // The kernel lets 512 wait.
      if (i % 50 === 0) await delay(20);
    }
    const answers: (string | undefined)[] = [];
    const count = 10_000;
    await Promise.all(Array.from({ length: 16 }, async () => {
      while (answers.length < count) answers.push(await ask("/", trial.socket));
    }));
    return {
      text: `${answers.length} requests under ulimit -n ${limit}, 500 idle connections`,
      faults: faultsOf("lost", answers),
    };
  } finally {
    for (const socket of idle) socket.destroy();
    await running.stop();
  }
}

/** 200 slow requests through 10 reloads, 10 recyclings and a restart. */
async function slow(trial: Trial): Promise<Outcome> {
  const { command, folder, socket, full } = trial;
  const ms = full ? 40_000 : 3000;
  const run = async (...words: string[]) => {
    const running = start([...command, ...words], { cwd: folder });
    const { code } = await running.exit;
    if (code !== 0) throw new Error(`${words[0]}: ${running.stderr()}`);
  };
  const words = ["threads=2", "grace=60", "maxrequests=400", "watch=false", "errlog=log"];
  await run("app.ts", `socket=${socket}`, "pidfile=pid", ...words);
  try {
    const slowly = Array.from({ length: 200 }, () => ask(`/slow?ms=${ms}`, socket));
    await delay(500);
    const quick: (string | undefined)[] = [];
    let over = false;
    const crowd = Array.from({ length: 4 }, async () => {
      while (!over) {
        quick.push(await ask("/", socket));
        await delay(1);
      }
    });
    for (let i = 0; i < 10; i++) await run("reload", "pidfile=pid");
    const recycled = () => readFileSync(join(folder, "log"), "utf8").match(/is replaced: it has served/g)?.length ?? 0;
    await until("workers were recycled", () => recycled() >= 10, 60);
    await run("restart", "pidfile=pid");
    over = true;
    await Promise.all(crowd);
    const answers = await Promise.all(slowly);
    return {
      text: `200 requests of ${ms / 1000} s and ${quick.length} quick ones, 10 reloads, ${recycled()} recyclings, a restart`,
      faults: [...faultsOf("slow ones", answers), ...faultsOf("quick ones", quick)],
    };
  } finally {
    await run("stop", "pidfile=pid", "grace=1");
  }
}

/** All processes are stopped for longer than a silent worker would be left alone, and go on. */
async function frozen(trial: Trial): Promise<Outcome> {
  const faults: string[] = [];
  for (const words of [["threads=2"], ["method=prefork", "minspare=2"]]) {
    const running = await serve(trial, [...words, "timeout=1"]);
    try {
      const all = descendants(running.pid);
      for (const pid of all) process.kill(pid, "SIGSTOP");
      await delay(6000);
      for (const pid of all) process.kill(pid, "SIGCONT");
      await delay(1500);
      faults.push(...faultsOf("after the pause", await Promise.all(Array.from({ length: 20 }, () => ask("/", trial.socket)))));
      if (/no sign of life|ended with|exited with|was killed/.test(running.stderr())) faults.push(running.stderr());
      if (!all.every(isRunning)) faults.push("a process is gone");
    } finally {
      await running.stop();
    }
  }
  return { text: "SIGSTOP of all for 6 s, with threads and with processes", faults };
}

/**
 * One worker loops: what others wait, beside what they wait while another program loops, which takes a processor as well. Both
 * by turns, so that what else the machine does lengthens both.
 */
async function loop(trial: Trial): Promise<Outcome> {
  const faults: string[] = [];
  const texts: string[] = [];
  for (const words of [["threads=3"], ["method=prefork", "minspare=3", "maxspare=3", "concurrency=1"]]) {
    const running = await serve(trial, [...words, "timeout=2"]);
    /** Milliseconds of all answers. */
    const waits = { alone: [] as number[], control: [] as number[], beside: [] as number[] };
    const measure = async (times: number[]) => {
      for (const end = Date.now() + 1200; Date.now() < end;) {
        const begun = performance.now();
        const answer = await Promise.race([ask("/", trial.socket), delay(1000, "waited a second")]);
        if (answer !== undefined) faults.push(`${words[0]}: ${answer}`);
        times.push(performance.now() - begun);
        await delay(5);
      }
    };
    try {
      await measure([]);
      for (let round = 1; round <= (trial.full ? 12 : 3); round++) {
        await measure(waits.alone);
        const other = spawn("/bin/sh", ["-c", "while :; do :; done"], { stdio: "ignore" });
        try {
          await delay(200);
          await measure(waits.control);
        } finally {
          other.kill("SIGKILL");
        }
        const looping = ask("/loop", trial.socket);
        // Who connects in the same moment may be with the same thread, and waits as long as that lives.
        await delay(200);
        await measure(waits.beside);
        await until("it is told", () => (running.stderr().match(/\/loop/g)?.length ?? 0) >= round, 30);
        await looping;
        const after = await ask("/", trial.socket);
        if (after !== undefined) faults.push(after);
      }
      const p99 = (times: number[]) => times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)];
      const [alone, control, beside] = [waits.alone, waits.control, waits.beside].map(p99);
      const ms = (time: number) => `${time.toFixed(1)} ms`;
      texts.push(
        `${words[0]}: p99 ${ms(alone)} alone, ${ms(control)} beside another program that loops, ${ms(beside)} beside a loop, ` +
          `${(beside / control).toFixed(2)} times the former`,
      );
    } finally {
      await running.stop();
    }
  }
  return { text: texts.join("; "), faults: faultsOf("beside a loop", faults) };
}

/** Two starts at the same moment on one socket: one of them serves, and the other says why not. */
async function starts(trial: Trial): Promise<Outcome> {
  const count = trial.full ? 200 : 20;
  const faults: string[] = [];
  for (let i = 0; i < count; i++) {
    const two = [0, 1].map(() =>
      start(
        [...trial.command, "app.ts", `socket=${trial.socket}`, "threads=1", "watch=false", "pidfile=pid", "daemonize=false"],
        {
          cwd: trial.folder,
        },
      )
    );
    const serves = (running: Running) => running.stderr().includes("serving ");
    const refused = (running: Running) => /a running server listens there|names the running process/.test(running.stderr());
    try {
      await until("both have said something", () => two.every((running) => serves(running) || refused(running)), 30);
      const serving = two.filter(serves).filter((running) => !refused(running));
      if (serving.length !== 1) faults.push(`${serving.length} serve`);
      else {
        const answer = await ask("/", trial.socket);
        if (answer !== undefined) faults.push(answer);
      }
    } catch (error) {
      faults.push((error as Error).message);
    } finally {
      await Promise.all(two.map((running) => running.stop()));
    }
  }
  return { text: `two starts at once, ${count} times`, faults: faultsOf("starts", faults) };
}

/** Somebody swaps the socket for a link while root starts with `user=`: nothing outside is changed. */
async function sockets(trial: Trial): Promise<Outcome> {
  if (process.getuid!() !== 0) return { text: "skipped: needs root", faults: [] };
  const count = trial.full ? 200 : 20;
  const outside = join(trial.folder, "outside");
  const faults: string[] = [];
  writeFileSync(outside, "root's", { mode: 0o600 });
  const place = mkdtempSync(join(tmpdir(), "runfcgi-trial-user-"));
  const socket = join(place, "s");
  const chown = spawn("chown", ["nobody", place]);
  await new Promise((resolve) => chown.once("exit", resolve));
  let over = false;
  const swapping = (async () => {
    for (let i = 0; !over; i++) {
      try {
        symlinkSync(outside, join(place, "link"));
        renameSync(join(place, "link"), socket);
      } catch {
        // It is there already.
      }
      await delay(i % 3);
    }
  })();
  try {
    for (let i = 0; i < count; i++) {
      const words = ["app.ts", `socket=${socket}`, "user=nobody", "mode=0666", "threads=1", "watch=false"];
      const running = start([...trial.command, ...words], { cwd: trial.folder });
      await Promise.race([
        running.exit,
        until("it has decided", () => /serving |annot/.test(running.stderr()), 30).catch(() => {}),
      ]);
      await running.stop();
      const { mode, uid } = lstatSync(outside);
      if ((mode & 0o777) !== 0o600 || uid !== 0 || readFileSync(outside, "utf8") !== "root's") {
        faults.push("a file outside was changed");
      }
    }
  } finally {
    over = true;
    await swapping;
    rmSync(place, { recursive: true, force: true });
  }
  return { text: `a link in the place of the socket, ${count} starts`, faults: faultsOf("starts", faults) };
}

/** An application sends the supervisor what it does not know, in reloads. */
async function messages(trial: Trial): Promise<Outcome> {
  const count = trial.full ? 200 : 20;
  const running = await serve(trial, ["method=prefork", "minspare=2", "maxspare=2"]);
  const answers: (string | undefined)[] = [];
  try {
    for (let i = 0; i < count; i++) {
      running.kill("SIGHUP");
      const paths = ["/send?what=null", "/send", "/", "/"];
      answers.push(...await Promise.all(paths.map((path) => ask(path, trial.socket))));
    }
    if (!isRunning(running.pid)) answers.push("the supervisor is gone");
  } finally {
    await running.stop();
  }
  return { text: `messages of the application in ${count} reloads`, faults: faultsOf("requests", answers) };
}

/** MiB of processes and all that they started; what several share is divided among them. */
function memoryOf(servers: readonly Running[]): number {
  const kib = servers.flatMap(({ pid }) => descendants(pid)).map((pid) => {
    try {
      return Number(/^Pss: +(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]);
    } catch {
      return 0;
    }
  });
  return kib.reduce((sum, one) => sum + one, 0) / 1024;
}

/** 50 sites, awake and asleep: their memory, 10,000 requests over all, and a reload of all meanwhile. */
async function sites(trial: Trial): Promise<Outcome> {
  const count = 50;
  const faults: string[] = [];
  const texts: string[] = [];
  for (const words of [[], ["idleexit=2"]]) {
    const sockets = Array.from({ length: count }, (_, i) => `${trial.socket}${i}`);
    const servers: Running[] = [];
    const all = (what: string, condition: (server: Running) => boolean) => until(what, () => servers.every(condition), 120);
    const sleeping = ({ stderr }: Running) => stderr().includes("no worker runs");
    try {
      for (const socket of sockets) servers.push(await serve({ ...trial, socket }, ["threads=1", ...words]));
      if (words.length > 0) {
        await all("all sleep", sleeping);
        await until("their workers have ended", () => servers.every(({ pid }) => descendants(pid).length <= 3), 30);
      }
      const idle = memoryOf(servers);
      const waits: number[] = [];
      for (const socket of sockets) {
        const begun = performance.now();
        faults.push(...faultsOf("first requests", [await ask("/", socket)]));
        waits.push(performance.now() - begun);
      }
      waits.sort((a, b) => a - b);
      const answers: (string | undefined)[] = [];
      let asked = 0;
      const load = Array.from({ length: 16 }, async () => {
        while (asked < 10_000) answers.push(await ask("/", sockets[asked++ % count]));
      });
      await until("a third is answered", () => answers.length > 3000, 120);
      for (const server of servers) server.kill("SIGHUP");
      await Promise.all(load);
      await all("all have reloaded", ({ stderr }) => stderr().includes("Reloaded: "));
      faults.push(...faultsOf("requests", answers));
      const first = `the first request of each ${waits[count / 2].toFixed(0)} ms (at most ${waits[count - 1].toFixed(0)})`;
      texts.push(
        `${words.length > 0 ? "asleep" : "awake"} ${
          idle.toFixed(0)
        } MiB, ${first}, ${answers.length} requests and a reload of all, ` +
          `then ${memoryOf(servers).toFixed(0)} MiB`,
      );
    } finally {
      await Promise.all(servers.map((server) => server.stop()));
    }
  }
  return { text: `${count} sites: ${texts.join("; ")}`, faults };
}

const trials = { descriptors, slow, frozen, loop, starts, sockets, messages, sites };

const { values: { only, full = false }, positionals } = parseArgs({
  options: { only: { type: "string" }, full: { type: "boolean" } },
  allowPositionals: true,
});
const programs = own.filter(({ id }) => only === undefined || only.split(",").includes(id));
let failed = 0;
for (const [name, run] of Object.entries(trials).filter(([name]) => positionals.length === 0 || positionals.includes(name))) {
  for (const { id, command } of programs) {
    const folder = mkdtempSync(join(tmpdir(), "runfcgi-trial-"));
    writeFileSync(join(folder, "app.ts"), app);
    const outcome = await run({ command: command(), runtime: id, folder, socket: join(folder, "s"), full }).catch((
      error: Error,
    ) => ({
      text: "stopped",
      faults: [error.message],
    }));
    failed += outcome.faults.length;
    const verdict = outcome.faults.length === 0 ? "ok" : `FAILED: ${outcome.faults.join("; ")}`;
    process.stdout.write(`${name.padEnd(12)} ${id.padEnd(7)} ${outcome.text}: ${verdict}\n`);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
process.exit(failed > 0 ? 1 : 0);
