/** The README says of the options what the program says. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { ask, cleanUp, hello, launch, site } from "../support/cli.ts";
import { until } from "../support/program.ts";
import { optionTable } from "../../src/options/options.ts";
import { meaning } from "../../scripts/readme.ts";

const text = readFileSync(new URL("../../README.md", import.meta.url), "utf8");

/** Cells of the table below a heading. */
function table(heading: string): string[][] {
  const section = text.split(`\n## ${heading}\n`)[1]?.split("\n## ")[0] ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("| `"));
  return rows.map((row) => row.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()));
}

describe("the README", () => {
  const names = Object.keys(optionTable);

  test("lists every option with the default and the meaning that help shows", () => {
    const shown = Object.entries(optionTable).map(([name, option]) => [`\`${name}\``, option.default, meaning(option.help)]);
    assert.deepEqual(table("Options"), shown, "deno task readme writes the tables");
  });

  test("maps each of Django's options", () => {
    // Of django/core/servers/fastcgi.py.
    const django = "protocol host port socket method maxrequests maxspare minspare maxchildren daemonize pidfile workdir umask " +
      "outlog errlog debug";
    const rows = table("Coming from Django");
    assert.deepEqual(rows.map(([name]) => name.replaceAll("`", "")), django.split(" "));
    for (const [name, ours] of rows) assert.ok(names.includes(/^`(\w+)/.exec(ours)?.[1] ?? ""), `${name}: ${ours}`);
  });
});

describe("what the README says to those who come from PHP", () => {
  const rows = new Map(
    table("Coming from PHP").map((
      [php, here],
    ) => [/`(.*?)`/.exec(php)![1], (/`(.*?)`/.exec(here)?.[1] ?? "").replaceAll("\\|", "|")]),
  );
  const form = new FormData();
  form.set("name", "Jürgen");
  form.set("photo", new File(["jpg"], "me.jpg", { type: "image/jpeg" }));
  const stderr: string[] = [];
  const info = {
    remoteAddr: { hostname: "192.0.2.7" },
    params: { REMOTE_USER: "me" },
    stderr: (text: string) => stderr.push(text),
  };
  /** The value of the expression that a row gives. */
  const valueOf = (php: string) => {
    const request = new Request("http://example.org/a?q=x%20y", {
      method: "POST",
      body: form,
      headers: { cookie: "sid=1; id=7" },
    });
    const AsyncFunction = (async () => {}).constructor as new (...words: string[]) => (...values: unknown[]) => Promise<unknown>;
    return new AsyncFunction("request", "info", "data", `return (${rows.get(php)})`)(request, info, { a: 1 });
  };
  const headers = async (php: string, name: string) => {
    const response = await valueOf(php) as Response;
    return [response.status, response.headers.get(name)];
  };

  test("reads a request", async () => {
    assert.equal(await valueOf('$_GET["q"]'), "x y");
    assert.equal(await valueOf('$_POST["name"]'), "Jürgen");
    const file = await valueOf('$_FILES["photo"]') as File;
    assert.deepEqual([file.name, file.type, file.size, (await file.arrayBuffer()).byteLength], ["me.jpg", "image/jpeg", 3, 3]);
    assert.match(await valueOf('file_get_contents("php://input")') as string, /me\.jpg/);
    assert.equal(await valueOf('$_COOKIE["id"]'), "7");
    assert.equal(await valueOf('$_SERVER["REMOTE_ADDR"]'), "192.0.2.7");
    assert.equal(await valueOf('$_SERVER["REMOTE_USER"]'), "me");
  });

  test("makes a response", async () => {
    assert.deepEqual(await headers('setcookie("id", "7")', "set-cookie"), [200, "id=7; Path=/; HttpOnly; Secure; SameSite=Lax"]);
    assert.deepEqual(await headers('header("Location: /login")', "location"), [303, "http://example.org/login"]);
    assert.deepEqual(await headers("http_response_code(404)", "x-none"), [404, null]);
    assert.deepEqual(await (await valueOf("echo json_encode($data)") as Response).json(), { a: 1 });
    await valueOf('error_log("text")');
    assert.deepEqual(stderr, ["text"]);
  });
});

describe("the permissions of Deno in the README", { skip: !process.versions.deno && "needs Deno" }, () => {
  const mod = new URL("../../mod.ts", import.meta.url).pathname;
  const lines = [...text.matchAll(/^deno run ((?:--allow-\w+ )+)mod\.ts (.*)$/gm)].map(([, permissions, words]) => ({
    permissions: permissions.trim().split(" "),
    words: words.split(" "),
  }));
  /** The program with exactly these permissions: Deno gives more to a Deno that it starts, unless it does not see it. */
  const start = (permissions: string[], words: string[], cwd: string) => {
    const script = join(site(), "start.sh");
    writeFileSync(script, `exec '${process.execPath}' run --no-prompt ${permissions.join(" ")} '${mod}' "$@"\n`);
    return launch(["/bin/sh", script, ...words], { cwd });
  };

  test("to start an application are these in short", () => {
    const letters: Record<string, string> = { env: "E", read: "R", write: "W", net: "N", sys: "S" };
    const long = lines.at(-1)!.permissions.map((word) => word.replace("--allow-", ""));
    const short = long.flatMap((name) => letters[name] ?? []).sort().join("");
    const [, given, others] = /^deno run -([A-Z]+) (.*?) mod\.ts app\.ts preview=8000$/m.exec(text)!;
    assert.deepEqual([[...given].sort().join(""), others.split(" ")], [
      short,
      long.filter((name) => !letters[name]).map((name) => `--allow-${name}`),
    ]);
  });

  test("are enough, and each is needed", async () => {
    assert.deepEqual(lines.map(({ words: [word] }) => word), ["config", "init", "get", "app.ts"]);
    const cwd = site({ "app.ts": hello });
    const socket = join(cwd, "s.sock");
    const at = (words: string[]) => words.map((word) => word.replace("/run/mysite.sock", socket));
    const serves = lines.at(-1)!;
    for (const method of ["threaded", "prefork"]) {
      const server = start(serves.permissions, [...at(serves.words), `method=${method}`, "threads=2"], cwd);
      await until("it serves", () => server.stderr().includes("serving"));
      assert.equal((await ask({ socket }, "/a")).text, "hello /a", server.stderr());
      if (method === "threaded") {
        for (const { permissions, words } of lines.slice(0, -1)) {
          const enough = start(permissions, at(words), cwd);
          assert.equal((await enough.exit).code, 0, `${words}: ${enough.stderr()}`);
          for (const less of permissions) {
            const missing = start(permissions.filter((other) => other !== less), at(words), site());
            assert.notEqual((await missing.exit).code, 0, `${words} without ${less}`);
          }
        }
      }
      await server.stop();
    }
  });
});

cleanUp();
