import { SQL } from "bun";

// mysql://user:password@host/database, for MySQL and MariaDB
const sql = new SQL(process.env.DATABASE_URL!, { max: 4 });
await sql`CREATE TABLE IF NOT EXISTS entries (id INT AUTO_INCREMENT PRIMARY KEY, text TEXT NOT NULL)`;

export default async (request: Request): Promise<Response> => {
  if (request.method === "POST") await sql`INSERT INTO entries (text) VALUES (${await request.text()})`;
  const rows: { text: string }[] = await sql`SELECT text FROM entries ORDER BY id DESC LIMIT 20`;
  return Response.json(rows.map(({ text }) => text));
};
