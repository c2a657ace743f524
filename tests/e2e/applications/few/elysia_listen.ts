/** Elysia as its documentation starts it. */
import { app } from "./elysia_routes.ts";

app.listen(3000);
