/**
 * Asks at a steady rate, whatever the answers do, each time over a new connection: a process of its own under Bun. Prints
 * the milliseconds of all answers, and how many were lost, as JSON.
 *
 * Usage: tail_load.ts SOCKET RATE SECONDS
 *
 * @module
 */
import { createConnection } from "node:net";
import process from "node:process";
import { setImmediate } from "node:timers";
import { traffic } from "./traffic.ts";

const [path, rate, seconds] = process.argv.slice(2);
const bytes = traffic.fcgi.request("small", false);
const total = Number(rate) * Number(seconds);
const times: number[] = [];
let lost = 0;
let asked = 0;
const begun = performance.now();

function ask(due: number): void {
  const socket = createConnection(path, () => socket.write(bytes));
  let text = "";
  socket.setEncoding("latin1").on("data", (more: string) => text += more);
  socket.on("error", () => {});
  socket.on("close", () => {
    // From when it was due: a generator that is late must not hide that somebody waits.
    if (text.includes("hello world")) times.push(performance.now() - due);
    else lost++;
    if (times.length + lost === total) process.stdout.write(JSON.stringify({ times, lost }), () => process.exit());
  });
}

/** Spins, since timers are too coarse. */
function tick(): void {
  const due = Math.min(total, Math.floor((performance.now() - begun) / 1000 * Number(rate)));
  while (asked < due) ask(begun + asked++ / Number(rate) * 1000);
  if (asked < total) setImmediate(tick);
}

tick();
