/** A process of mod_fcgid that the host kills, or that crashes: the owner of the site reads what it was doing. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe } from "node:test";
import { until } from "../support/program.ts";
import { makeOpenFolder, needs } from "../support/servers.ts";
import { fcgidRow } from "./fcgid.ts";
import { newId, type Row, startAround, startRow, testSite } from "./site.ts";

const app = `
import { writeFileSync } from "node:fs";
import process from "node:process";
export default (request) => {
  const { pathname } = new URL(request.url);
  if (!pathname.startsWith("/slow")) return new Response("ok");
  writeFileSync("state" + pathname, String(process.pid));
  return new Promise(() => {});
};
`;

const row: Row = {
  ...fcgidRow,
  app(folder) {
    const file = join(folder, "mysite.ts");
    writeFileSync(file, app);
    makeOpenFolder(join(folder, "state"));
    return file;
  },
};

describe("A process of mod_fcgid that is killed", { skip: needs("apache") }, () => {
  const running = startAround(() => startRow(row));

  for (const signal of ["SIGKILL", "SIGSEGV"] as const) {
    testSite(`by ${signal}: the error log names the request that was under way, once`, running, async (site) => {
      const path = `/slow-${newId()}`;
      const answer = site.ask(path).then(({ status }) => status, () => 0);
      const mark = join(site.folder, "state", path);
      await until("it has begun", () => existsSync(mark) && readFileSync(mark, "utf8") !== "");
      const pid = Number(readFileSync(mark, "utf8"));
      let over = false;
      answer.then(() => over = true);
      await until("the visitor knows", () => {
        // Deno looks at the first SIGSEGV itself, and dies of the next.
        if (!over) process.kill(pid, signal);
        return over;
      });
      assert.ok([500, 503].includes(await answer));
      const lines = () =>
        [...site.errors.matchAll(new RegExp(`Process ${pid} was killed or crashed.*`, "g"))].map(([text]) => text);
      await until(`somebody tells\n${site.errors}`, async () => {
        assert.equal((await site.ask("/page")).text, "ok");
        return lines().length > 0;
      });
      assert.match(lines()[0], new RegExp(`under way: GET ${path} for \\d+\\.\\d s`));
      assert.equal(lines().length, 1);
    });
  }
});
