/**
 * The endpoint that a command connects to.
 *
 * @module
 */
import type { Address } from "../../runtime/socket.ts";
import { type ListeningProtocol, protocols } from "../../protocol/protocols.ts";
import { optionTable } from "../../options/options.ts";
import { oneOf, UsageError } from "../../options/arguments.ts";

/** Options that name an endpoint. */
export const endpointOptions = {
  protocol: {
    kind: oneOf(Object.keys(protocols) as ListeningProtocol[]),
    default: "fcgi",
    help: "Protocol of the endpoint: fcgi, scgi, ajp, uwsgi or http.",
    example: "protocol=scgi",
  },
  socket: { kind: optionTable.socket.kind, help: "Unix socket of the endpoint.", example: "socket=/run/mysite.sock" },
  host: {
    kind: optionTable.host.kind,
    default: "127.0.0.1",
    help: "Address of the endpoint, together with port.",
    example: "host=::1",
  },
  port: { kind: optionTable.port.kind, help: "TCP port of the endpoint.", example: "port=3033" },
  secret: { kind: optionTable.secret.kind, help: "AJP: secret of the endpoint.", example: "secret=@/etc/mysite.secret" },
  packetsize: { kind: optionTable.packetsize.kind, help: "AJP: maximum packet size in bytes.", example: "packetsize=65536" },
};

/** @throws {UsageError} unless exactly one is given */
export function endpointOf({ socket, host, port }: { socket?: string; host?: string; port?: number }): Address {
  if (socket !== undefined && port !== undefined) throw new UsageError("give one of socket and port");
  if (socket !== undefined) return { transport: "unix", path: socket };
  if (port !== undefined) return { transport: "tcp", hostname: host ?? "127.0.0.1", port };
  throw new UsageError("there is no endpoint to connect to: give socket=PATH or port=PORT");
}
