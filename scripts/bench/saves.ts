/**
 * How soon a change is served: from saving the application's file to the first answer by the new code, in a preview, where
 * each request waits for new code, and of a server, which is told by the system.
 *
 * @module
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { httpParams } from "../../src/protocol/http/params.ts";
import { request } from "../../src/server/client.ts";
import { type Running, start, until } from "../../tests/support/program.ts";
import { columns } from "./figures.ts";
import { folder, say } from "./harness.ts";
import { own } from "./servers.ts";

/** Milliseconds between two questions, and after which there is no point in more of them. */
const ASK_MS = 2;
const PATIENCE_MS = 10_000;

interface Saved {
  name: string;
  what: string;
  file: string;
  running: Running;
  ask(): Promise<string>;
  /** Of the first change, before which a server has no process ready. */
  first: number;
  times: number[];
}

/** Measures and prints a table. @returns the exit status */
export async function saves(ids: readonly string[], rounds: number): Promise<number> {
  const rows: Saved[] = [];
  for (const { id, name, command } of own.filter(({ id }) => ids.includes(id))) {
    rows.push(await preview(id, name, command()));
    for (const threads of [1, 2]) rows.push(await server(id, name, command(), threads));
  }
  try {
    for (let round = 0; round <= rounds; round++) {
      for (const row of rows) {
        say(`Round ${round} of ${rounds}: ${row.name}, ${row.what}`);
        const time = await saved(row, `round ${round}`);
        if (round === 0) row.first = time;
        else row.times.push(time);
        // What it has replaced ends meanwhile, and nobody saves sooner.
        await sleep(300);
      }
    }
  } finally {
    await Promise.all(rows.map(({ running }) => running.stop()));
  }
  say("");
  const lines = [["", "", "first", "median", "fastest", "slowest"]];
  for (const { name, what, first, times } of rows) {
    const sorted = times.toSorted((a, b) => a - b);
    lines.push([
      name,
      what,
      ...[first, sorted[sorted.length >> 1], sorted[0], sorted.at(-1)!].map((ms) => `${ms.toFixed(0)} ms`),
    ]);
  }
  process.stdout.write(`From saving a file to an answer by the new code, ${rounds} rounds\n\n`);
  process.stdout.write(`${columns(lines)}\n`);
  return 0;
}

async function preview(id: string, name: string, command: string[]): Promise<Saved> {
  const { file, place } = site(`${id}-preview`);
  const running = start([...command, file, "preview=0"], { cwd: place });
  const [url] = await until(`${name} shows a preview`, () => /http:\/\/127\.0\.0\.1:\d+\//.exec(running.stderr()));
  return { name, what: "preview", file, running, ask: async () => await (await fetch(url)).text(), first: NaN, times: [] };
}

async function server(id: string, name: string, command: string[], threads: number): Promise<Saved> {
  const { file, place } = site(`${id}-server-${threads}`);
  const path = join(place, "s");
  const running = start([...command, file, `socket=${path}`, `threads=${threads}`], { cwd: place });
  await until(`${name} serves`, () => running.stderr().includes("serving "));
  const asked = { method: "GET", target: "/", version: "1.1", headers: ["Host", "localhost"], addresses: undefined };
  const params = httpParams(asked, "runfcgi bench");
  const ask = async () => {
    const { body } = await request({ address: { transport: "unix", path }, protocol: "fcgi", params });
    return await new Response(body).text();
  };
  return { name, what: `server, ${threads} thread${threads > 1 ? "s" : ""}`, file, running, ask, first: NaN, times: [] };
}

function site(name: string): { place: string; file: string } {
  const place = join(folder, `saved-${name}`);
  mkdirSync(place);
  const file = join(place, "app.ts");
  writeFileSync(file, application("none"));
  return { place, file };
}

const application = (text: string) => `export default { fetch: (_: Request): Response => new Response("${text}") };\n`;

/** Saves, and asks until the answer is the new one. */
async function saved({ file, ask, running }: Saved, text: string): Promise<number> {
  const begun = performance.now();
  writeFileSync(file, application(text));
  for (;;) {
    if (await ask() === text) return performance.now() - begun;
    if (performance.now() - begun > PATIENCE_MS) throw new Error(`The new code is not served:\n${running.stderr()}`);
    await sleep(ASK_MS);
  }
}
