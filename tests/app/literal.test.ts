import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { optionsIn } from "../../src/process/app_options.ts";

describe("options that an application exports", () => {
  const known: [text: string, options: unknown][] = [
    ["export default {};", undefined],
    ["export const runfcgi = {};", {}],
    [`export const runfcgi = { app: "node" };`, { app: "node" }],
    ["// about\nexport const runfcgi: X = {\n  maxrequests: 10, // each\n  'debug': true, /* or: 1 */\n};", {
      maxrequests: 10,
      debug: true,
    }],
    [`export const runfcgi = { envfrom: ["A", 'B_*',], "slowtime": 2.5, errlog: "a\\"b\\\\c" }`, {
      envfrom: ["A", "B_*"],
      slowtime: 2.5,
      errlog: 'a"b\\c',
    }],
    ["/* all */\nconst a = `b`;\nexport const runfcgi = { watch: false };\nconst c = {};", { watch: false }],
  ];
  for (const [text, options] of known) {
    test(`are read from ${JSON.stringify(text)}`, () => assert.deepEqual(optionsIn(text), options));
  }

  const unknown = [
    "export const runfcgi = options;",
    "export const runfcgi = { maxrequests: many };",
    "export const runfcgi = { maxrequests: 2 * 5 };",
    "export const runfcgi = { maxrequests };",
    "export const runfcgi = { ...more };",
    "export const runfcgi = { errlog: `a` };",
    'export const runfcgi = { errlog: "a" + "b" };',
    'export const runfcgi = { errlog: "\\u0041" };',
    "export const runfcgi = { a: { b: 1 } };",
    "export const runfcgi = { a: [1, [2]] };",
    "export const runfcgi = { a: [1 };",
    "export const runfcgi = { [a]: 1 };",
    "export { runfcgi };",
    "/*\nexport const runfcgi = { debug: true };\n*/",
    "const a = `\nexport const runfcgi = { debug: true };\n`;",
  ];
  for (const text of unknown) {
    test(`are not guessed from ${JSON.stringify(text)}`, () => assert.equal(optionsIn(text), "unknown"));
  }
});
