/**
 * Processes that a web server has started for the same site. One that the host allows no thread has another answer: those
 * that have one listen for it, on sockets of their own, since those of the web server are closed to them under suexec.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { temporaryFolder } from "../handlers/exec_process.ts";
import { Params } from "../protocol/params.ts";
import { makePrivateFolder } from "../runtime/private_folder.ts";
import { ownTasks, tasksInUse } from "../runtime/tasks.ts";
import { request as send } from "../server/client.ts";
import type { ServeInfo } from "../server/handler.ts";
import { ownCommand } from "./handover.ts";

/** Says that a request comes from a sibling, which is not to get it back. */
const PASSED = "RUNFCGI_PASSED";
/** Milliseconds after the start of this process in which a sibling may come up. */
const PATIENCE_MS = 5000;
/** Milliseconds between two looks. */
const AGAIN_MS = 100;

/** The same for all processes that run the same program for the same site. */
function folder(): string {
  const site = JSON.stringify([ownCommand(), process.cwd()]);
  const hash = createHash("sha256").update(site).digest("hex").slice(0, 16);
  return join(temporaryFolder(), `runfcgi-site-${process.getuid?.()}-${hash}`);
}

/** Where this process listens for siblings, in a folder that is made. @throws {Error} when others may enter it */
export function ownPlace(): string {
  const path = folder();
  makePrivateFolder(path);
  return join(path, String(process.pid));
}

/** Removes the folder unless a sibling is in it. */
export function leavePlace(): void {
  try {
    rmdirSync(folder());
  } catch {
    // One is, or it is gone.
  }
}

/** Has a sibling answer a request that nobody has read; `undefined` where there is none that can, or it comes from one. */
export async function passToSibling(request: Request, info: ServeInfo): Promise<Response | undefined> {
  if (PASSED in info.params) return undefined;
  const params = Params.from(Object.entries({ ...info.params, [PASSED]: "1" }));
  for (;;) {
    for (const path of siblings()) {
      try {
        const { head, body } = await send({
          address: { transport: "unix", path },
          protocol: "fcgi",
          params,
          body: request.body ?? undefined,
          signal: request.signal,
        });
        const headers = new Headers();
        for (let i = 0; i < head.headers.length; i += 2) headers.append(head.headers[i], head.headers[i + 1]);
        const isEmpty = [204, 205, 304].includes(head.status);
        return new Response(isEmpty ? null : body, { status: head.status, headers });
      } catch (error) {
        if (request.bodyUsed || request.signal.aborted) return undefined;
        // It was killed.
        if ((error as NodeJS.ErrnoException).code === "ECONNREFUSED") rmSync(path, { force: true });
      }
    }
    // Nobody to wait for, or nobody came.
    const others = tasksInUse() > ownTasks();
    if (!others || process.uptime() * 1000 > PATIENCE_MS) return undefined;
    await delay(AGAIN_MS);
  }
}

/** Sockets of those that listen, in no order. */
function siblings(): string[] {
  const path = folder();
  try {
    makePrivateFolder(path);
    const names = readdirSync(path).filter((name) => /^\d+$/.test(name));
    return names.map((name) => ({ name, order: Math.random() })).sort((a, b) => a.order - b.order)
      .map(({ name }) => join(path, name));
  } catch {
    return [];
  }
}
