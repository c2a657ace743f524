/**
 * A process that starts anew in its place: it keeps its ID and the descriptors 0 to 2, so that whoever has started it
 * notices nothing, and what waits at its socket goes on waiting (execve(2)).
 *
 * @module
 */
import { constants } from "node:os";
import process from "node:process";
import { libraries } from "./descriptor.ts";
import { runtime } from "./name.ts";

interface CLibrary {
  execve(file: Uint8Array, words: BigUint64Array, environment: BigUint64Array): number;
  signal(signal: number, handler: bigint): bigint;
}

/** What is used of Deno, which has no `process.execve()`, so that the source type-checks anywhere. */
interface DenoForeign {
  dlopen(file: string, symbols: Record<string, { parameters: string[]; result: string }>): { symbols: CLibrary };
  UnsafePointer: { of(bytes: Uint8Array): unknown; value(pointer: unknown): bigint };
}

/** The default action, signal(2). */
const SIG_DFL = 0n;

/**
 * Becomes another program, and does not return.
 *
 * @param deadly signals that end this process from now on, since it would not hear of them any more
 * @throws {Error} when the system does not let it
 */
export function become(
  command: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  deadly: readonly NodeJS.Signals[],
): never {
  for (const signal of deadly) process.removeAllListeners(signal);
  const variables = Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined);
  if (runtime.name === "Deno") becomeByDeno(command, variables.map(([name, value]) => `${name}=${value}`), deadly);
  else process.execve!(command[0], command, Object.fromEntries(variables));
  throw new Error(`cannot start "${command[0]}" in the place of this process`);
}

function becomeByDeno(command: readonly string[], environment: readonly string[], deadly: readonly NodeJS.Signals[]): void {
  const { Deno: deno } = globalThis as unknown as { Deno: DenoForeign };
  const encoder = new TextEncoder();
  const kept: Uint8Array[] = [];
  const pointers = (texts: readonly string[]) => {
    const addresses = texts.map((text) => {
      const bytes = encoder.encode(`${text}\0`);
      kept.push(bytes);
      return BigInt(deno.UnsafePointer.value(deno.UnsafePointer.of(bytes)));
    });
    return BigUint64Array.from([...addresses, 0n]);
  };
  for (const file of libraries) {
    try {
      const { symbols } = deno.dlopen(file, {
        execve: { parameters: ["buffer", "buffer", "buffer"], result: "i32" },
        signal: { parameters: ["i32", "usize"], result: "usize" },
      });
      // It goes on catching signals whose listeners are removed.
      for (const signal of deadly) symbols.signal(constants.signals[signal], SIG_DFL);
      symbols.execve(encoder.encode(`${command[0]}\0`), pointers(command), pointers(environment));
    } catch {
      // Another C library.
    }
  }
}
