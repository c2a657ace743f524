/**
 * Database servers, started for a test in a folder of their own, as Debian has them.
 *
 * @module
 */
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, globSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { start, until } from "./program.ts";

export interface Database {
  /** The program that has to be there. */
  program(): string | undefined;
  /** Starts it on a port of 127.0.0.1. */
  start(folder: string, port: number): Promise<{ url: string; stop(): Promise<void> }>;
}

const isRoot = process.getuid?.() === 0;

/** Why a database cannot be started here, or false. */
export const missing = (database: Database): string | false =>
  database.program() === undefined && "it is not installed; --whole installs it";

const found = (name: string): string | undefined => {
  const { stdout } = spawnSync("sh", ["-c", `PATH="$PATH:/usr/sbin" command -v ${name}`], { encoding: "utf8" });
  return stdout.trim() || undefined;
};

export const postgres: Database = {
  program: () => globSync("/usr/lib/postgresql/*/bin/postgres").at(-1),
  async start(folder, port) {
    const bin = this.program()!.replace(/postgres$/, "");
    const data = join(folder, "data");
    mkdirSync(data);
    chmodSync(folder, 0o755);
    chmodSync(join(folder, ".."), 0o711);
    // It refuses to run as root.
    const as = isRoot ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : ["env"];
    if (isRoot) execFileSync("chown", ["postgres", data]);
    const run = (words: string[]) =>
      execFileSync(as[0], [...as.slice(1), ...words], { cwd: data, stdio: ["ignore", "ignore", "inherit"] });
    run([`${bin}initdb`, "-D", data, "-U", "me", "-A", "trust", "--no-sync"]);
    const words = ["-D", data, "-h", "127.0.0.1", "-p", String(port), "-k", "", "-F"];
    const running = start([...as, `${bin}postgres`, ...words], { cwd: data });
    await until("PostgreSQL is ready", () => running.stderr().includes("ready to accept connections"));
    return { url: `postgres://me@127.0.0.1:${port}/postgres`, stop: () => running.stop() };
  },
};

export const mariadb: Database = {
  program: () => found("mariadbd"),
  async start(folder, port) {
    const data = join(folder, "data");
    // Without system tables, and so without users: a folder is a database.
    mkdirSync(join(data, "test"), { recursive: true });
    const user = isRoot ? ["--user=root"] : [];
    const network = ["--bind-address=127.0.0.1", `--port=${port}`, `--socket=${join(folder, "s")}`, "--skip-networking=0"];
    const words = ["--no-defaults", ...user, `--datadir=${data}`, "--skip-grant-tables", ...network];
    const running = start([this.program()!, ...words, `--pid-file=${join(folder, "pid")}`], { cwd: folder });
    await until("MariaDB is ready", () => running.stderr().includes("ready for connections"));
    return { url: `mysql://root@127.0.0.1:${port}/test`, stop: () => running.stop() };
  },
};
