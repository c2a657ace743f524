import { SQL } from "bun";

// postgres://user:password@host/database; each worker keeps some connections.
const sql = new SQL(process.env.DATABASE_URL!, { max: 4 });
await sql.begin(async (sql) => {
  // One worker after the other: PostgreSQL fails where two create the same table.
  await sql`SELECT pg_advisory_xact_lock(1)`;
  await sql`CREATE TABLE IF NOT EXISTS entries (id SERIAL PRIMARY KEY, text TEXT NOT NULL)`;
});

export default async (request: Request): Promise<Response> => {
  // Values in a template are parameters, never a part of the statement.
  if (request.method === "POST") await sql`INSERT INTO entries (text) VALUES (${await request.text()})`;
  const rows: { text: string }[] = await sql`SELECT text FROM entries ORDER BY id DESC LIMIT 20`;
  return Response.json(rows.map(({ text }) => text));
};
