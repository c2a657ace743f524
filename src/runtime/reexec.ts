/**
 * A process that restarts in place: it keeps its ID and the descriptors 0 to 2, so that its parent
 * notices nothing, and what waits at its socket goes on waiting (execve(2)).
 *
 * @module
 */
import process from "node:process";
import { libraries } from "./descriptor.ts";
import { runtime } from "./name.ts";

interface CLibrary {
  execve(file: Uint8Array, words: BigUint64Array, environment: BigUint64Array): number;
}

/** What is used of Deno, which has no `process.execve()`, so that the source type-checks anywhere. */
interface DenoForeign {
  dlopen(file: string, symbols: Record<string, { parameters: string[]; result: string }>): { symbols: CLibrary };
  UnsafePointer: { of(bytes: Uint8Array): unknown; value(pointer: unknown): bigint };
}

/**
 * Becomes another program, and returns only if a signal has arrived first. The signals get their default action, since
 * their listeners are gone with this program: {@linkcode restoreDefaultActions} does that a turn earlier, where it can.
 *
 * @param deadly signals that end this process from now on
 * @param isAsked whether one of their listeners has been called
 * @throws {Error} when the system refuses
 */
export async function become(
  command: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  deadly: readonly NodeJS.Signals[],
  isAsked: () => boolean,
): Promise<void> {
  const variables = Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined);
  // On Node a signal between the last turn of the event loop and the removal of its listeners is lost.
  await new Promise<void>((resolve) => setImmediate(resolve));
  if (isAsked()) return;
  for (const signal of deadly) process.removeAllListeners(signal);
  if (runtime.name === "Deno") becomeByDeno(command, variables.map(([name, value]) => `${name}=${value}`));
  else process.execve!(command[0], command, Object.fromEntries(variables));
  throw new Error(`cannot start "${command[0]}" in the place of this process`);
}

function becomeByDeno(command: readonly string[], environment: readonly string[]): void {
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
      });
      symbols.execve(encoder.encode(`${command[0]}\0`), pointers(command), pointers(environment));
    } catch {
      // Another C library.
    }
  }
}
