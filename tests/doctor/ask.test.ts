/** Asking an endpoint as a web server does. */
import assert from "node:assert/strict";
import { type AddressInfo, createServer } from "node:net";
import { test } from "node:test";
import { ask } from "../../src/doctor/ask.ts";
import { Params } from "../../src/protocol/params.ts";
import { FastCgiServer } from "../../src/protocol/fastcgi/server.ts";
import { ConnectionKeeper } from "../../src/server/client.ts";
import { bytes } from "../support/bytes.ts";

test("a request is sent again where the server closes a kept connection instead of answering it", async () => {
  const server = createServer((socket) => {
    const codec = new FastCgiServer();
    let answered = false;
    socket.on("error", () => {});
    socket.on("data", (piece) => {
      codec.receive(piece);
      for (let event = codec.nextEvent(); event !== undefined; event = codec.nextEvent()) {
        if (answered) return void socket.destroy();
        if (event.type !== "bodyEnd") continue;
        answered = true;
        socket.write(codec.encode(event.id, { status: 200, reason: "OK", headers: [] }, bytes("hello"), true));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const keeper = new ConnectionKeeper();
  const params = Params.from(Object.entries({ REQUEST_METHOD: "GET", REQUEST_URI: "/" }));
  try {
    for (let times = 0; times < 3; times++) {
      let text = "";
      const address = { transport: "tcp", hostname: "127.0.0.1", port } as const;
      const { connected } = await ask({ address, protocol: "fcgi", params, keeper }, async (_head, body) => {
        text = await new Response(body).text();
      });
      assert.deepEqual([text, connected], ["hello", 1]);
    }
  } finally {
    keeper.close();
    server.close();
  }
});
