/**
 * spawn-fcgi, which binds the socket as root and starts the program as another user.
 *
 * @module
 */
import type { ConfigOption } from "./options.ts";
import { labels, quoted, type Server } from "./site.ts";
import { heading, text } from "./text.ts";

const elsewhere = "it is the web server's; print that one's configuration with the same socket";

export const spawnFcgi: Server = {
  title: "spawn-fcgi: the command that starts the program",
  protocols: ["fcgi", "scgi", "uwsgi", "http", "ajp"],
  refuses: Object.fromEntries(
    (["servername", "listen", "https", "upload", "hosts", "keepalive"] satisfies ConfigOption[]).map((name) => [name, elsewhere]),
  ),
  servesFolders: false,
  tellsMount: () => false,
  configuration({ name, protocol, endpoints: [endpoint], program = `/srv/${name}/${name}.fcgi`, words }) {
    const where = "socket" in endpoint
      ? `-s ${endpoint.socket} -M 0660`
      : `-a ${endpoint.host.replaceAll(/[[\]]/g, "")} -p ${endpoint.port}`;
    return text([
      ...heading({
        title: `${name}, started by spawn-fcgi to speak ${labels[protocol]}.`,
        steps: [
          ["Run as root", "the line below, for example from /etc/rc.local"],
          [
            "Put there",
            `${program}, the compiled program (mode 755),`,
            `and ${program.replace(/\.\w+$/, "")}.ts, the application`,
          ],
          ["Stop by", `kill $(cat /run/${name}.pid)`],
        ],
      }),
      `spawn-fcgi ${where} -u www-data -g www-data -P /run/${name}.pid -- ${[program, ...words.map(quoted)].join(" ")}`,
    ]);
  },
};
