/**
 * logrotate, which renames and compresses the logs (logrotate(8)).
 *
 * @module
 */
import { UsageError } from "../options/arguments.ts";
import { ofTheWebServer, seenOptions, type Server } from "./site.ts";

export const logrotate: Server = {
  title: "logrotate: renames and compresses the logs",
  protocols: ["fcgi", "scgi", "uwsgi", "http", "ajp"],
  refuses: ofTheWebServer,
  sees: seenOptions,
  file: "logrotate.conf",
  configuration({ name, logs, seen: { user, group = user } }) {
    if (logs.length === 0) {
      throw new UsageError("logrotate needs the logs: give errlog=, outlog=, accesslog= or slowlog= as to the program");
    }
    return {
      title: `Logs of ${name}, rotated by logrotate.`,
      steps: [["Put this into", `/etc/logrotate.d/${name}`], ["Check", `logrotate -d /etc/logrotate.d/${name}`]],
      notes: ["The program notices that a log was renamed, and creates a new one within a second."],
      lines: [
        `${logs.map((log) => `"${log}"`).join(" ")} {`,
        [
          user !== undefined && `su ${user} ${group}`,
          "weekly",
          "rotate 8",
          "compress",
          "# The program may still write to it for a moment.",
          "delaycompress",
          "missingok",
          "notifempty",
          "nocreate",
        ],
        "}",
      ],
    };
  },
};
