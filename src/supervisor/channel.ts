/**
 * The messages between the supervisor and its workers: over Node's own channel between processes, and over their port
 * between threads.
 *
 * @module
 */
import process from "node:process";
import { parentPort } from "node:worker_threads";
import { noCounts, type RequestCounts, type UnderWay } from "../server/monitor.ts";

/** Something that went wrong. */
export interface Incident {
  /** Milliseconds since 1970. */
  at: number;
  text: string;
}

/** The state of one worker, a process or a thread, as it reports it. */
export interface Report {
  pid: number;
  /** Number of the thread in its process, 0 for a process without threads. */
  thread: number;
  /** Seconds since it was started. */
  uptime: number;
  /** Bytes of memory of the whole process. */
  memory: number;
  counts: RequestCounts;
  /** Milliseconds since 1970 when it was made. */
  at: number;
  /** Requests that have begun. */
  begun: number;
  /** Requests under way, the oldest first; not all of very many. */
  underWay: UnderWay[];
  lastError?: Incident;
}

/** All workers as the supervisor sees them, for the status page. */
export interface PoolReport {
  version: string;
  /** Process of the supervisor. */
  pid: number;
  /** Seconds since the supervisor was started. */
  uptime: number;
  /** Workers that ended without being asked to. */
  deaths: number;
  reloads: number;
  lastError?: Incident;
  /** What workers counted that have ended since. */
  past: RequestCounts;
  workers: (Report & { state: "idle" | "busy" | "starting" | "draining" })[];
}

/** Messages from a worker. */
export type FromWorker =
  /** The application is loaded and the endpoint is served. */
  | { type: "ready"; modules: string[] }
  /** The endpoint is served although the application cannot be loaded: visitors get a page that says so. */
  | { type: "standIn"; reason: string; modules: string[] }
  /** The application cannot be loaded, and the worker ends. */
  | { type: "failed"; reason: string; modules: string[] }
  /** Its state: sent when it becomes busy or idle, and every second as a sign of life. */
  | { type: "state"; report: Report }
  /** A process lives whose threads may all be busy. */
  | { type: "alive" }
  /** A thread of a process has ended; what it counted stays. */
  | { type: "gone"; thread: number }
  /**
   * It would like to be replaced; its whole process, unless it has only served enough requests. `stuck`: a thread of it
   * hangs and cannot be ended alone.
   */
  | { type: "expired"; what: "requests" | "memory" | "age" | "stuck"; reason: string }
  /** It takes no more requests and ends on its own. */
  | { type: "leaving"; reason: string }
  /** It listens no more. */
  | { type: "stopped" }
  /** Asks for the {@linkcode PoolReport}, and reports its own state. */
  | { type: "status"; id: string; report: Report };

/** Messages to a worker. */
export type ToWorker =
  | Drain
  | Begin
  /** Accept no connection for a while, or again. */
  | { type: "hold"; held: boolean }
  /** Log files were taken away. */
  | { type: "reopen" }
  /** Answers `status`. */
  | { type: "pool"; id: string; report: PoolReport };

/** Load the application now; end if that cannot be done, and it is to. */
export interface Begin {
  type: "begin";
  mustLoad: boolean;
}

/** Finish what is under way and end. A later message can only make it stricter. */
export interface Drain {
  type: "drain";
  /** Seconds. */
  grace: number;
  /** Nobody else takes what waits in the kernel. */
  last: boolean;
  /** The grace is for event streams alone, others take as long as they take. */
  patient: boolean;
}

/** A worker's end of the channel. */
export interface Channel {
  send(message: FromWorker): void;
  onMessage(take: (message: ToWorker) => void): void;
  /** The other end is gone. */
  onClose(run: () => void): void;
  /** Resolves when what was sent has left, before the process may end. */
  flush(): Promise<void>;
}

/** Milliseconds that the other end has to take what was sent last. */
const FLUSH_MS = 500;

/** Many applications check for `process.send`, and send messages to a parent of their own kind. */
function hideChannel(): void {
  for (const name of ["send", "disconnect"]) {
    Object.defineProperty(process, name, { value: undefined, configurable: true, writable: true });
  }
}

/** Resolves when what started this process or thread says `begin`; with `undefined` when it is gone, or wants it to end. */
export function toBegin(): Promise<Begin | undefined> {
  return new Promise((resolve) => {
    const port = parentPort ?? process;
    const told = (message: unknown) => {
      const { type } = message as ToWorker;
      if (type !== "begin" && type !== "drain") return;
      port.off("message", told);
      port.off("disconnect", left);
      resolve(type === "begin" ? message as Begin : undefined);
    };
    const left = () => resolve(undefined);
    port.on("message", told);
    port.on("disconnect", left);
  });
}

/** The channel to the process that started this one. From now on it is out of the application's reach. */
export function processChannel(): Channel {
  let last: Promise<void> = Promise.resolve();
  const send = process.send?.bind(process);
  hideChannel();
  return {
    send: (message) => {
      // The other end is gone: `disconnect` follows.
      if (!process.connected) return;
      last = new Promise((resolve) => send!(message, undefined, undefined, () => resolve()));
    },
    onMessage: (take) => void process.on("message", (message) => take(message as ToWorker)),
    onClose: (run) => void process.on("disconnect", run),
    flush: () => Promise.race([last, new Promise<void>((resolve) => setTimeout(resolve, FLUSH_MS))]),
  };
}

/** The channel of a thread to the process that it is in, which ends it when it ends itself. */
export function threadChannel(): Channel {
  const port = parentPort!;
  hideChannel();
  return {
    send: (message) => port.postMessage(message),
    onMessage: (take) => void port.on("message", take),
    onClose: () => {},
    flush: () => Promise.resolve(),
  };
}

const isText = (value: unknown) => typeof value === "string";
const isCount = (value: unknown) => Number.isFinite(value) && (value as number) >= 0;
const isTexts = (value: unknown) => Array.isArray(value) && value.every(isText);
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isListOf = (is: (value: unknown) => boolean) => (value: unknown) => Array.isArray(value) && value.every(is);
const isCounts = (value: unknown) => isRecord(value) && Object.values(value).every(isCount);
const isUnderWay = (value: unknown) => isRecord(value) && isText(value.method) && isText(value.url) && isCount(value.since);
const isIncident = (value: unknown) => isRecord(value) && isCount(value.at) && isText(value.text);

type Checks = Record<string, (value: unknown) => boolean>;

const has = (checks: Checks) => (value: unknown): boolean =>
  isRecord(value) && Object.entries(checks).every(([name, is]) => is(value[name]));

const counts = Object.fromEntries(
  Object.entries(noCounts()).map(([name, none]) => [
    name,
    Array.isArray(none)
      ? (value: unknown) => isListOf(isCount)(value) && (value as unknown[]).length === none.length
      : isRecord(none)
      ? isCounts
      : isCount,
  ]),
);
const isReport = has({
  pid: isCount,
  thread: isCount,
  uptime: isCount,
  memory: isCount,
  counts: has(counts),
  at: isCount,
  begun: isCount,
  underWay: isListOf(isUnderWay),
  lastError: (value) => value === undefined || isIncident(value),
});

/** What each kind of message has to bring. */
const shapes: Record<FromWorker["type"], Checks> = {
  ready: { modules: isTexts },
  standIn: { reason: isText, modules: isTexts },
  failed: { reason: isText, modules: isTexts },
  state: { report: isReport },
  alive: {},
  gone: { thread: isCount },
  expired: { what: isText, reason: isText },
  leaving: { reason: isText },
  stopped: {},
  status: { id: isText, report: isReport },
};

/** A message as a worker sends it; `undefined` for anything else, since an application may get hold of the channel. */
export function readMessage(message: unknown): FromWorker | undefined {
  if (!isRecord(message) || !isText(message.type) || !Object.hasOwn(shapes, message.type as string)) return undefined;
  return has(shapes[message.type as FromWorker["type"]])(message) ? message as FromWorker : undefined;
}
