/** Each symptom of the manual's table: provoked, explained by the command that the table names, and fixed as it says. */
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { root } from "../../scripts/tools.ts";
import { configText } from "../../src/config/servers.ts";
import { chapter, rows, section } from "../support/manual.ts";
import { freePort } from "../support/program.ts";
import { needs, type WebServerName, webServers } from "../support/servers.ts";
import { type Case, hello, isRoot, Trouble } from "./trouble/kit.ts";
import { own } from "./trouble/own.ts";
import { shared } from "./trouble/shared.ts";

const timeout = 240_000;
const cases: Record<string, Case> = { ...shared, ...own };

function skipped({ server, files, root }: Case): string | false {
  return needs(server, files) || (root && !isRoot ? "root alone has another user to be the web server's" : false);
}

/** Runs a test on a site, and tells all that was tried when it fails. */
async function withSite(server: WebServerName, run: (site: Trouble) => Promise<void>): Promise<void> {
  await using site = await Trouble.begin(server);
  try {
    await run(site);
  } catch (error) {
    throw new Error(site.history, { cause: error });
  }
}

// Much of it is waiting.
describe("trouble", { concurrency: 2 }, () => {
  for (const [symptom, trouble] of Object.entries(cases)) {
    test(symptom, { timeout, skip: skipped(trouble) }, () => withSite(trouble.server, trouble.run));
  }

  test("is in the manual, and no other", () => {
    const symptoms = rows(section(chapter("troubleshooting"), "By symptom")).map(([symptom]) => symptom);
    assert.deepEqual(symptoms.sort(), Object.keys(cases).sort());
  });
});

describe("error texts", () => {
  const table = (heading: string) => rows(section(chapter("troubleshooting"), heading)).map(([text]) => /`(.*)`/.exec(text)![1]);

  const skip = Object.values(cases).map(skipped).find((reason) => reason !== false);
  test("of web servers in the manual were in their logs", { skip }, () => {
    for (const text of table("By the text in the web server's log")) assert.ok(Trouble.told.includes(text), text);
  });

  test("of the program in the manual are its own", () => {
    const source = globSync("src/**/*.ts", { cwd: root }).map((file) => readFileSync(join(root, file), "utf8")).join("\n");
    for (const text of table("By the text in the program's log")) assert.ok(source.includes(text), text);
  });
});

describe("the doctor finds nothing wrong", () => {
  for (const server of Object.keys(webServers) as WebServerName[]) {
    test(
      `behind ${server}, as it is configured by what is printed`,
      { timeout, skip: needs(server) },
      () =>
        withSite(server, async (site) => {
          site.write("app.ts", hello);
          const endpoint = server === "haproxy" ? `port=${await freePort()}` : `socket=${site.socket}`;
          await site.configure(configText([server, "app.ts", endpoint, `listen=127.0.0.1:${site.port}`]));
          await site.healthy("app.ts", endpoint, `url=${site.url}`, ...endpoint.startsWith("socket") ? ["mode=666"] : []);
        }),
    );
  }
});
