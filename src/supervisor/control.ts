/**
 * Where a server in the background is queried and controlled: HTTP on a Unix socket beside its pidfile,
 * which only its own user and root can connect to.
 *
 * @module
 */
import { lstatSync, renameSync, rmSync, statSync } from "node:fs";
import { isAbsolute } from "node:path";
import process from "node:process";
import { type Rights, rightsFor } from "../runtime/rights.ts";
import { Params } from "../protocol/params.ts";
import { request } from "../server/client.ts";
import { serveWorker } from "../server/serve.ts";
import type { PoolReport } from "./channel.ts";
import { runningPid } from "./pidfile.ts";
import { withStatus } from "./status.ts";

/** Other arguments to start with, and the working directory they are relative to. */
export interface RestartWords {
  words?: string[];
  cwd?: string;
}

/**
 * What came of something: `error` is why it could not be done, and the server goes on as before; `moved` that another server
 * has taken its place meanwhile, which has to be asked.
 */
export type Result = { text: string } | { error: string } | { moved: true };

/** What can be asked of a server. */
export interface ControlActions {
  /** Name of the application. */
  name: string;
  report(): PoolReport;
  reload(): Promise<Result>;
  restart(words: RestartWords): Promise<Result>;
}

/** Gone: the socket beside the pidfile is another server's by now. */
const MOVED = 410;
/** Servers that are asked one after the other. */
const MOST_MOVES = 10;

/** Bytes of a request's body. */
const MAX_BODY = 256 * 1024;

/** The socket that belongs to a pidfile. */
function controlPath(pidfile: string): string {
  return `${pidfile}.sock`;
}

/**
 * Opens it; call the result to close it.
 *
 * @param owner the user that root works for
 * @throws {Error} when it cannot listen, or when that user could put another socket in its place, and ask root anything
 */
export async function openControl(pidfile: string, actions: ControlActions, owner?: Rights): Promise<() => Promise<void>> {
  const socket = controlPath(pidfile);
  if (rightsFor(socket, owner) !== undefined) throw new Error(`the folder of "${pidfile}" is not root's alone`);
  // No longer than the name that it gets.
  const fresh = `${pidfile}.${crypto.randomUUID().slice(0, 4)}`;
  const pool = () => Promise.resolve(actions.report());
  const server = await serveWorker(
    { socket: fresh, mode: 0o600, protocol: "http", onError: () => {} },
    withStatus({ status: "/status", name: actions.name, pool }, async (request) => {
      const { pathname } = new URL(request.url);
      if (request.method !== "POST") return new Response(null, { status: 404 });
      const body = await request.text();
      if (body.length > MAX_BODY) return new Response(null, { status: 413 });
      switch (pathname) {
        case "/reload":
          return answer(await actions.reload());
        case "/restart":
          return answer(await restart(actions, body));
        default:
          return new Response(null, { status: 404 });
      }
    }),
  );
  const { ino } = lstatSync(fresh);
  // The pidfile is ours, so what is there is of a server that is gone or that is giving its place to this one. Somebody may be
  // about to ask, so there is one at any moment.
  renameSync(fresh, socket);
  return () => {
    if (lstatSync(socket, { throwIfNoEntry: false })?.ino === ino) rmSync(socket, { force: true });
    return server.shutdown(0);
  };
}

/** Restarts with what a body asks for. */
async function restart(actions: ControlActions, body: string): Promise<Result> {
  const words = readRestart(body);
  return words === undefined ? { error: "the arguments of the restart are invalid" } : await actions.restart(words);
}

/** Checks what somebody has sent; `undefined` when it is no {@linkcode RestartWords}. */
export function readRestart(body: string): RestartWords | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body || "{}");
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const { words, cwd } = value as Record<string, unknown>;
  const isText = (text: unknown) => typeof text === "string" && !text.includes("\0");
  if (words !== undefined && !(Array.isArray(words) && words.every(isText))) return undefined;
  if (cwd !== undefined && !(isText(cwd) && isAbsolute(cwd as string))) return undefined;
  return { words: words as string[] | undefined, cwd: cwd as string | undefined };
}

function answer(result: Result): Response {
  if ("moved" in result) return new Response(null, { status: MOVED });
  return "error" in result ? new Response(result.error, { status: 409 }) : new Response(result.text);
}

/**
 * Whether a socket is root's or this user's, or at least that of the server's user: others who may write beside a pidfile
 * could answer in the server's name.
 *
 * @param pid the server, where its user may learn what it is asked
 */
function isTrusted(path: string, pid?: number): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined || !stats.isSocket()) return false;
  const server = pid === undefined ? undefined : statSync(`/proc/${pid}`, { throwIfNoEntry: false });
  return [0, process.getuid?.(), server?.uid].includes(stats.uid);
}

/**
 * Asks the server of a pidfile. `undefined` when there is nobody to ask.
 *
 * @throws {Error} when the answer is not complete
 */
export async function askControl(
  pidfile: string,
  method: "GET" | "POST",
  target: string,
  body?: unknown,
): Promise<{ done: boolean; text: string } | undefined> {
  for (let moves = 0;; moves++) {
    const asked = runningPid(pidfile);
    try {
      const answer = await askOnce(pidfile, method, target, body);
      if (answer?.status !== MOVED || moves === MOST_MOVES) return answer && { done: answer.status === 200, text: answer.text };
    } catch (error) {
      // One that has given its place away may end before it reads the question.
      if (moves === MOST_MOVES || [asked, undefined].includes(runningPid(pidfile))) throw error;
    }
  }
}

async function askOnce(
  pidfile: string,
  method: string,
  target: string,
  body: unknown,
): Promise<{ status: number; text: string } | undefined> {
  const path = controlPath(pidfile);
  if (!isTrusted(path, body === undefined ? runningPid(pidfile) : undefined)) return undefined;
  const bytes = body === undefined ? undefined : new TextEncoder().encode(JSON.stringify(body));
  const params = Params.from(Object.entries({
    REQUEST_METHOD: method,
    REQUEST_URI: target,
    QUERY_STRING: target.split("?")[1] ?? "",
    SERVER_PROTOCOL: "HTTP/1.1",
    HTTP_HOST: "localhost",
    ...bytes && { CONTENT_LENGTH: String(bytes.length), CONTENT_TYPE: "application/json" },
  }));
  try {
    const response = await request({
      address: { transport: "unix", path },
      protocol: "http",
      params,
      body: bytes && (async function* () {
        yield bytes;
      })(),
    });
    return { status: response.head.status, text: await new Response(response.body).text() };
  } catch (error) {
    if (["ENOENT", "ECONNREFUSED", "ENOTSOCK", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}
