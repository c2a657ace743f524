import { DatabaseSync } from "node:sqlite";

// Workers do not share memory, but this file; it also survives a restart.
const database = new DatabaseSync("sessions.sqlite");
database.exec("PRAGMA busy_timeout = 5000");
database.exec("CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, data TEXT NOT NULL, until INTEGER NOT NULL)");
const read = database.prepare("SELECT data FROM sessions WHERE id = ? AND until > ?");
const write = database.prepare("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)");
const clean = database.prepare("DELETE FROM sessions WHERE until <= ?");

const HOUR = 3600;

export default (request: Request): Response => {
  const now = Math.floor(Date.now() / 1000);
  const [, sent = ""] = /(?:^|; )session=([\w-]+)/.exec(request.headers.get("cookie") ?? "") ?? [];
  const found = read.get(sent, now) as { data: string } | undefined;
  // An ID that is not known is never taken over: a stranger may have chosen it.
  const id = found ? sent : crypto.randomUUID();
  const session = found ? JSON.parse(found.data) as { visits: number } : { visits: 0 };
  session.visits++;
  if (!found) clean.run(now);
  write.run(id, JSON.stringify(session), now + HOUR);
  const secure = request.url.startsWith("https:") ? "; Secure" : "";
  return new Response(`Visit ${session.visits}\n`, {
    headers: { "set-cookie": `session=${id}; Path=/; Max-Age=${HOUR}; HttpOnly; SameSite=Lax${secure}` },
  });
};
