/**
 * Notices that a client connects to a listening socket, without accepting the connection.
 *
 * @module
 */
import process from "node:process";
import { isAwaited, signalConnections } from "./descriptor.ts";
import { runtime } from "./name.ts";

/**
 * Calls back once, as soon as a connection waits at a listening socket.
 *
 * @param fd on Node one of 0 to 2: it would close another with what reads from it
 * @returns a function that ends the waiting; `undefined` where this is impossible
 */
export function onArrival(fd: number, run: () => void): (() => void) | undefined {
  if (runtime.name !== "Node") return bySignal(fd, run);
  return fd <= 2 ? byReading(fd, run) : undefined;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** What a signal means now; none yet where nobody listens for it. */
let signalled: (() => void) | undefined;

/** The kernel signals each connection. */
function bySignal(fd: number, run: () => void): (() => void) | undefined {
  if (process.platform !== "linux") return undefined;
  // Its listener stays, since a late signal without one would end the process.
  if (signalled === undefined) process.on("SIGIO", () => signalled!());
  // A listener of signals alone would not keep the process running.
  const alive = setInterval(() => {}, DAY_MS);
  const stop = () => {
    clearInterval(alive);
    signalled = () => {};
    signalConnections(fd, false);
  };
  signalled = () => {
    if (!isAwaited(fd)) return;
    stop();
    run();
  };
  if (!signalConnections(fd, true)) {
    stop();
    return undefined;
  }
  // Connections that came before are not signalled.
  setImmediate(() => signalled!());
  return stop;
}

/** Nothing can be read from a listening socket, and Node learns that as soon as a connection waits. */
function byReading(fd: number, run: () => void): () => void {
  const { Socket } = process.getBuiltinModule("node:net");
  const reader = new Socket({ fd, readable: true, writable: false });
  let over = false;
  reader.on("error", () => {
    if (!over) run();
    over = true;
  });
  reader.resume();
  return () => {
    over = true;
    reader.destroy();
  };
}
