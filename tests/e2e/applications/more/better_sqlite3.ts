/** better-sqlite3, a package with a part in C++. */
import Database from "better-sqlite3";
import { routes } from "../few/routes.ts";

const database = new Database(":memory:");
database.exec("CREATE TABLE notes (text TEXT NOT NULL)");

export default {
  async fetch(request: Request) {
    if (new URL(request.url).pathname !== "/notes") return routes(request);
    if (request.method === "POST") {
      database.prepare("INSERT INTO notes VALUES (?)").run(String((await request.formData()).get("text")));
    }
    return Response.json(database.prepare("SELECT text FROM notes").all().map(({ text }) => text));
  },
};
