/**
 * What supervisor and workers tell each other, and how: between processes by Node's own channel, between threads by
 * their port.
 *
 * @module
 */
import process from "node:process";
import { parentPort } from "node:worker_threads";
import type { RequestCounts } from "../server/monitor.ts";

/** What one worker, a process or a thread, tells about itself. */
export interface Report {
  pid: number;
  /** Number of the thread in its process, 0 for a process without threads. */
  thread: number;
  /** Seconds since it was started. */
  uptime: number;
  /** Bytes of memory of the whole process. */
  memory: number;
  counts: RequestCounts;
}

/** All workers as the supervisor sees them, for the status page. */
export interface PoolReport {
  /** Seconds since the supervisor was started. */
  uptime: number;
  /** Workers that ended otherwise than they were told to. */
  deaths: number;
  reloads: number;
  /** What workers counted that have ended since. */
  past: RequestCounts;
  workers: (Report & { state: "idle" | "busy" | "starting" | "draining" })[];
}

/** What a worker tells. */
export type FromWorker =
  /** The application is loaded and the endpoint is served. */
  | { type: "ready"; modules: string[] }
  /** The endpoint is served although the application cannot be loaded: visitors get a page that says so. */
  | { type: "standIn"; reason: string; modules: string[] }
  /** The application cannot be loaded, and the worker ends. */
  | { type: "failed"; reason: string; modules: string[] }
  /** What is under way, when it has changed, and as a sign of life. */
  | { type: "state"; inFlight: number }
  /** It would like to be replaced; its whole process, unless it has only served enough requests. */
  | { type: "expired"; what: "requests" | "memory" | "age"; reason: string }
  /** It takes no more requests and ends on its own. */
  | { type: "leaving"; reason: string }
  /** What it has counted, before it ends. */
  | { type: "counts"; thread: number; counts: RequestCounts }
  /** It listens no more. */
  | { type: "stopped" }
  /** Asks for the {@linkcode PoolReport}. */
  | { type: "status"; id: string }
  /** Answers `report`. */
  | { type: "reports"; id: number; reports: Report[] };

/** What a worker is told. */
export type ToWorker =
  /** Finish what is under way within so many seconds and end. `last`: nobody else takes what waits in the kernel. */
  | { type: "drain"; grace: number; last: boolean }
  /** Log files were taken away. */
  | { type: "reopen" }
  | { type: "report"; id: number }
  /** Answers `status`. */
  | { type: "pool"; id: string; report: PoolReport };

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

/** The channel to the process that started this one. */
export function processChannel(): Channel {
  let last: Promise<void> = Promise.resolve();
  return {
    send: (message) => {
      // Gone, which `disconnect` tells.
      if (!process.connected) return;
      last = new Promise((resolve) => process.send!(message, undefined, undefined, () => resolve()));
    },
    onMessage: (take) => void process.on("message", (message) => take(message as ToWorker)),
    onClose: (run) => void process.on("disconnect", run),
    flush: () => Promise.race([last, new Promise<void>((resolve) => setTimeout(resolve, FLUSH_MS))]),
  };
}

/** The channel of a thread to the process that it is in, which ends it when it ends itself. */
export function threadChannel(): Channel {
  return {
    send: (message) => parentPort!.postMessage(message),
    onMessage: (take) => void parentPort!.on("message", take),
    onClose: () => {},
    flush: () => Promise.resolve(),
  };
}
