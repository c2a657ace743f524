/**
 * spawn-fcgi, which binds the socket as root and starts the program as another user.
 *
 * @module
 */
import type { ConfigOption } from "./options.ts";
import { labels, programStep, quoted, type Server } from "./site.ts";

const elsewhere = "it is the web server's; print that one's configuration with the same socket";

export const spawnFcgi: Server = {
  title: "spawn-fcgi: the command that starts the program",
  protocols: ["fcgi", "scgi", "uwsgi", "http", "ajp"],
  refuses: Object.fromEntries(
    (["servername", "listen", "https", "upload", "hosts", "keepalive"] satisfies ConfigOption[]).map((name) => [name, elsewhere]),
  ),
  file: "start.sh",
  starts: true,
  servesFolders: false,
  tellsMount: () => false,
  configuration({ name, protocol, endpoints: [endpoint], program = `/srv/${name}/${name}.fcgi`, words }) {
    const where = "socket" in endpoint
      ? `-s ${endpoint.socket} -M 0660`
      : `-a ${endpoint.host.replaceAll(/[[\]]/g, "")} -p ${endpoint.port}`;
    return {
      title: `${name}, started by spawn-fcgi to speak ${labels[protocol]}.`,
      steps: [
        ["Run as root", "this, for example from /etc/rc.local"],
        programStep(program),
        ["Stop by", `kill $(cat /run/${name}.pid)`],
      ],
      lines: [
        `spawn-fcgi ${where} -u www-data -g www-data -P /run/${name}.pid -- ${[program, ...words.map(quoted)].join(" ")}`,
      ],
    };
  },
};
