/** Help, the manual page and completion, which are made from the tables of commands and options. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { commands, usageOf } from "../../src/cli/commands/commands.ts";
import { commandHelp, completion, helpText, manual, topicHelp } from "../../src/cli/help.ts";
import { nearest, UsageError } from "../../src/options/arguments.ts";
import { findingText, problem } from "../../src/doctor/finding.ts";
import { optionTable } from "../../src/options/options.ts";
import { screenOf } from "../../src/options/terminal.ts";

const names = Object.keys(commands);
const pages: [name: string, page: (width: number) => Promise<string> | string][] = [
  ["help", (width) => helpText("runfcgi", { width, color: false })],
  ...names.map((name): typeof pages[0] => [`help ${name}`, (width) => commandHelp(name, { width, color: false })]),
];

describe("help", () => {
  for (const width of [60, 80, 160]) {
    for (const [name, page] of pages) {
      test(`"${name}" fits a terminal of ${width} columns`, async () => {
        const text = await page(width);
        // Examples can be pasted, and are one line each.
        const long = text.split("\n").filter((line) =>
          line.length > width && !/^ {2}(?:runfcgi|eval) /.test(line) && / \S+ /.test(line)
        );
        assert.deepEqual(long, []);
        if (width === 160 && name === "help") assert.ok(text.split("\n").some((line) => line.length > 120));
      });
    }
  }

  test("has a page about every command and every option", async () => {
    for (const name of names) assert.match(await topicHelp(name), new RegExp(`^(?:runfcgi )?${name}\\b`, "m"));
    for (const [name, { help }] of Object.entries(optionTable).filter(([name]) => !names.includes(name))) {
      const text = await topicHelp(name, { width: 500, color: false });
      assert.ok(text.startsWith(`${name}\n\n${help}\n\nUse\n  Value `), text);
      assert.match(text, new RegExp(`^ {2}Environment +RUNFCGI_${name.toUpperCase()}$`, "m"));
    }
    assert.match(await topicHelp("servername"), /^servername \(init, config\)\n/);
    assert.match(await topicHelp("budget"), /^ {2}Processors +\d/m);
    await assert.rejects(topicHelp("scoket"), new UsageError('there is no help about "scoket", did you mean "socket"?'));
    await assert.rejects(topicHelp("quux"), new UsageError('there is no help about "quux": help lists them'));
  });

  test("has colours only on a terminal, and not with NO_COLOR", () => {
    const { NO_COLOR, TERM } = process.env;
    try {
      delete process.env.NO_COLOR;
      process.env.TERM = "xterm";
      assert.deepEqual(screenOf({}), { width: 100, color: false });
      assert.deepEqual(screenOf({ isTTY: true, columns: 72 }), { width: 72, color: true });
      assert.deepEqual(screenOf({ isTTY: true, columns: 0 }), { width: 100, color: true });
      process.env.TERM = "dumb";
      assert.equal(screenOf({ isTTY: true, columns: 72 }).color, false);
      process.env.TERM = "xterm";
      process.env.NO_COLOR = "1";
      assert.equal(screenOf({ isTTY: true, columns: 72 }).color, false);
    } finally {
      for (const [name, value] of Object.entries({ NO_COLOR, TERM })) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
    const shown = helpText("runfcgi", { width: 80, color: true });
    assert.ok(shown.includes("\n  \x1b[36mprotocol\x1b[0m "));
    assert.equal(stripVTControlCharacters(shown), helpText("runfcgi", { width: 80, color: false }));
  });
});

describe("nearest()", () => {
  const cases: [name: string, near: string | undefined][] = [
    ["docter", "doctor"],
    ["conifg", "config"],
    ["CONFIG", "config"],
    ["gte", "get"],
    ["go", undefined],
    ["app", undefined],
    ["index", undefined],
  ];
  for (const [name, near] of cases) test(`takes ${name} for ${near}`, () => assert.equal(nearest(name, names), near));
});

const has = (command: string, ...args: string[]) => spawnSync(command, args, { stdio: "ignore" }).status === 0;

describe("the manual page", () => {
  test("has every command and option, and no line that roff would take for a request", async () => {
    const text = await manual();
    for (const name of names) assert.ok(text.includes(`\n.SS ${name}\n`), name);
    for (const name of Object.keys(optionTable)) assert.ok(text.includes(`\n.B ${name}\n`), name);
    const requests = text.split("\n").filter((line) => /^[.']/.test(line) && !/^\.(?:TH|SH|SS|PP|TP|B|nf|fi)(?: |$)/.test(line));
    assert.deepEqual(requests, []);
  });

  test("is shown without a warning", { skip: !has("man", "--version") && "needs man" }, async () => {
    const shown = spawnSync("man", ["--warnings", "-l", "-P", "cat", "-"], {
      input: await manual(),
      encoding: "utf8",
      env: { ...process.env, LC_ALL: "C.UTF-8", MANWIDTH: "80" },
    });
    assert.deepEqual([shown.status, shown.stderr], [0, ""]);
    assert.match(shown.stdout, /^ +runfcgi get \[option=value \.\.\.\] PATH\|URL$/m);
  });
});

describe("completion", () => {
  const lines: [line: string, completed: string][] = [
    ["runfcgi sto", "stop"],
    ["runfcgi config ngi", "nginx"],
    ["runfcgi app.ts protocol=f", "fcgi"],
    ["runfcgi status --j", "--json"],
    ["runfcgi get --verb", "--verbose"],
    ["runfcgi completion z", "zsh"],
  ];

  test("in bash", { skip: !has("bash", "--version") && "needs bash" }, async () => {
    for (const [line, completed] of lines) {
      const script = `${await completion(["bash"])}
compopt() { :; }
COMP_LINE=$1 COMP_POINT=\${#1} COMP_WORDS=($1) COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
_runfcgi; printf '%s\\n' "\${COMPREPLY[@]}"`;
      // It warns of a locale that is not installed.
      const env = { ...process.env, LC_ALL: "C" };
      const { stdout, stderr } = spawnSync("bash", ["-c", script, "bash", line], { encoding: "utf8", env });
      assert.deepEqual([line, stdout, stderr], [line, `${completed}\n`, ""]);
    }
  });

  test("in fish", { skip: !has("fish", "--version") && "needs fish" }, async () => {
    for (const [line, completed] of lines) {
      const script = `${await completion(["fish"])}\ncomplete -C ${JSON.stringify(line)}`;
      const { stdout } = spawnSync("fish", ["-c", script], { encoding: "utf8", env: { ...process.env, HOME: "/nonexistent" } });
      assert.equal(stdout.split("\n")[0].split("\t")[0].replace("protocol=", ""), completed, line);
    }
  });

  test("in zsh", { skip: !has("zsh", "--version") && "needs zsh" }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "runfcgi-zsh-"));
    try {
      const file = join(folder, "completion");
      writeFileSync(file, `${await completion(["zsh"])}\nrunfcgi() { print -r -- "GOT[$*]" }\n`);
      // A shell in a terminal of its own, which is given the line with a tab behind it.
      const script = `zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "autoload -Uz compinit; compinit -u -D; . $1; print RE''ADY"
zpty -r shell seen '*READY*'
zpty -w shell "$2"$'\\t'
zpty -r shell seen '*GOT*]*'
print -r -- "$seen"`;
      for (const [line, completed] of lines.slice(0, 3)) {
        const { stdout } = spawnSync("zsh", ["-f", "-c", script, "zsh", file, line], {
          encoding: "utf8",
          timeout: 20_000,
          env: { ...process.env, TERM: "dumb", HOME: folder },
        });
        const expected = line.replace(/^runfcgi /, "").replace(/[^ =]*$/, completed);
        assert.equal(/GOT\[(.*?) ?\]/.exec(stdout)?.[1], expected, stdout);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("knows the options and words of every command", async () => {
    const script = await completion(["bash"]);
    for (const name of names) {
      const { options, words = [] } = await usageOf(name);
      const [, completed] = new RegExp(`^ {4}${name}\\) words='(.*)' ;;$`, "m").exec(script)!;
      const expected = Object.entries(options).map(([option, { kind }]) => kind ? `${option}=` : `--${option}`);
      for (const word of [...words, ...expected]) assert.ok(completed.split(" ").includes(word), `${name} ${word}`);
    }
    await assert.rejects(completion(["tcsh"]), UsageError);
    await assert.rejects(completion([]), UsageError);
  });
});

test("the doctor's findings fit the terminal, except what is to be pasted", () => {
  const finding = problem("endpoint", `there is no socket ${"and no folder ".repeat(8)}`.trim(), `Run:\n${"x".repeat(90)}`);
  assert.equal(
    findingText(finding),
    `problem      endpoint       ${finding.text}\n${" ".repeat(28)}Run:\n${" ".repeat(28)}${"x".repeat(90)}\n`,
  );
  for (const [width, indent] of [[60, 4], [80, 28]]) {
    const lines = findingText(finding, { width, color: true }).split("\n");
    assert.ok(lines[0].startsWith("\x1b[31mproblem\x1b[0m      endpoint"));
    const [pasted, ...others] = lines.map(stripVTControlCharacters).toSorted((a, b) => b.length - a.length);
    assert.equal(pasted, " ".repeat(indent) + "x".repeat(90));
    assert.ok(others.every((line) => line.length <= width));
  }
});
