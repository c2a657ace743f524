/**
 * The server: its endpoint, its pidfile, the code that it has loaded and its log.
 *
 * @module
 */
import { randomBytes } from "node:crypto";
import { accessSync, closeSync, constants, existsSync, lstatSync, openSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { httpParams } from "../protocol/http/params.ts";
import { childrenOf, environmentOf, startSeconds } from "../runtime/proc.ts";
import { formatAddress } from "../runtime/socket.ts";
import { groupName } from "../supervisor/account.ts";
import { handedIn, runningPid } from "../supervisor/pidfile.ts";
import { barrierFix, barrierText, findBarrier, type Passer, Permission } from "./permissions.ts";
import { exactProgramWords } from "../app/application.ts";
import { DOCTOR, doctorReply } from "../app/doctor_reply.ts";
import { logBeside } from "../app/log.ts";
import { ask, type Asked, NoResponse } from "./ask.ts";
import { type Finding, ok, problem, unchecked } from "./finding.ts";
import { noteOf } from "./words.ts";

/** Whether the program can write its log, where nobody has named one. Nothing is found if it can. */
export function checkOwnLog(program: string): Finding[] {
  const folder = dirname(program);
  try {
    accessSync(existsSync(logBeside(program)) ? logBeside(program) : folder, constants.W_OK);
    return [];
  } catch {
    return [noteOf("log", "noLog", { path: folder })];
  }
}

/** Whether other accounts of the machine can change what runs. Nothing is found if they cannot. */
export function checkOpen(files: readonly (string | undefined)[]): Finding[] {
  return files.filter((file) => file !== undefined).flatMap((file) => {
    const mode = statSync(file!, { throwIfNoEntry: false })?.mode ?? 0;
    if ((mode & 0o002) === 0) return [];
    return [noteOf("rights", "openToAll", { path: file!, mode: (mode & 0o7777).toString(8) })];
  });
}

/** Whether the users of web servers can connect to a socket. */
export function checkSocket(path: string, who: readonly Passer[]): Finding[] {
  const check = "socket";
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) {
    const folder = dirname(path);
    if (!existsSync(folder)) return [problem(check, `there is no folder "${folder}" for the socket`, `mkdir -p ${folder}`)];
    return [unchecked(check, `because "${path}" is not there before the program is started`)];
  }
  if (!stats.isSocket()) return [problem(check, `"${path}" is not a socket`, `Choose another path, or remove it: rm ${path}`)];
  if (who.length === 0) return [unchecked(check, "because no web server runs here: give its user, such as user=www-data")];
  return who.map((user) => {
    const barrier = findBarrier(path, Permission.write, user);
    if (barrier === undefined) return ok(check, `${user.name} may connect to "${path}"`);
    const fix = barrier.path === path || !barrier.path.startsWith("/")
      ? `Start the program with mode=660 group=${groupName(user.groups[0])}, or with mode=666. Until then: ${barrierFix(barrier)}`
      : barrierFix(barrier);
    return problem(check, barrierText(barrier, user), fix);
  });
}

function paramsOf(target: string) {
  const headers = ["Host", "localhost", "User-Agent", "runfcgi doctor"];
  return httpParams({ method: "GET", target, version: "1.1", headers, addresses: undefined }, "runfcgi doctor");
}

/** Whether it is this program that answers at an endpoint, and not one that uses the library. */
export async function knowsDoctor(endpoint: AskedEndpoint, seconds = 10): Promise<boolean> {
  const nonce = randomBytes(16).toString("hex");
  let text = "";
  try {
    await ask({ ...endpoint, params: paramsOf(`/${DOCTOR}${nonce}`), timeout: seconds }, async (_head, body) => {
      text = await new Response(body).text();
    });
  } catch (error) {
    if (!(error instanceof NoResponse)) throw error;
  }
  return text === doctorReply(nonce);
}

/** What is asked of an endpoint. */
export type AskedEndpoint = Pick<Asked, "address" | "protocol" | "secret" | "packetSize">;

/** Asks the endpoint for its first page. `false` when nobody listens there. */
export async function checkAnswer(endpoint: AskedEndpoint, seconds = 10): Promise<{ finding: Finding; listens: boolean }> {
  const check = "endpoint";
  const where = formatAddress(endpoint.address);
  try {
    const { head } = await ask({ ...endpoint, params: paramsOf("/"), timeout: seconds }, (_head, body) => body.cancel());
    if (head.status < 500) return { listens: true, finding: ok(check, `"${where}" answers GET / with ${head.status}`) };
    const fix = "Its error log has the reason. What passes is shown by: runfcgi get -v";
    const text = `"${where}" answers GET / with ${head.status} ${head.reason}`.trimEnd();
    return { listens: true, finding: problem(check, text, fix) };
  } catch (error) {
    if (!(error instanceof NoResponse)) throw error;
    const { what, fix } = error.reason;
    return { listens: error.connected, finding: problem(check, what, `${fix[0].toUpperCase()}${fix.slice(1)}.`) };
  }
}

/** Whether a pidfile names what runs. */
export function checkPidfile(file: string): Finding {
  const check = "pidfile";
  if (!existsSync(file)) return unchecked(check, `because "${file}" is not there: no server runs that was to write it`);
  try {
    const pid = runningPid(file);
    if (pid !== undefined) return ok(check, `"${file}" names the running process ${pid}`);
    return problem(
      check,
      `"${file}" names a process that does not run: it is left from one that was killed`,
      `Start the server again, which replaces it, or: rm ${file}`,
    );
  } catch (error) {
    return problem(check, (error as Error).message, `Look what it is: head -c 100 ${file}`);
  }
}

/** Seconds in which a server that watches its files has surely taken over new code. */
const RELOAD = 5;

/** Whether a running server has the code that is there. Nothing is found where that cannot be seen. */
export function checkCode(file: string, pidfile: string): Finding[] {
  const check = "code";
  try {
    const pid = runningPid(pidfile);
    const workers = pid === undefined ? [] : childrenOf(pid);
    if (workers.length === 0) return [];
    const [uptime] = readFileSync("/proc/uptime", "latin1").split(" ").map(Number);
    const loaded = Date.now() / 1000 - uptime + Math.max(...workers.map(startSeconds));
    const age = loaded - statSync(file).mtimeMs / 1000;
    if (age > 0) return [ok(check, `the server has loaded "${file}" as it is`)];
    const watches = serverOptions(pid!)?.watch !== false;
    if (watches && Date.now() / 1000 - loaded + age < RELOAD) return [];
    const why = watches ? "Its log says why it was not loaded. Once it can be:" : "It was started with watch=false.";
    return [
      problem(
        check,
        `the server goes on with the "${file}" of before its last change`,
        `${why}\n${exactProgramWords()} reload pidfile=${pidfile}`,
      ),
    ];
  } catch {
    return [];
  }
}

/** The options that a server of this user runs with: it was given them, or has given them to its workers. */
function serverOptions(server: number): { watch?: boolean } | undefined {
  for (const pid of [server, ...childrenOf(server)]) {
    const handed = handedIn(environmentOf(pid));
    if (handed !== undefined) return handed.options;
  }
  return undefined;
}

/** Whether the log can be written. */
export function checkLog(file: string): Finding {
  const check = "errlog";
  const target = existsSync(file) ? file : dirname(file);
  try {
    // Not by the bits of its mode, of which Deno asks root as well.
    if (target === file) closeSync(openSync(file, "a"));
    else accessSync(target, constants.W_OK);
    return ok(check, `"${file}" can be written`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return problem(check, `there is no folder "${target}" for the log`, `mkdir -p ${target}`);
    return problem(check, `this user may not write to "${target}"`, `chmod u+w ${target}, or choose another errlog`);
  }
}
