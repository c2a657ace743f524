import { DatabaseSync } from "node:sqlite";

const database = new DatabaseSync("guestbook.sqlite");
// Workers that write at the same time wait for each other.
database.exec("PRAGMA busy_timeout = 5000");
database.exec("CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, text TEXT NOT NULL)");
const add = database.prepare("INSERT INTO entries (text) VALUES (?)");
const latest = database.prepare("SELECT text FROM entries ORDER BY id DESC LIMIT 20");

export default async (request: Request): Promise<Response> => {
  if (request.method === "POST") add.run(await request.text());
  return Response.json(latest.all().map(({ text }) => text));
};
