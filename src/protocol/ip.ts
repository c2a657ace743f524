/**
 * IP addresses as `node:net` reads them. It is loaded with the first of them, since on Bun it takes 1.7 MiB of each process and
 * thread.
 *
 * @module
 */
import type { BlockList } from "node:net";
import process from "node:process";

let loaded: typeof import("node:net") | undefined;
const net = () => loaded ??= process.getBuiltinModule("node:net");

/** 4 or 6, or 0 for what is no address. */
export const isIP = (text: string): number => net().isIP(text);

/** An empty list of networks. */
export const newBlockList = (): BlockList => new (net().BlockList)();
