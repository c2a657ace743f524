/** GraphQL Yoga exported. */
import { yoga } from "./yoga_schema.ts";

export default yoga;
