/**
 * Standard input and output as a connection, for CGI.
 *
 * @module
 */
import process from "node:process";
import type { Accept, Connection } from "./socket.ts";

/** Attaches a handler to the process's standard input and output. */
export function attachStdio(accept: Accept): void {
  const { stdin, stdout } = process;
  let closed = false;
  const close = (error?: Error) => {
    if (closed) return;
    closed = true;
    stdin.destroy();
    handler.close(error);
  };
  const connection: Connection = {
    write: (bytes) => stdout.write(bytes),
    get unsent() {
      return stdout.writableLength > 0;
    },
    pause: () => void stdin.pause(),
    resume: () => void stdin.resume(),
    shutdown: () => void stdout.end(),
    close: () => void stdout.end(() => close()),
    destroy: () => close(),
  };
  const handler = accept(connection);
  stdin.on("data", (bytes: Uint8Array) => handler.data(bytes));
  stdin.on("end", () => handler.end());
  stdin.on("error", close);
  stdout.on("drain", () => handler.drain());
  stdout.on("error", close);
}
