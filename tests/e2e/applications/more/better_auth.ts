/** better-auth in Hono, with its memory adapter. */
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { Hono } from "hono";
import { routes } from "../few/routes.ts";

const auth = betterAuth({
  secret: "for a test, at least 32 characters long, mixed 1234567890",
  baseURL: process.env.BASE_URL,
  database: memoryAdapter({ user: [], session: [], account: [], verification: [] }),
  emailAndPassword: { enabled: true },
});

const app = new Hono();
app.on(["POST", "GET"], "/api/auth/*", (c) => auth.handler(c.req.raw));
app.get("/me", async (c) => {
  const session = await auth.api.getSession({ headers: c.req.raw.headers });
  return c.json(session?.user.email ?? null);
});
app.all("*", (c) => routes(c.req.raw));
app.onError((error) => {
  throw error;
});

export default app;
