/**
 * The rooms of the source and what they import: a room imports only from floors below its own, and no files import each
 * other in a circle.
 *
 * @module
 */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { root } from "./tools.ts";

/** The rooms by floor, the lowest first. */
const floors: readonly (readonly string[])[] = [
  ["protocol", "runtime"],
  ["gateway"],
  ["server"],
  ["handlers", "supervisor"],
  ["options"],
  ["app"],
  ["config", "process"],
  ["doctor"],
  ["cli"],
  ["mod.ts"],
];

const floorOf = (room: string): number => floors.findIndex((rooms) => rooms.includes(room));
const roomOf = (file: string): string => file.startsWith("src/") ? file.split("/")[1] : file;

/** What each file imports of the others, also where that happens when it runs. */
function readImports(): Map<string, string[]> {
  const files = ["mod.ts", ...globSync("src/**/*.ts", { cwd: root })].sort();
  return new Map(files.map((file) => {
    const text = readFileSync(join(root, file), "utf8").replace(/^\s*(?:\*|\/\/).*$/gm, "");
    const found = [...text.matchAll(/\b(?:from|import)\s*\(?\s*"(\.{1,2}\/[^"]+)"/g)];
    return [file, found.map(([, path]) => normalize(join(dirname(file), path)))];
  }));
}

/** What is wrong, a line each. */
export function importProblems(): string[] {
  const imports = readImports();
  const problems: string[] = [];
  for (const [file, targets] of imports) {
    const room = roomOf(file);
    if (floorOf(room) < 0) problems.push(`${file} is in a room that has no floor: name it in scripts/imports.ts`);
    for (const target of targets) {
      if (roomOf(target) !== room && floorOf(roomOf(target)) >= floorOf(room)) {
        problems.push(`${file} imports ${target}, which is not on a floor below`);
      }
    }
  }
  for (const circle of circles(imports)) problems.push(`these files import each other: ${circle.join(", ")}`);
  return problems;
}

/** Files that lead back to themselves (Tarjan's strongly connected components). */
function circles(imports: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = [];
  const indexes = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const visit = (file: string) => {
    indexes.set(file, indexes.size);
    lowest.set(file, indexes.get(file)!);
    stack.push(file);
    for (const target of imports.get(file) ?? []) {
      if (!indexes.has(target)) visit(target);
      else if (!stack.includes(target)) continue;
      lowest.set(file, Math.min(lowest.get(file)!, lowest.get(target)!));
    }
    if (lowest.get(file) !== indexes.get(file)) return;
    const circle = stack.splice(stack.indexOf(file));
    if (circle.length > 1) found.push(circle.sort());
  };
  for (const file of imports.keys()) if (!indexes.has(file)) visit(file);
  return found;
}

/** The floors from the top down, with what each room holds and imports. */
export function floorPlan(): string {
  const imports = readImports();
  const lines: string[] = [];
  for (const [i, rooms] of [...floors.entries()].reverse()) {
    for (const room of rooms) {
      const files = [...imports.keys()].filter((file) => roomOf(file) === room);
      const count = files.reduce((sum, file) => sum + readFileSync(join(root, file), "utf8").split("\n").length - 1, 0);
      const below = new Set(files.flatMap((file) => imports.get(file)!).map(roomOf).filter((target) => target !== room));
      const targets = [...below].sort((a, b) => floorOf(b) - floorOf(a)).join(", ") || "nothing";
      lines.push(
        `${i + 1}  ${room.padEnd(10)} ${String(files.length).padStart(3)} files ${
          String(count).padStart(5)
        } lines, imports ${targets}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}
