/**
 * The command line of a program, and the variables that say where it is to listen.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import type { Address } from "../runtime/socket.ts";

/** One word, quoted or not, without what a shell would take for anything but a part of it. */
const word = String
  .raw`(?:"(?:[^"\\$\x60]|\\.|\$\w+(?!\w)|\$\{\w+\})*"|'[^']*'|\\.|[^\s"'\\;&|<>(){}\x60#$]|\$\w+(?!\w)|\$\{\w+\})`;
/** What may stand before the program: `cd folder &&`, other commands that end, assignments. */
const prefix = new RegExp(
  String.raw`^\s*(?:(?!exec\s)${word}+(?:\s+${word}+)*\s*(?:&&|;)\s*)*(?:[A-Za-z_]\w*=${word}*\s+)*(?=\S)`,
);
/** What the shell itself has to take care of. */
const compound = /(?:^|[;&|\n])\s*(?:exec|if|then|for|while|until|do|case|[({!])(?=\s|$)|^\s*[({]/;

/**
 * The command with `exec` before its last program, which then takes the shell's place: it gets our signals, and its end is
 * the end. What is more than a list of commands is left as it is.
 */
export function execCommand(command: string): string {
  if (compound.test(unquoted(command))) return command;
  const [before] = prefix.exec(command) ?? [""];
  const last = command.slice(before.length);
  // More commands follow, or run at the same time.
  return /[|&;\n]/.test(unquoted(last)) ? command : `${before}exec ${last}`;
}

function unquoted(command: string): string {
  return command.replace(/\\.|"(?:[^"\\]|\\.)*"|'[^']*'/gs, "x").replace(/[<>]&|&>/g, "");
}

/** @throws {TypeError} when the command has both `{socket}` and `{port}` */
export function expectCommand(command: string): void {
  if (command.includes("{socket}") && command.includes("{port}")) {
    throw new TypeError(`"${command}" has both {socket} and {port}: the program is asked on one of them`);
  }
}

/** Variables by which programs and frameworks take where to listen; `undefined` for one that would say otherwise. */
export function listenVariables(address: Address): Record<string, string | undefined> {
  if (address.transport === "unix") return { SOCKET_PATH: address.path, NITRO_UNIX_SOCKET: address.path };
  const { hostname: host } = address;
  const port = String(address.port);
  return {
    PORT: port,
    NITRO_PORT: port,
    HOST: host,
    HOSTNAME: host,
    NITRO_HOST: host,
    SOCKET_PATH: undefined,
    NITRO_UNIX_SOCKET: undefined,
  };
}

/** proc(5): the state of a socket that listens. */
const LISTENS = "0A";
/** 127.0.0.0/8, ::1, and the former as IPv6; each group of four bytes is in the order of this machine. */
const loopback = /^(?:[0-9A-F]{6}7F|0{24}01000000|0{16}FFFF0000[0-9A-F]{6}7F)$/;

/** Addresses other than loopback on which a port is open on this machine, `[]` where the system does not tell. */
export function openAddresses(port: number): string[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((table) => {
    const rows = textOf(table).split("\n").map((row) => row.trim().split(/\s+/));
    const open = rows.filter(([, local, , state]) => state === LISTENS && local.endsWith(suffix));
    return open.map(([, local]) => local.slice(0, -suffix.length)).filter((address) => !loopback.test(address)).map(readable);
  });
}

function readable(hex: string): string {
  if (/^0+$/.test(hex)) return hex.length === 8 ? "0.0.0.0" : "[::]";
  if (hex.length === 8) return hex.match(/../g)!.map((byte) => parseInt(byte, 16)).reverse().join(".");
  return "an IPv6 address";
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
