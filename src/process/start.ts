/**
 * The process that was started: it looks at the options, listens, and is the supervisor or starts it.
 *
 * @module
 */
import process from "node:process";
import { descriptorLack } from "../runtime/descriptor.ts";
import { writeStderr } from "../runtime/stderr.ts";
import { accountFor } from "../supervisor/account.ts";
import { launch, LaunchError, type LaunchOptions } from "../supervisor/launch.ts";
import { expectUnused } from "../supervisor/pidfile.ts";
import { forgetActivation, unservedSockets } from "../supervisor/systemd.ts";
import type { ChosenApp, Embedded } from "../app/application.ts";
import { isDevelopment } from "./choose_endpoint.ts";
import { childCommand, type Handover, handoverEnvironment, hasSecret } from "./handover.ts";
import { makeLogFiles } from "../app/log.ts";
import type { Options } from "../options/options.ts";
import { supervise } from "./supervise.ts";

/**
 * Starts the server and resolves with the exit status.
 *
 * @param succession what a server hands over whose place this one takes
 */
export async function startServer(
  app: ChosenApp,
  endpoint: LaunchOptions["endpoint"],
  options: Options,
  embedded: Embedded | undefined,
  succession?: Handover,
): Promise<number> {
  const { mode, pidfile, user, group, workdir, errlog } = options;
  const daemonize = options.daemonize ?? pidfile !== undefined;
  const lack = descriptorLack();
  if (lack !== undefined) throw new LaunchError(lack);
  if (pidfile !== undefined) expectUnused(pidfile, succession?.replaces);
  const umask = options.umask ?? (daemonize ? 0o022 : undefined);
  if (umask !== undefined) process.umask(umask);
  const account = accountFor(user, group);
  makeLogFiles(options, account);
  const unserved = unservedSockets();
  if (unserved !== undefined) writeStderr(`runfcgi: ${unserved}\n`);
  forgetActivation();
  if (hasSecret(process.argv.slice(2))) {
    writeStderr(
      "runfcgi: all users can see the secret in the command: use secret=@FILE, or the variable RUNFCGI_SECRET\n",
    );
  }
  // It has been read, and is not for the application.
  delete process.env.RUNFCGI_SECRET;
  const handover = (bound: Handover["bound"], fd: number): Handover => ({
    role: "supervisor",
    app: app.file,
    options,
    bound: bound ?? succession?.bound,
    fd,
    cwd: process.cwd(),
    development: isDevelopment(endpoint, options),
    replaces: succession?.replaces,
    heldElsewhere: "heldElsewhere" in endpoint && endpoint.heldElsewhere,
  });
  return await launch({
    endpoint,
    listen: { mode, owner: account },
    command: childCommand(),
    environment: (bound, fd) => handoverEnvironment({ ...handover(bound, fd), background: daemonize }),
    supervise: (bound, fd) => supervise(handover(bound, fd), embedded, false),
    daemonize,
    workdir,
    errlog,
  });
}
