/** A database in a file, with the module that every runtime has. */
import { DatabaseSync } from "node:sqlite";
import { routes } from "./routes.ts";

const database = new DatabaseSync(":memory:");
database.exec("CREATE TABLE notes (text TEXT NOT NULL)");
const insert = database.prepare("INSERT INTO notes VALUES (?)");
const all = database.prepare("SELECT text FROM notes");

export default {
  async fetch(request: Request) {
    if (new URL(request.url).pathname !== "/notes") return routes(request);
    if (request.method === "POST") insert.run(String((await request.formData()).get("text")));
    return Response.json(all.all().map(({ text }) => text));
  },
};
