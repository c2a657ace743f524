/** lighttpd, which connects to a program that runs already or starts it. */
import { checkRow } from "./site.ts";

checkRow({
  name: "lighttpd, Unix socket",
  server: "lighttpd",
  listens: "socket",
  site: ({ app }) => `
    server.stream-response-body = 1
    fastcgi.server = ( "/" => ((
      "socket" => "${app.socket}",
      "check-local" => "disable",
      "fix-root-scriptname" => "enable",
    )) )`,
});

checkRow({
  name: "lighttpd starts the program",
  server: "lighttpd",
  listens: "spawned",
  site: ({ app }) => `
    server.stream-response-body = 1
    fastcgi.server = ( "/" => ((
      "bin-path" => "${app.program}",
      "socket" => "${app.socket}",
      "max-procs" => 2,
      "check-local" => "disable",
      "fix-root-scriptname" => "enable",
    )) )`,
});
