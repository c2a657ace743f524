/**
 * spawn-fcgi, which binds the socket as root and starts the program as another user.
 *
 * @module
 */
import { dirname, resolve } from "node:path";
import { labels } from "../protocol/protocol.ts";
import { ofTheWebServer, programStep, quoted, seenOptions, type Server } from "./site.ts";

export const spawnFcgi: Server = {
  title: "spawn-fcgi: the command that starts the program",
  protocols: ["fcgi", "scgi", "uwsgi", "http", "ajp"],
  refuses: {
    ...ofTheWebServer,
    pidfile: "spawn-fcgi writes it, see -P",
    daemonize: "spawn-fcgi starts the program in the background",
  },
  sees: seenOptions,
  file: "start.sh",
  starts: true,
  configuration({ name, protocol, endpoints: [endpoint], program = `/srv/${name}/${name}.fcgi`, app, words, seen }) {
    const { user = "www-data", group = user === "www-data" ? user : undefined, mode = 0o660, backlog, workdir } = seen;
    const where = "socket" in endpoint
      ? `-s ${endpoint.socket} -M ${mode.toString(8).padStart(4, "0")}`
      : `-a ${endpoint.host.replaceAll(/[[\]]/g, "")} -p ${endpoint.port}`;
    return {
      title: `${name}, started by spawn-fcgi for ${labels[protocol]}.`,
      steps: [
        ["Run as root", "the line below, for example in /etc/rc.local"],
        programStep(program),
        ["Stop", `kill $(cat /run/${name}.pid)`],
      ],
      lines: [
        [
          `spawn-fcgi -d ${quoted(resolve(workdir ?? dirname(app ?? program)))} ${where}`,
          ...backlog === undefined ? [] : [`-b ${backlog}`],
          `-u ${user}`,
          ...group === undefined ? [] : [`-g ${group}`],
          `-P /run/${name}.pid --`,
          ...[program, ...app === undefined ? [] : [resolve(app)], ...words].map(quoted),
        ].join(" "),
      ],
    };
  },
};
