/**
 * Whether a listening socket that a web server has put on a descriptor belongs to this process alone. Then it may refuse
 * new connections before it stops, and the web server asks another process; a socket that others serve as well, such as
 * those of multiwatch and `spawn-fcgi -F`, must go on.
 *
 * @module
 */
import { lstatSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import process from "node:process";
import { describeDescriptor, refuseConnections } from "../runtime/descriptor.ts";
import { type FileIdentity, removeSocket } from "../runtime/listen.ts";

/** A socket that nobody else serves. */
export interface OwnSocket {
  /** New connections are refused from now on; waiting ones can still be accepted. */
  refuse(): void;
}

/**
 * Looks at an inherited socket; `undefined` where others may serve it, or nobody can know. To be called at the start,
 * when its path is still that of this socket.
 *
 * @param parent the process that has started the program
 */
export function ownSocket(fd: number, parent = process.ppid): OwnSocket | undefined {
  const { listening, address } = describeDescriptor(fd);
  // Over TCP this would reset waiting connections.
  if (!listening || address?.transport !== "unix" || !isAlone(address.path, parent)) return undefined;
  const { path } = address;
  const identity = identityOf(path);
  return {
    refuse() {
      if (!refuseConnections(fd) && identity) removeSocket(path, identity);
    },
  };
}

function isAlone(path: string, parent: number): boolean {
  // mod_fcgid makes a socket for each process and names it by its own number and a counter. In a container of our own
  // that number is not to be seen.
  const [, manager] = /^(\d+)\.\d+$/.exec(basename(path)) ?? [];
  if (manager !== undefined && (Number(manager) === parent || parent === 0)) return true;
  // lighttpd makes one for each of its `max-procs` processes, too, and keeps none open itself.
  return commandOf(parent) === "lighttpd";
}

function commandOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return undefined;
  }
}

function identityOf(path: string): FileIdentity | undefined {
  try {
    const stats = lstatSync(path);
    return stats.isSocket() ? { dev: stats.dev, ino: stats.ino } : undefined;
  } catch {
    return undefined;
  }
}
