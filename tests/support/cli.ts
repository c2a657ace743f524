/**
 * What tests of the program need: folders with an application, the program started in one, and questions to it.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { after } from "node:test";
import { removeFolder, temporaryFolder } from "./folder.ts";
import { askAt, askPort } from "./managed.ts";
import {
  type Endpoint,
  guardGroup,
  isRunning,
  program,
  type Running,
  start,
  type StartOptions,
  startServing,
} from "./program.ts";

export { run } from "./words.ts";

const folder = temporaryFolder("runfcgi-cli-");
/** What a failed test leaves running. */
const left: { stop(): Promise<void> }[] = [];

/** To be called once in each test file: ends what its tests leave, and removes their folders. */
export function cleanUp(): void {
  after(async () => {
    await Promise.all(left.map((running) => running.stop()));
    removeFolder(folder);
  });
}

/** Ends what is left of it in the end, too. */
export function leave<T extends { stop(): Promise<void> }>(running: T): T {
  left.push(running);
  return running;
}

export function launch(words: readonly string[], options?: StartOptions): Running {
  const running = start(words, options);
  left.push(running);
  return running;
}

/** The program on an endpoint, once it accepts there. */
export async function serving(...args: Parameters<typeof startServing>): Promise<Running> {
  const running = await startServing(...args);
  left.push(running);
  return running;
}

let folders = 0;
/** A new folder with these files. */
export function site(files: Record<string, string> = {}): string {
  const path = join(folder, String(folders++));
  // Bun runs all test files in one process, and the first has removed the folder.
  mkdirSync(path, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), text);
  }
  return path;
}

/** Asks an endpoint. */
export function ask(where: Endpoint, path?: string, more?: Record<string, string>): ReturnType<typeof askAt> {
  return "socket" in where ? askAt({ transport: "unix", path: where.socket }, path, more) : askPort(where.port, path, more);
}

/** Runs the program for one request of CGI. */
export async function cgi(cwd: string, words: readonly string[] = [], environment: Record<string, string> = {}, body = "") {
  const [file, ...first] = program().command;
  const usual = { GATEWAY_INTERFACE: "CGI/1.1", REQUEST_METHOD: "GET", REQUEST_URI: "/", HTTP_HOST: "localhost" };
  const env = { ...process.env, ...usual, ...environment };
  const child = spawn(file, [...first, ...words], { cwd, env, stdio: ["pipe", "pipe", "ignore"] });
  // It may end without reading it.
  child.stdin.on("error", () => {});
  child.stdin.end(body);
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { text, code };
}

/** The names in a folder; none where it is not there. */
export function tryList(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** What a file holds, `undefined` if it is not there; a socket counts as empty. */
export function tryRead(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? undefined : "";
  }
}

/** Kills the server that a pidfile names, and all its processes, in the end. */
export function killInTheEnd(pidfile: string): number {
  const pid = Number(tryRead(pidfile));
  const guard = guardGroup(pid);
  const stop = () => {
    // By then the number can be that of somebody else's process.
    if (processesIn(folder).includes(pid)) process.kill(-pid, "SIGKILL");
    guard?.kill("SIGKILL");
    return Promise.resolve();
  };
  left.push({ stop });
  return pid;
}

/** An application that answers with its path. */
export const hello =
  `export default { fetch(request: Request): Response { return new Response("hello " + new URL(request.url).pathname); } };\n`;

/** An application whose requests for `/wait` last until there is a file `go` beside it. */
export const waiting = `import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
const file = (name: string) => join(import.meta.dirname!, name);
export default async (request: Request) => {
  if (!request.url.endsWith("/wait")) return new Response(String(process.pid));
  writeFileSync(file("begun"), "");
  while (!existsSync(file("go"))) await new Promise((resolve) => setTimeout(resolve, 5));
  return new Response("finished");
};
`;

/** Processes whose working directory is in a folder, or whose command line names it. */
export function processesIn(folder: string): number[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      const here = readlinkSync(`/proc/${pid}/cwd`).startsWith(folder) ||
        readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(folder);
      return here && isRunning(pid);
    } catch {
      return false;
    }
  });
}
