/** The README's example and its three doors, and the files and functions that ARCHITECTURE names. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, globSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ask as askHttp } from "../support/http.ts";
import { cleanUp, launch, run, serving, site } from "../support/cli.ts";
import { blocks, section, textOf } from "../support/manual.ts";
import { accepting, freePort, program } from "../support/program.ts";

cleanUp();

const readme = textOf("README.md");
const compiled = program().name === "binary";

/** The arguments of the door's command of the program that contains a word. */
function command(door: string, word: string, block = "sh"): string[] {
  const lines = blocks(section(readme, door), block).join("").split("\n");
  const line = lines.find((line) => line.includes("runfcgi ") && line.includes(word));
  assert.ok(line, `there is no command with "${word}" below "${door}"`);
  return line.replace(/^.*?runfcgi /, "").split(" ");
}

describe("the README", () => {
  test("shows an application that is seen in a browser", async () => {
    const cwd = site({ "app.ts": blocks(readme, "ts")[0] });
    const port = await freePort();
    assert.ok(readme.includes("`runfcgi app.ts preview=8000`"));
    const running = launch([...program().command, "app.ts", `preview=${port}`], { cwd });
    await accepting({ port }, running);
    assert.equal((await askHttp(port, "/a/b")).text, "Hello from /a/b\n");
    await running.stop();
  });

  test("makes a site for shared hosting", { skip: !compiled && "uploads the compiled program" }, async () => {
    const cwd = site();
    const { code, stderr } = await run(command("Shared hosting", "init"), { cwd });
    assert.deepEqual([code, stderr], [0, ""]);
    const files = readdirSync(join(cwd, "mysite")).sort().map((name) => name.replace(/^doctor-\w+/, "doctor-…"));
    assert.deepEqual(files, [".htaccess", ".htmysite.key", "doctor-….php", "mysite.fcgi", "mysite.ts", "runfcgi.gz"]);
  });

  test("makes a site behind your own server, which the doctor finds nothing wrong with", async () => {
    const door = "Your own server";
    const cwd = site();
    const socket = join(cwd, "s.sock");
    const here = (words: string[]) => words.map((word) => word.replace("/run/mysite.sock", socket));
    const { stdout } = await run(here(command(door, "init")), { cwd });
    // As root or by sudo, and from anywhere.
    const shown = stdout.replaceAll(`${cwd}/`, "");
    for (const line of blocks(section(readme, door), "sh").join("").split("\n").filter((line) => /nginx\b/.test(line))) {
      if (!line.includes("init")) assert.ok(shown.includes(line.replaceAll("sudo ", "")), line);
    }
    assert.ok(existsSync(join(cwd, "mysite/nginx.conf")));
    const words = here(command(door, "mode="));
    assert.ok(shown.includes(words.join(" ").replace(socket, "s.sock")), shown);
    const running = await serving({ socket }, [...words.filter((word) => word !== `socket=${socket}`), "threads=1"], { cwd });
    // Web servers of other tests may run meanwhile, whose users cannot reach this folder.
    const me = execFileSync("id", ["-un"], { encoding: "utf8" }).trim();
    const doctor = await run([...here(command(door, "doctor")), `user=${me}`], { cwd });
    assert.equal(doctor.code, 0, doctor.stdout + doctor.stderr);
    assert.ok(doctor.stdout.includes(`\n${/“(.*)” from the doctor/.exec(readme)?.[1]}`), doctor.stdout);
    await running.stop();
  });

  test("makes a server with the library", { skip: compiled && "runs by a runtime" }, async () => {
    const door = section(readme, "A library");
    const cwd = site();
    const socket = join(cwd, "s.sock");
    const mod = new URL("../../mod.ts", import.meta.url).href;
    const source = blocks(door, "ts")[0].replace('"runfcgi"', `"${mod}"`).replace("/run/hello.sock", socket);
    writeFileSync(join(cwd, "server.mts"), source);
    const words = process.versions.deno ? ["run", "-A"] : [];
    const running = launch([process.execPath, ...words, "server.mts"], { cwd });
    await accepting({ socket }, running);
    const answer = await run(command("A library", " get ").map((word) => word.replace("/run/hello.sock", socket)), { cwd });
    assert.deepEqual([answer.stdout, answer.stderr], [`${/Result of step 4:\*\* `(.*?)`/.exec(door)?.[1]}\n`, ""]);
    running.kill("SIGTERM");
    assert.equal((await running.exit).code, 0, running.stderr());
  });
});

test("ARCHITECTURE names files that exist, and functions in one of the files named beside them", () => {
  const root = new URL("../../", import.meta.url);
  const files = ["mod.ts", ...globSync("{src,scripts,tests}/**/*.ts", { cwd: fileURLToPath(root) })];
  const parts = textOf(".github/ARCHITECTURE.md").split(/\n(?=\n|\||- |\d\. )/);
  let functions = 0;
  for (const part of parts) {
    const named = [...part.matchAll(/`([\w/]+\.ts)`/g)].map(([, name]) => name);
    const found = named.map((name) => files.filter((file) => `/${file}`.endsWith(`/${name}`)));
    for (const [i, name] of named.entries()) assert.ok(found[i].length > 0, `there is no ${name}`);
    const text = found.flat().map(textOf).join("\n");
    for (const [, name] of part.matchAll(/`(?:\w+\.)?(#?\w+)\(\)`/g)) {
      functions++;
      assert.ok(new RegExp(`(?<![\\w#])${name}\\b`).test(text), `there is no ${name}() in ${named.join(", ")}`);
    }
  }
  assert.ok(functions > 10);
});
