/** The same with Bun's. */
import { Database } from "bun:sqlite";
import { routes } from "./routes.ts";

const database = new Database(":memory:");
database.run("CREATE TABLE notes (text TEXT NOT NULL)");

export default {
  async fetch(request: Request) {
    if (new URL(request.url).pathname !== "/notes") return routes(request);
    if (request.method === "POST") {
      database.query("INSERT INTO notes VALUES (?)").run(String((await request.formData()).get("text")));
    }
    return Response.json(database.query("SELECT text FROM notes").all().map(({ text }) => text));
  },
};
