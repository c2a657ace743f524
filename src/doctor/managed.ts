/**
 * Starts a program as Apache's mod_fcgid does, and reports what happened.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { httpParams } from "../protocol/http/params.ts";
import { bindFor } from "../runtime/listen.ts";
import { prepareDescriptors } from "../runtime/descriptor.ts";
import type { Address } from "../runtime/socket.ts";
import { request } from "../server/client.ts";
import { type Finding, ok, problem, unchecked } from "./finding.ts";
import { okOf, problemOf, say } from "./words.ts";

/** Seconds to wait. */
export interface Patience {
  /** For the answer; mod_fcgid waits 40 s. */
  answer: number;
  /** From TERM to KILL; mod_fcgid's 3 s. */
  end: number;
}

/** The environment: mod_fcgid passes on nothing else unless it is configured to. */
const environment = { PATH: "/usr/local/bin:/usr/bin:/bin" };

/** What the program did. */
export interface ManagedRun {
  findings: Finding[];
  /** All that it wrote on standard output and standard error. */
  output: string;
  /** Its answer: status, and the beginning of the page. */
  answer?: { status: number; text: string };
}

/** Longest part of a page that is shown. */
const MAX_TEXT = 2000;

/**
 * Starts the program with a listening socket on descriptor 0, almost no environment, umask 077 and its own folder as
 * the working directory; asks it for its first page; then asks it to stop.
 *
 * @param command the program's file and its words, if any
 */
export async function runManaged(
  command: readonly [string, ...string[]],
  folder = dirname(command[0]),
  patience: Patience = { answer: 40, end: 3 },
): Promise<ManagedRun> {
  const place = mkdtempSync(join(tmpdir(), "runfcgi-"));
  const address: Address = { transport: "unix", path: join(place, "s") };
  await prepareDescriptors();
  const bound = await bindFor(address);
  // The shell only sets the umask, and is the program from then on.
  const child = spawn("/bin/sh", ["-c", 'umask 077; exec "$@"', "sh", ...command], {
    cwd: folder,
    env: environment,
    stdio: [bound.fd, "pipe", "pipe"],
    detached: true,
  });
  bound.release();
  let output = "";
  for (const stream of [child.stdout!, child.stderr!]) stream.setEncoding("utf8").on("data", (chunk: string) => output += chunk);
  const exited = Promise.withResolvers<{ code: number | null; signal: string | null }>();
  child.once("error", (error) => {
    output += error.message;
    exited.resolve({ code: 127, signal: null });
  });
  child.once("exit", (code, signal) => exited.resolve({ code, signal }));
  const closed = new Promise<void>((resolve) => {
    child.once("close", () => resolve());
    child.once("error", () => resolve());
  });
  try {
    const { answer, failure, took } = await ask(address, command[0], exited.promise, patience.answer);
    const findings: Finding[] = [];
    if (answer === undefined) {
      const { text, fix } = failure!;
      findings.push(problem("answer", text, fix), unchecked("end", "because the program has not answered"));
    } else {
      const values = { status: answer.status, took };
      findings.push(answer.status < 500 ? okOf("answer", "answered", values) : problemOf("answer", "answered", values));
      findings.push(await stop(child.pid!, exited.promise, patience.end));
    }
    return { findings, output, answer };
  } finally {
    kill(-child.pid!, "SIGKILL");
    await Promise.race([closed, pause(1)]);
    rmSync(place, { recursive: true, force: true });
  }
}

type Exit = Promise<{ code: number | null; signal: string | null }>;

async function ask(address: Address, script: string, exited: Exit, seconds: number) {
  const headers = ["Host", "localhost", "User-Agent", "runfcgi doctor"];
  const addresses = { remoteAddress: "127.0.0.1", remotePort: 50000, localAddress: "127.0.0.1", localPort: 80 };
  const params = httpParams({ method: "GET", target: "/", version: "1.1", headers, addresses }, "Apache/2.4 (runfcgi doctor)");
  params.pairs.push("SCRIPT_FILENAME", script);
  const begun = performance.now();
  const abort = new AbortController();
  const asked = request({ address, protocol: "fcgi", params, signal: abort.signal }).then(async ({ head, body }) => {
    const text = (await new Response(body).text()).slice(0, MAX_TEXT);
    return { status: head.status, text };
  });
  // How the program ended says why.
  asked.catch(() => {});
  const ended = exited.then((how) => ({ how }));
  const late = pause(seconds).then(() => "late" as const);
  const first = await Promise.race([asked.catch((error: Error) => error), ended, late]);
  const took = Math.round(performance.now() - begun);
  if (first === "late") {
    abort.abort(new Error("Too late"));
    return { took, failure: say("noAnswer", { seconds }) };
  }
  if (first instanceof Error || "how" in first) {
    const how = first instanceof Error ? await Promise.race([exited, pause(1)]) : first.how;
    return { took, failure: endFailure(how ?? undefined, script, first instanceof Error ? first.message : undefined) };
  }
  return { took, answer: first };
}

function endFailure(how: Awaited<Exit> | undefined, script: string, error: string | undefined): { text: string; fix: string } {
  if (how === undefined) {
    return { text: `the answer is broken: ${error}`, fix: "The program does not speak FastCGI, or speaks it incorrectly." };
  }
  if (how.code === 126) return { text: "the program cannot be executed", fix: `chmod 755 ${script}` };
  if (how.code === 127) {
    return { text: "the program is not there, or its interpreter or loader is not", fix: "See the check of the program file." };
  }
  const ending = how.signal ? `by the signal ${how.signal}` : `with the status ${how.code}`;
  return say("ended", { ending });
}

async function stop(pid: number, exited: Exit, seconds: number): Promise<Finding> {
  const begun = performance.now();
  kill(pid, "SIGTERM");
  const how = await Promise.race([exited, pause(seconds)]);
  if (!how) {
    kill(pid, "SIGKILL");
    return problem(
      "end",
      `the program has not ended ${seconds} s after TERM, and was killed as mod_fcgid does`,
      "Something in the application catches SIGTERM: leave that to runfcgi.",
    );
  }
  const text = `asked by TERM, it ended after ${Math.round(performance.now() - begun)} ms`;
  if (how.code === 0) return ok("end", text);
  return problem(
    "end",
    `${text}, ${how.signal ? `by the signal ${how.signal}` : `with the status ${how.code}`}`,
    "What it wrote is below.",
  );
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}

function pause(seconds: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), seconds * 1000).unref?.());
}
