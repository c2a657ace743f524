/**
 * A server on the socket that its parent put on descriptor 0, or on the one named, for any protocol.
 *
 * @module
 */
import process from "node:process";
import { serve } from "../../src/server/serve.ts";

try {
  const server = await serve(
    { fd: Number(process.argv[2] ?? 0), protocol: "auto", secret: "none" },
    (request) => new Response(`child: ${new URL(request.url).pathname}`),
  );
  process.stdout.write(`${JSON.stringify(server.address)}\n`);
  process.on("SIGTERM", () => server.shutdown(1).then(() => process.exit(0)));
} catch (error) {
  process.stderr.write(`${error}\n`);
  process.exit(1);
}
