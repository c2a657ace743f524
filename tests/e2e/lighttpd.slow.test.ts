/** lighttpd, which connects to a program that runs already or starts it. */
import { checkRow } from "./site.ts";

checkRow({ name: "lighttpd, Unix socket", server: "lighttpd", listens: "socket", config: ["lighttpd"] });

checkRow({ name: "lighttpd starts the program", server: "lighttpd", listens: "spawned", config: ["lighttpd"] });
