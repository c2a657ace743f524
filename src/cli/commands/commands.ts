/**
 * Commands that look for what is wrong. Each has words of its own and is loaded only when it is asked for.
 *
 * @module
 */
import type { Embedded } from "../application.ts";

/** Runs a command with the words behind its name and resolves with the exit status. */
export type Run = (words: readonly string[], embedded: Embedded | undefined) => Promise<number>;

const diagnoses: Readonly<Record<string, () => Promise<{ run: Run }>>> = {
  doctor: () => import("./doctor.ts"),
  explain: () => import("./explain.ts"),
  get: () => import("./get.ts"),
  replay: () => import("./replay.ts"),
};

/** The command that the first word of the command line names. */
export function findDiagnosis(word: string | undefined): Run | undefined {
  if (word === undefined || !Object.hasOwn(diagnoses, word)) return undefined;
  return async (words, embedded) => (await diagnoses[word]()).run(words, embedded);
}
