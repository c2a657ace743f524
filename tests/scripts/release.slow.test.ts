/** The files of a release: the same each time, and a Debian package that serves a site and leaves nothing behind. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, globSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import { descriptorOf } from "../../src/runtime/descriptor.ts";
import { version } from "../../src/server/version.ts";
import { ask, cleanUp, hello, launch, site } from "../support/cli.ts";
import { root, tools } from "../../scripts/tools.ts";

cleanUp();
const target = `${process.platform}-${process.arch}`;
const architecture = process.arch === "arm64" ? "arm64" : "amd64";
const missing = spawnSync("dpkg-deb", ["--version"]).status !== 0;

describe("a release", { skip: missing && process.env.CI !== "true" && "dpkg-deb is not installed" }, () => {
  const folders = ["first", "second"].map((name) => join(site(), name));
  const make = (output: string) => {
    const words = ["run", "-A", join(root, "scripts/release.ts"), "--target", target, "--output", output];
    execFileSync(tools().deno, words, { stdio: ["ignore", "ignore", "inherit"], cwd: root, timeout: 280_000 });
  };

  test("has the same bytes when it is made again", () => {
    for (const folder of folders) make(folder);
    const program = `runfcgi-${version}-${target}`;
    const names = [
      "SHA256SUMS",
      ...["", ".gz", ".fcgi"].map((end) => program + end),
      ...["-node.fcgi", ".tgz"].map((end) => `runfcgi-${version}${end}`),
      `runfcgi_${version}_${architecture}.deb`,
    ];
    assert.deepEqual(readdirSync(folders[0]).sort(), names.toSorted());
    const [first, second] = folders.map((folder) => readFileSync(join(folder, "SHA256SUMS"), "utf8"));
    assert.equal(first, second);
    for (const name of names.slice(1)) {
      const sum = createHash("sha256").update(readFileSync(join(folders[0], name))).digest("hex");
      assert.ok(first.includes(`${sum}  ${name}\n`), name);
    }
  });

  test("has the scripts of shared hosting, which start what is in or beside them", () => {
    const [from, to] = [folders[0], site()];
    const { node } = tools();
    copyFileSync(join(from, `runfcgi-${version}-${target}.gz`), join(to, "runfcgi.gz"));
    for (const kind of ["node", target]) {
      const script = `runfcgi-${version}-${kind}.fcgi`;
      copyFileSync(join(from, script), join(to, script));
      const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}` };
      assert.match(execFileSync(join(to, script), ["version"], { encoding: "utf8", env }), /^runfcgi \d/);
    }
  });

  test("has an npm package that npx runs, and that the runtimes import", () => {
    const cwd = site({ "use.mjs": 'import { serve } from "runfcgi";\nconsole.log(typeof serve);\n', "package.json": "{}" });
    const file = join(folders[0], `runfcgi-${version}.tgz`);
    const { deno, bun, node } = tools();
    // npx and npm themselves run on the Node that is found.
    const env = { ...process.env, PATH: `${dirname(node)}:${process.env.PATH}`, NO_COLOR: "1" };
    const run = (command: string, ...words: string[]) => execFileSync(command, words, { cwd, env, encoding: "utf8" });
    assert.match(run("npx", "--yes", "--offline", "--package", file, "runfcgi", "version"), /^runfcgi .*Node/);
    run("npx", "--yes", "--offline", "--package", file, "runfcgi", "init", "site", "for=apache-shared", "node=true");
    const [made, released] = [join(cwd, "site/mysite.fcgi"), join(folders[0], `runfcgi-${version}-node.fcgi`)];
    assert.ok(readFileSync(made).equals(readFileSync(released)), "they differ");
    run("npm", "install", "--offline", "--no-audit", "--no-fund", file);
    for (const words of [[node], [bun], [deno, "run", "-A"]]) {
      assert.equal(run(words[0], ...words.slice(1), "use.mjs"), "function\n");
    }
  });

  test("has a Debian package that leaves the root of the system open to all", () => {
    const file = join(folders[0], `runfcgi_${version}_${architecture}.deb`);
    assert.match(execFileSync("dpkg-deb", ["--contents", file], { encoding: "utf8" }), /^drwxr-xr-x root\/root .* \.\/\n/);
  });

  test("has a Debian package whose unit serves a site, and which leaves nothing behind", async () => {
    const place = site();
    const data = join(place, "var/lib/dpkg");
    for (const name of ["info", "updates"]) mkdirSync(join(data, name), { recursive: true });
    writeFileSync(join(data, "status"), "");
    const dpkg = (...words: string[]) => {
      const options = ["--root", place, "--force-not-root", "--force-depends", "--log=/dev/null"];
      execFileSync("dpkg", [...options, ...words], { stdio: "ignore", env: { ...process.env, LC_ALL: "C" } });
    };
    const files = () => globSync("{usr,lib,etc}/**", { cwd: place }).sort();
    dpkg("--install", join(folders[0], `runfcgi_${version}_${architecture}.deb`));
    for (
      const file of [
        "usr/bin/runfcgi",
        "usr/share/man/man1/runfcgi.1.gz",
        "usr/share/bash-completion/completions/runfcgi",
        "lib/systemd/system/runfcgi@.socket",
      ]
    ) assert.ok(existsSync(join(place, file)), file);
    const unit = readFileSync(join(place, "lib/systemd/system/runfcgi@.service"), "utf8");
    const [start, ...words] = unit.match(/^ExecStart=(.*)$/m)![1].split(" ");
    assert.match(unit, /^ProtectSystem=strict$/m);

    // As systemd does: the socket on descriptor 3, in the site's folder.
    const cwd = site({ "app.ts": hello });
    const listener = createServer();
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    const { port } = listener.address() as { port: number };
    const fd = descriptorOf(listener, { transport: "tcp", hostname: "127.0.0.1", port });
    const script = 'exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"';
    const running = launch([
      "sh",
      "-c",
      script,
      "sh",
      join(place, start),
      ...words.map((word) => word.replace("/run/runfcgi/%i/%i", join(cwd, "site"))),
    ], { cwd, stdin: fd });
    listener.close();
    assert.equal((await ask({ port }, "/package")).text, "hello /package");
    await running.stop();

    dpkg("--purge", "runfcgi");
    assert.deepEqual(files(), []);
  });
});
