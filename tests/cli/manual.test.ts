/** README and manual: short enough, no link that leads nowhere, and what they say of commands and options holds. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { ask, cleanUp, hello, launch, run, site } from "../support/cli.ts";
import { blocks, chapter, chapters, documents, rows, section, textOf } from "../support/manual.ts";
import { freePort, until } from "../support/program.ts";
import { parseCommandLine } from "../../src/cli/command_line.ts";
import { commands, isCommand, usageOf } from "../../src/cli/commands/commands.ts";
import { chapters as inHelp } from "../../src/cli/manual.ts";
import { configText } from "../../src/config/servers.ts";
import { parseArguments } from "../../src/options/arguments.ts";
import { optionTable } from "../../src/options/options.ts";
import { serve } from "../../src/server/serve.ts";
import { meaning } from "../../scripts/manual.ts";

/** Texts whose links lead somewhere. */
const linked = [
  ...documents,
  ...["ARCHITECTURE", "CHANGELOG", "CONTRIBUTING", "PULL_REQUEST_TEMPLATE", "SECURITY"].map((name) => `.github/${name}.md`)
    .concat("tests/README.md").map((path) => ({ path, text: textOf(path) })),
];

/** What a heading is called in links, as forges have it. */
const anchor = (heading: string): string => heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");

const anchorsOf = (text: string): string[] =>
  [...text.replace(/^ *```[^]*?^ *```$/gm, "").matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchor(heading));

/** Arguments as a shell has them. */
const argumentsOf = (line: string): string[] =>
  [...line.matchAll(/(?:[^\s"']|"[^"]*"|'[^']*')+/g)].map(([word]) => word.replace(/["']/g, ""));

/** Commands of the program in a text, in blocks and in the middle of sentences. */
function commandsIn(text: string): string[] {
  const own = String
    .raw`(?:sudo |npx )?(?:runfcgi|\./runfcgi-linux-x64|\./mysite\.fcgi|deno run [^\n]*?mod\.ts|bun mod\.ts|node mod\.ts) `;
  const code = text.replaceAll("\\\n", " ");
  const lines = [...code.matchAll(/^( *)```sh\n([^]*?)^\1```$/gm)].flatMap(([, , block]) => block.split("\n"));
  const spans = [...text.replace(/^( *)```[^]*?^\1```$/gm, "").matchAll(/`([^`]+)`/g)].map(([, span]) =>
    span.replaceAll("\n", " ")
  );
  return [...lines, ...spans].flatMap((line) => new RegExp(`^ *${own}(.*?)(?: #.*| &)?$`).exec(line)?.[1] ?? [])
    .filter((words) => !/…|^= /.test(words));
}

/** Parses a command as the program would. @throws {UsageError} */
async function check(line: string): Promise<void> {
  const [command, ...rest] = argumentsOf(line);
  // What a table or sentence leaves open.
  if (/^[A-Z]+$/.test(command) || ["help", "completion", "manpage", "version"].includes(command)) return;
  if (command === "config" && rest.length > 0) return void configText(rest);
  if (isCommand(command) && commands[command].load) return void parseArguments(rest, (await usageOf(command)).options);
  parseCommandLine([command, ...rest]);
}

describe("README and manual", () => {
  test("have a README of at most 12 KB", () => {
    assert.ok(Buffer.byteLength(textOf("README.md")) <= 12 * 1024);
  });

  for (const { path, text } of linked) {
    test(`have no link that leads nowhere: ${path}`, () => {
      const links = [...text.replace(/^( *)```[^]*?^\1```$/gm, "").replace(/`[^`\n]*`/g, "``").matchAll(/\]\(([^)\s]+)\)/g)];
      for (const [, link] of links.filter(([, link]) => !/^\w+:/.test(link))) {
        const [file, heading] = link.split("#");
        const target = file === "" ? path : join(dirname(path), file);
        assert.ok(existsSync(new URL(`../../${target}`, import.meta.url)), `${link}: there is no ${target}`);
        if (heading !== undefined) assert.ok(anchorsOf(textOf(target)).includes(heading), `${link}: no such heading`);
      }
    });
  }

  for (const { path, text } of documents) {
    test(`have commands that the program knows: ${path}`, async () => {
      for (const line of commandsIn(text)) {
        await check(line).catch((error) => assert.fail(`${line}: ${error.message}`));
      }
    });
  }

  test("have the same examples", () => {
    const shown = (text: string) => blocks(text, "ts").map((code) => code.trim());
    const [app, server] = shown(textOf("README.md"));
    assert.deepEqual([shown(chapter("applications"))[0], shown(chapter("library"))[0]], [app, server]);
  });

  test("lead from the README to each chapter", () => {
    for (const { path } of documents.slice(1)) assert.ok(textOf("README.md").includes(`](${path})`), path);
  });
});

describe("the manual", () => {
  const names = Object.keys(optionTable);

  test("lists every option with the default and the meaning that help shows", () => {
    const shown = Object.entries(optionTable).map(([name, option]) => [`\`${name}\``, option.default, meaning(option.help)]);
    const tables = chapter("options").replace(/^[^]*?\n## /, "");
    assert.deepEqual(rows(tables), shown, "deno task manual writes the tables");
  });

  test("has its chapters in help, none with the name of something else", () => {
    assert.deepEqual(Object.keys(inHelp).sort(), chapters);
    for (const name of chapters) assert.ok(!isCommand(name) && !names.includes(name), name);
  });

  test("names every option of serve(), and all that info has", async () => {
    const named = (heading: string) =>
      [...section(chapter("library"), heading).matchAll(/^- (.*?):/gm)].flatMap(([, names]) => names.match(/\w+(?=[`(])/g)!);
    const { message } = await serve({ nonsense: 1 } as never, () => new Response()).then(() => assert.fail(), (error) => error);
    const options = message.replace(/^.*only /, "").split(", ").concat("limits");
    assert.deepEqual(named("Options").sort(), options.sort());
    let properties: string[] = [];
    await using server = await serve({ port: 0, protocol: "http" }, (_, info) => {
      properties = Object.keys(info);
      return new Response();
    });
    assert.ok(server.address.transport === "tcp");
    await (await fetch(`http://127.0.0.1:${server.address.port}/`)).body?.cancel();
    assert.deepEqual(named("What info has").sort(), properties.sort());
  });

  test("is printed by the program, chapter by chapter", async () => {
    const { code, stdout, stderr } = await run(["help", "shared", "hosting"]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.ok(stdout.startsWith("SHARED HOSTING\n==============\n\nFor hosts that run Apache"), stdout);
    assert.match(stdout, /\(help runtimes\)/);
    const list = await run(["help"]);
    for (const name of chapters) assert.match(list.stdout, new RegExp(`^ {2}${name} `, "m"));
    for (const [wrong, right] of [["ngnix", 'did you mean "nginx"?'], ["php", "but a chapter: help coming-from"]]) {
      const { code, stderr } = await run(["help", wrong]);
      assert.deepEqual([code, stderr], [2, `runfcgi: there is no help about "${wrong}", ${right}\n`]);
    }
  });

  test("maps each of Django's options", () => {
    // Of django/core/servers/fastcgi.py.
    const django = "protocol host port socket method maxrequests maxspare minspare maxchildren daemonize pidfile workdir umask " +
      "outlog errlog debug";
    const table = rows(section(chapter("coming-from"), "Django"));
    assert.deepEqual(table.map(([name]) => name.replaceAll("`", "")), django.split(" "));
    for (const [name, ours] of table) assert.ok(names.includes(/^`(\w+)/.exec(ours)?.[1] ?? ""), `${name}: ${ours}`);
  });
});

describe("what the manual says to those who come from PHP", () => {
  const table = new Map(
    rows(section(chapter("coming-from"), "PHP")).map((
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
    return new AsyncFunction("request", "info", "data", `return (${table.get(php)})`)(request, info, { a: 1 });
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

describe("the permissions of Deno in the manual", { skip: !process.versions.deno && "needs Deno" }, () => {
  const text = chapter("runtimes");
  const mod = new URL("../../mod.ts", import.meta.url).pathname;
  const letters: Record<string, string> = { E: "env", R: "read", W: "write", N: "net", S: "sys" };
  /** In long form, each for itself. */
  const spelled = (word: string) =>
    word.startsWith("--") ? word : [...word.slice(1)].map((letter) => `--allow-${letters[letter]}`);
  const [preview, ...lines] = [...text.matchAll(/^deno run ((?:-\S+ )+)mod\.ts (.*)$/gm)].map(([, permissions, words]) => ({
    permissions: permissions.trim().split(" ").flatMap(spelled),
    words: words.split(" "),
  }));
  /** The program with exactly these permissions: Deno gives more to a Deno that it starts, unless it does not see it. */
  const start = (permissions: string[], words: string[], cwd: string) => {
    const script = join(site(), "start.sh");
    writeFileSync(script, `exec '${process.execPath}' run --no-prompt ${permissions.join(" ")} '${mod}' "$@"\n`);
    return launch(["/bin/sh", script, ...words], { cwd });
  };

  test("are the same for a preview and a server", () => {
    assert.deepEqual(preview.words, ["app.ts", "preview=8000"]);
    assert.deepEqual(preview.permissions, lines.at(-1)!.permissions);
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
    const port = await freePort();
    const server = start(serves.permissions, ["app.ts", `port=${port}`, "threads=2"], cwd);
    await until("it serves on a port", () => server.stderr().includes("serving"));
    assert.equal((await ask({ port }, "/a")).text, "hello /a", server.stderr());
    await server.stop();
  });
});

cleanUp();
