/** Express as its documentation starts it: it listens. */
import app from "./express.ts";

app.listen(3000);
