/**
 * systemd: sockets that it hands over, and telling it how things are (sd_listen_fds(3), sd_notify(3)).
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

/** First descriptor of those that systemd hands over. */
const FIRST_FD = 3;

/** The descriptor that systemd has handed over to this process, if it has. */
export function activatedDescriptor(environment = process.env): number | undefined {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = environment;
  return Number(pid) === process.pid && Number(count) >= 1 ? FIRST_FD : undefined;
}

/** Says that one socket of several is served; `undefined` if there are no more. */
export function unservedSockets(environment = process.env): string | undefined {
  if (activatedDescriptor(environment) === undefined || environment.LISTEN_FDS === "1") return undefined;
  const names = environment.LISTEN_FDNAMES?.replaceAll(":", ", ");
  return `systemd hands over ${environment.LISTEN_FDS} sockets${names ? ` (${names})` : ""}, and only the first is served: ` +
    "leave one ListenStream= in the units of sockets";
}

/** Forgets what was handed over, so that no child process takes it for its own. */
export function forgetActivation(): void {
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete process.env[name];
}

/** Tells systemd that this process lives, twice as often as it wants to hear it (`WatchdogSec=`, sd_watchdog_enabled(3)). */
export function startWatchdog(): void {
  const { WATCHDOG_PID: pid = process.pid, WATCHDOG_USEC: allowed } = process.env;
  for (const name of ["WATCHDOG_PID", "WATCHDOG_USEC"]) delete process.env[name];
  // On Node the supervisor is a child of the process that was started.
  if (!(Number(allowed) > 0) || ![process.pid, process.ppid].includes(Number(pid))) return;
  setInterval(() => notify("WATCHDOG=1"), Number(allowed) / 2000).unref?.();
}

/**
 * Tells systemd, where it has asked for it, such as `READY=1`. Its own program does it, since no runtime has datagrams
 * on Unix sockets: the unit needs `NotifyAccess=all`.
 */
export function notify(...states: string[]): void {
  if (process.env.NOTIFY_SOCKET === undefined) return;
  // One after the other, or the end of a reload could come before its beginning.
  told = told.then(() => tell(states));
}

let told = Promise.resolve();

function tell(states: string[]): Promise<void> {
  // Loaded where it is needed.
  const { spawn } = process.getBuiltinModule("node:child_process");
  return new Promise((resolve) => {
    const teller = spawn("systemd-notify", states, { stdio: "ignore" });
    teller.on("exit", () => resolve());
    teller.on("error", () => {
      process.stderr.write("runfcgi: cannot run systemd-notify, so systemd does not learn how the server is\n");
      resolve();
    });
  });
}

/** Resolves when systemd has received everything. */
export function allTold(): Promise<void> {
  return told;
}

/** The time for `RELOADING=1`, which not every runtime provides: at least that of the kernel's clock. */
export function monotonicTime(): string {
  // It has two digits behind the point, and counts the time that the machine slept, too.
  const seconds = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) + 0.01;
  return `MONOTONIC_USEC=${Math.round(seconds * 1e6)}`;
}
