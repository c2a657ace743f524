/**
 * A file in memory: what is written there is read by others from the file, at a tenth of the cost of a system call.
 *
 * @module
 */
import { runtime } from "./name.ts";
import { libraries } from "./descriptor.ts";

/** What is used of Bun. */
interface BunMap {
  mmap(path: string, options: { shared: boolean }): Uint8Array;
}

/** What is used of Deno. */
interface DenoMap {
  dlopen(file: string, symbols: Record<string, { parameters: string[]; result: string }>): {
    symbols: {
      open(path: Uint8Array, flags: number): number;
      mmap(at: null, length: bigint, protection: number, flags: number, fd: number, offset: bigint): unknown;
      close(fd: number): number;
    };
  };
  UnsafePointer: { value(pointer: unknown): bigint };
  UnsafePointerView: { getArrayBuffer(pointer: unknown, length: number): ArrayBuffer };
}

const O_RDWR = 2;
const PROT_READ_AND_WRITE = 3;
const MAP_SHARED = 1;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/**
 * Maps the beginning of a file, which is at least so long and stays so: beyond its end a write would end the process.
 * `undefined` where that cannot be had, as on Node.
 */
export function mapFile(path: string, length: number): Uint8Array | undefined {
  try {
    if (runtime.name === "Bun") {
      return (globalThis as unknown as { Bun: BunMap }).Bun.mmap(path, { shared: true }).subarray(0, length);
    }
    return runtime.name === "Deno" ? mapByDeno(path, length) : undefined;
  } catch {
    return undefined;
  }
}

function mapByDeno(path: string, length: number): Uint8Array | undefined {
  const { Deno: deno } = globalThis as unknown as { Deno: DenoMap };
  const { symbols } = deno.dlopen(libraries[0], {
    open: { parameters: ["buffer", "i32"], result: "i32" },
    mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
    close: { parameters: ["i32"], result: "i32" },
  });
  const fd = symbols.open(new TextEncoder().encode(`${path}\0`), O_RDWR);
  if (fd < 0) return undefined;
  const at = symbols.mmap(null, BigInt(length), PROT_READ_AND_WRITE, MAP_SHARED, fd, 0n);
  symbols.close(fd);
  if (at === null || deno.UnsafePointer.value(at) === MAP_FAILED) return undefined;
  return new Uint8Array(deno.UnsafePointerView.getArrayBuffer(at, length));
}
