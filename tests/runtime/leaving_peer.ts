/**
 * A thread that connects to a Unix socket, reads what is there once it is told to, and closes, while the other thread is
 * busy.
 *
 * @module
 */
import { createConnection } from "node:net";
import { workerData } from "node:worker_threads";

/** Without a byte for so long, all has been read. */
const QUIET_MS = 50;

const { path, state } = workerData as { path: string; state: Int32Array };
const socket = createConnection({ path });
socket.pause();
const timer = setInterval(() => {
  if (Atomics.load(state, 0) === 0) return;
  clearInterval(timer);
  const leave = () => {
    socket.once("close", () => {
      Atomics.store(state, 1, 1);
      Atomics.notify(state, 1);
    });
    socket.destroy();
  };
  let quiet = setTimeout(leave, 10 * QUIET_MS);
  socket.on("data", () => {
    clearTimeout(quiet);
    quiet = setTimeout(leave, QUIET_MS);
  });
  socket.resume();
}, 1);
