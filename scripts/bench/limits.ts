/**
 * What visitors get under small limits of processes and of address space: the compiled program and php-cgi, both started by
 * Apache's mod_fcgid, 25 visitors at once.
 *
 * @module
 */
import { spawn } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../../tests/support/program.ts";
import { columns } from "./figures.ts";
import { folder, say } from "./harness.ts";
import { Missing, spawned } from "./servers.ts";

/** Apache and what it starts run as this user, who has no other processes. */
const UID = 54_322;
const APACHE = "/usr/sbin/apache2";
const MODULES = "/usr/lib/apache2/modules";
const VISITORS = 25;
const ROUNDS = 4;
/** Milliseconds of an answer, so that each visitor needs a process. */
const WORK_MS = 200;
const PATIENCE_MS = 15_000;

/** Steps of `ulimit`: processes besides Apache's own, and address space in MiB. */
const steps = [
  ...[1, 2, 3, 4, 6, 8, 12, 16, 25, 50].map((value) => ({ option: "-u", value, title: `ulimit -u ${value}` })),
  ...[200, 400, 500, 600, 800, 1000, 1100, 1150, 1200, 1300, 1600, 2000, 2200, 2300, 2600, 3200, 4000].map((value) => ({
    option: "-v",
    value,
    title: `ulimit -v ${value} MiB`,
  })),
];

/** Answers by their kind. */
interface Counts {
  ok: number;
  /** Status 503 with a page of ours. */
  page: number;
  other: Map<string, number>;
}

/** Measures and prints a table. @returns the exit status: 1 where the log has a crash report of ours */
export async function limits(): Promise<number> {
  if (process.getuid!() !== 0) throw new Missing("only root can start Apache as another user");
  const compiled = spawned.find(({ id }) => id === "binary")!.command(folder)[0];
  const lines = [["25 visitors x 4", "runfcgi: 200", "503 page", "other", "php-cgi: 200", "other"]];
  let crashes = 0;
  for (const [i, { option, value, title }] of steps.entries()) {
    say(title);
    const place = join(folder, `limits-${i}`);
    const apache = await startApache(place, compiled, option, value);
    try {
      const ours = await visit(apache.port, "/x.ours");
      const php = await visit(apache.port, "/x.php");
      const others = ({ other }: Counts) => [...other].map(([what, count]) => `${count} x ${what}`).join(", ") || "0";
      lines.push([title, String(ours.ok), String(ours.page), others(ours), String(php.ok), others(php)]);
      const log = readFileSync(join(place, "error.log"), "utf8");
      const reports = log.match(/has crashed/g)?.length ?? 0;
      crashes += reports;
      if (reports > 0) lines.at(-1)![3] += `, ${reports} crash reports`;
    } finally {
      await apache.stop();
    }
  }
  say("");
  process.stdout.write("Answers behind mod_fcgid under limits of the host\n\n");
  process.stdout.write(`${columns(lines)}\n`);
  return crashes > 0 ? 1 : 0;
}

async function startApache(place: string, compiled: string, option: string, value: number) {
  mkdirSync(join(place, "ipc"), { recursive: true });
  mkdirSync(join(place, "site"));
  // The folder above is root's alone.
  for (const path of [folder, place, join(place, "site")]) chmodSync(path, 0o755);
  for (const path of [place, join(place, "ipc")]) chownSync(path, UID, UID);
  const write = (name: string, text: string, mode = 0o644) => writeFileSync(join(place, name), text, { mode });
  write("site/x.ours", "");
  write(
    "site/x.php",
    `<?php usleep(${WORK_MS * 1000}); echo strlen(file_get_contents("/proc/self/comm")) > 0 ? "hello" : "nothing";`,
  );
  write(
    "app.ts",
    `import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
export default async () => {
  const { length } = await readFile("/proc/self/comm");
  await sleep(${WORK_MS});
  return new Response(length > 0 ? "hello" : "nothing");
};
`,
  );
  const port = await freePort();
  write(
    "apache.conf",
    `ServerRoot "${place}"
ServerName localhost
Listen 127.0.0.1:${port}
PidFile "${place}/apache.pid"
DefaultRuntimeDir "${place}"
ErrorLog "${place}/error.log"
${["mpm_event", "authz_core", "mime", "fcgid"].map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`).join("\n")}
TypesConfig /dev/null
StartServers 1
ServerLimit 1
ThreadsPerChild 50
MaxRequestWorkers 50
FcgidIPCDir "${place}/ipc"
FcgidProcessTableFile "${place}/fcgid_shm"
FcgidSpawnScoreUpLimit 1000
FcgidIOTimeout 15
DocumentRoot "${place}/site"
AddHandler fcgid-script .ours .php
FcgidWrapper "${place}/ours" .ours
FcgidWrapper "${place}/php" .php
<Directory "${place}/site">
  Require all granted
  Options +ExecCGI
</Directory>
`,
  );
  const setLimit = (limit: number) => {
    // Dash has no ulimit -u.
    write("ours", `#!/bin/bash\nulimit ${option} ${limit}\nexec ${compiled} ${place}/app.ts watch=false\n`, 0o755);
    write("php", `#!/bin/bash\nulimit ${option} ${limit}\nexec php-cgi\n`, 0o755);
  };
  setLimit(0);
  const user = ["setpriv", `--reuid=${UID}`, `--regid=${UID}`, "--clear-groups"];
  const [program, ...words] = [...user, APACHE, "-D", "FOREGROUND", "-f", join(place, "apache.conf")];
  const child = spawn(program, words, { stdio: "ignore", detached: true });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  for (const deadline = Date.now() + PATIENCE_MS; await ask(port, "/") === "ECONNREFUSED";) {
    if (Date.now() > deadline) throw new Missing("Apache does not start");
    await sleep(50);
  }
  setLimit(option === "-v" ? value * 1024 : value + await tasks());
  return {
    port,
    async stop() {
      process.kill(child.pid!, "SIGTERM");
      await Promise.race([ended, sleep(PATIENCE_MS).then(() => process.kill(-child.pid!, "SIGKILL"))]);
    },
  };
}

/** Threads of the user, once they are no more than a moment before. */
async function tasks(): Promise<number> {
  for (let before = -1;;) {
    const ps = spawn("ps", ["-L", "--no-headers", "-U", String(UID)], { stdio: ["ignore", "pipe", "ignore"] });
    let count = 0;
    for await (const chunk of ps.stdout) count += String(chunk).split("\n").length - 1;
    if (count === before) return count;
    before = count;
    await sleep(300);
  }
}

async function visit(port: number, path: string): Promise<Counts> {
  const counts: Counts = { ok: 0, page: 0, other: new Map() };
  for (let round = 0; round < ROUNDS; round++) {
    for (const answer of await Promise.all(Array.from({ length: VISITORS }, () => ask(port, path)))) {
      if (answer === "200 hello") counts.ok++;
      else if (/^503 .*too few processes/s.test(answer)) counts.page++;
      else {
        const kind = answer.split(/\s/)[0];
        counts.other.set(kind, (counts.other.get(kind) ?? 0) + 1);
      }
    }
  }
  return counts;
}

/** Status and text, or what went wrong. */
function ask(port: number, path: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const request = get({ host: "127.0.0.1", port, path, agent: false, timeout: PATIENCE_MS }, (response) => {
    let text = "";
    response.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
    response.on("end", () => resolve(`${response.statusCode} ${text}`)).on("error", ({ message }) => resolve(message));
  });
  request.on("timeout", () => request.destroy(Object.assign(new Error("timeout"), { code: "timeout" })));
  request.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  return promise;
}
