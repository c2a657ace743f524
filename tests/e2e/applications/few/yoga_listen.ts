/** GraphQL Yoga as its documentation starts it on Node. */
import { createServer } from "node:http";
import { yoga } from "./yoga_schema.ts";

createServer(yoga).listen(4000);
