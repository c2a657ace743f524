/** React Router's build as a fetch handler. */
import { createRequestHandler } from "react-router";
import * as build from "./build/server/index.js";

const handle = createRequestHandler(build);

export default { fetch: (request) => handle(request) };
