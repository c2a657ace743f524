/** Elysia exported, which runs everywhere. */
import { app } from "./elysia_routes.ts";

export default app;
