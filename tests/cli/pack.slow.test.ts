/** The npm package, and the same name in applications of the compiled program. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { commit, tools } from "../../scripts/tools.ts";
import { version } from "../../src/server/version.ts";
import { ask, cleanUp, serving, site } from "../support/cli.ts";
import { chapters, textOf } from "../support/manual.ts";
import { program } from "../support/program.ts";

const { name: runtime } = program();
cleanUp();

const deno = process.versions.deno !== undefined;
const fileOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** Runs a module on this runtime. */
function runs(module: string, words: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...deno ? ["run", "-A", "--no-check"] : [], module, ...words], {
    cwd,
    encoding: "utf8",
    timeout: 120_000,
    env: { ...process.env, NO_COLOR: "1" },
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

const user = `import { AbortedError, serve, type ServeInfo } from "runfcgi";

await using server = await serve({ port: 0 }, {
  fetch: (request: Request, info: ServeInfo) => new Response(info.remoteAddr.hostname + request.url),
});
console.log(server.address.transport, new AbortedError("x").name);
`;
/** What the types have to refuse. */
const mistakes = ["{}", '{ port: 0, socket: "/s" }', '{ port: 0, protocol: "http2" }', "{ port: 0, mode: 0o600 }"];

describe(`the package (${runtime})`, { skip: runtime === "binary" && "the compiled program has it inside" }, () => {
  test("is imported by its name, from JavaScript, and has its types", () => {
    const folder = site({ "package.json": '{ "type": "module", "dependencies": { "runfcgi": "*" } }', "use.ts": user });
    mkdirSync(join(folder, "node_modules"));
    runs(fileOf("../../scripts/pack.ts"), [join(folder, "node_modules/runfcgi")], fileOf("../.."));
    assert.equal(runs(join(folder, "use.ts"), [], folder), "tcp AbortError\n");
    const said = runs(join(folder, "node_modules/runfcgi/bin.js"), ["version"], folder);
    assert.ok(said.startsWith(`runfcgi ${version} (commit ${commit()}, `), said);
    const { node, tsc, modules } = tools();
    const compilerOptions = {
      module: "nodenext",
      target: "es2024",
      lib: ["esnext", "dom"],
      strict: true,
      noEmit: true,
      types: ["node"],
      typeRoots: [join(modules, "@types")],
    };
    const wrong = mistakes.map((options) => `// @ts-expect-error\nawait serve(${options}, () => new Response());\n`);
    writeFileSync(join(folder, "wrong.ts"), `import { serve } from "runfcgi";\n${wrong.join("")}`);
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["use.ts", "wrong.ts"] }));
    const { status, stdout } = spawnSync(node, [tsc, "-p", folder], { encoding: "utf8", timeout: 120_000 });
    assert.equal(status, 0, stdout);
    for (const file of ["README.md", ...chapters.map((name) => `src/cli/manual/${name}.md`)]) {
      assert.equal(readFileSync(join(folder, "node_modules/runfcgi", file), "utf8"), textOf(file));
    }
    const { bin } = JSON.parse(readFileSync(join(folder, "node_modules/runfcgi/package.json"), "utf8"));
    assert.match(
      runs(join(folder, "node_modules/runfcgi", bin.runfcgi), ["help"], folder),
      /^runfcgi .* puts a TypeScript application/,
    );
    assert.match(runs(join(folder, "node_modules/runfcgi", bin.runfcgi), ["help", "nginx"], folder), /^NGINX\n/);
  });
});

describe(`an application (${runtime})`, { skip: runtime !== "binary" && "it imports the package" }, () => {
  test("imports the library by the package's names", async () => {
    const cwd = site({
      "app.ts": `import { nodeHandler } from "runfcgi";
import { nodeHandler as again } from "@runfcgi/runfcgi";
export default nodeHandler((request, response) => void response.end("by runfcgi " + request.url + (nodeHandler === again)));
`,
    });
    const socket = join(cwd, "s.sock");
    const running = await serving({ socket }, ["threads=1"], { cwd });
    assert.equal((await ask({ socket }, "/a")).text, "by runfcgi /atrue");
    await running.stop();
  });
});
