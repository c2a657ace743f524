/** tRPC with its own server. */
import { createHTTPServer } from "@trpc/server/adapters/standalone";
import { router } from "./trpc.ts";

createHTTPServer({ router, basePath: "/trpc/", createContext: () => ({}) }).listen(3000);
