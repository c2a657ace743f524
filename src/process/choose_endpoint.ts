/**
 * Where a server listens.
 *
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { expectOneEndpoint, type Options } from "../options/options.ts";
import { UsageError } from "../options/arguments.ts";
import { describeDescriptor } from "../runtime/descriptor.ts";
import { isSocketInPlace, ListenError } from "../runtime/listen.ts";
import type { LaunchOptions } from "../supervisor/launch.ts";
import { activatedDescriptor } from "../supervisor/systemd.ts";
import type { FromSuccessor } from "../supervisor/takeover.ts";
import { isCgi } from "./cgi_environment.ts";
import type { Handover } from "./handover.ts";

/**
 * Where to listen: as the options say, or else as the process was started.
 *
 * @throws {UsageError} when there is nothing to listen on
 */
export function chooseEndpoint(options: Options): LaunchOptions["endpoint"] | "managed" | "cgi" {
  const { socket, host, port, fd, preview } = options;
  expectOneEndpoint({ socket, port, fd }, host);
  expectProxyProtocol(options);
  if (socket !== undefined) return { transport: "unix", path: socket };
  if (port !== undefined) return { transport: "tcp", hostname: host ?? "127.0.0.1", port };
  if (fd !== undefined) return { transport: "fd", fd: listening(fd) };
  const activated = activatedDescriptor();
  if (activated !== undefined) return { transport: "fd", fd: listening(activated), heldElsewhere: true };
  if (preview !== undefined) return { transport: "unix", path: privateSocket() };
  const found = describeDescriptor(0);
  if (found.listening) {
    const supervised = options.method !== undefined || options.threads !== undefined || options.daemonize;
    return supervised ? { transport: "fd", fd: 0 } : "managed";
  }
  if (isCgi()) return "cgi";
  throw new UsageError(
    `there is nothing to listen on: give socket=PATH or port=PORT, or preview=8000 to see a page in a browser. ` +
      `(Descriptor 0 is ${found.what}; a web server would put a listening socket there.)`,
  );
}

/** @throws {ListenError} where a descriptor is something else */
function listening(fd: number): number {
  const { listening, what } = describeDescriptor(fd);
  if (!listening) throw new ListenError(`Cannot listen on descriptor ${fd}: it is ${what}, not a listening socket`);
  return fd;
}

/** Whether there is a preview and no endpoint that others could reach: errors may be shown. */
export function isDevelopment(endpoint: LaunchOptions["endpoint"], { socket, preview }: Options): boolean {
  return preview !== undefined && endpoint.transport === "unix" && socket === undefined;
}

/** @throws {UsageError} where nobody could speak it */
function expectProxyProtocol({ proxyprotocol, protocol = "fcgi", preview }: Options): void {
  if (!proxyprotocol || protocol === "auto") return;
  if (protocol !== "http") throw new UsageError(`proxyprotocol belongs to HTTP, not to ${protocol}: give protocol=http`);
  if (preview !== undefined) {
    throw new UsageError("preview does not speak the PROXY protocol: leave out proxyprotocol or preview");
  }
}

/** Path of a socket in a new folder that only this user can enter, removed with the process. */
export function privateSocket(): string {
  const folder = mkdtempSync(join(tmpdir(), "runfcgi-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "preview.sock");
}

/** The socket that was handed over, unless other arguments ask for another endpoint. */
export function inheritedEndpoint(
  options: Options,
  { fd, bound, otherWords }: Handover,
): { transport: "fd"; fd: number } | undefined {
  const { socket, port, host = "127.0.0.1" } = options;
  const address = bound?.address;
  // Nobody can connect to it any more.
  if (
    socket !== undefined && address?.transport === "unix" && bound?.identity && !isSocketInPlace(address.path, bound.identity)
  ) {
    return undefined;
  }
  if (otherWords && (socket !== undefined || port !== undefined)) {
    if (address?.transport === "unix" && (socket === undefined || resolve(socket) !== resolve(address.path))) return undefined;
    if (address?.transport === "tcp" && (port !== address.port || host !== address.hostname)) return undefined;
  }
  process.send?.({ type: "tookSocket" } satisfies FromSuccessor);
  return { transport: "fd", fd: fd! };
}
