import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AjpClient, type AjpClientOptions } from "../../src/protocol/ajp/client.ts";
import { AjpServer } from "../../src/protocol/ajp/server.ts";
import { Params } from "../../src/protocol/params.ts";
import type { ClientEvent } from "../../src/protocol/protocol.ts";
import { chunk, converse, endResponse, getChunk, html, packet, reply, responseHeaders, sendHeaders } from "../support/ajp.ts";
import { bytes, concat, pattern, splits, text, toHex, transcript } from "../support/bytes.ts";
import { Random } from "../support/random.ts";

const post = (length?: number) =>
  Params.from([
    ["REQUEST_METHOD", "POST"],
    ["REQUEST_URI", "/"],
    ...length === undefined ? [] : [["CONTENT_LENGTH", String(length)] as const],
  ]);

/** What the client reports of a response, which must be the same however that is cut. */
function receive(
  message: Uint8Array,
  { end = false, asked = true, options }: { end?: boolean; asked?: boolean; options?: AjpClientOptions } = {},
): string[] {
  const once = (pieces: Uint8Array[]) => {
    const client = new AjpClient(options);
    if (asked) client.request(1, post());
    const receiver = {
      receive: (bytes: Uint8Array) => bytes.length > 0 ? client.receive(bytes) : client.receiveEnd(),
      nextEvent: (): ClientEvent | undefined => client.nextEvent(),
    };
    return transcript(receiver, end ? [...pieces, new Uint8Array(0)] : pieces);
  };
  const whole = once([message]);
  for (const { name, pieces } of splits(message, new Random(5))) assert.deepEqual(once(pieces), whole, name);
  return whole;
}

/** Events so far. */
function events(client: AjpClient, message: Uint8Array): string[] {
  return transcript(client, [message]);
}

describe("a response", () => {
  test("is a head, chunks and an end", () => {
    const message = concat(sendHeaders(404, "Not Found", [["x-a", "b"]]), chunk("one"), chunk("two"), endResponse());
    assert.deepEqual(receive(message), ['head 1 404 "Not Found" x-a b', "body 1 onetwo", "end 1 0"]);
  });

  test("may have no body, and no reason", () => {
    assert.deepEqual(receive(concat(sendHeaders(204, null), endResponse())), ['head 1 204 ""', "end 1 0"]);
    assert.deepEqual(receive(concat(sendHeaders(204, ""), endResponse(0))), ['head 1 204 ""', "end 1 0"]);
  });

  test("has header names as codes or texts, and null values as empty ones", () => {
    const headers = responseHeaders.map((_, i) => [0xa001 + i, String(i)] as const);
    const expected = responseHeaders.map((name, i) => `${name.toLowerCase()} ${i}`).join(" ");
    assert.deepEqual(receive(sendHeaders(200, "OK", headers)), [`head 1 200 OK ${expected}`]);
    assert.deepEqual(receive(sendHeaders(200, "OK", [["Content-Type", "x"], ["x", null]])), [
      'head 1 200 OK Content-Type x x ""',
    ]);
  });

  test("may have flushes between its chunks", () => {
    assert.deepEqual(receive(concat(sendHeaders(200, "OK"), chunk(), chunk("a"), chunk(), endResponse())), [
      "head 1 200 OK",
      "body 1 a",
      "end 1 0",
    ]);
  });

  test("of large packets arrives", () => {
    const content = pattern(65527);
    const seen = receive(concat(sendHeaders(200, "OK"), chunk(content), endResponse()));
    assert.match(seen[1], /^body 1 <65527 bytes, /);
  });

  test("that ends with the connection is an error", () => {
    const incomplete = "ProtocolError: The server closed the connection before the response was complete";
    assert.deepEqual(receive(new Uint8Array(0), { end: true }), [incomplete]);
    assert.deepEqual(receive(concat(sendHeaders(200, "OK"), chunk("a")), { end: true }), [
      "head 1 200 OK",
      "body 1 a",
      incomplete,
    ]);
    assert.deepEqual(receive(concat(sendHeaders(200, "OK"), endResponse()), { end: true }), ["head 1 200 OK", "end 1 0"]);
  });

  test("of the next request follows on the same connection", () => {
    const client = new AjpClient();
    for (const [i, status] of [200, 404].entries()) {
      client.request(i + 1, post());
      assert.deepEqual(events(client, concat(sendHeaders(status, "x"), endResponse())), [
        `head ${i + 1} ${status} x`,
        `end ${i + 1} 0`,
      ]);
    }
  });
});

describe("CPing", () => {
  test("is five bytes, and is answered at any time", () => {
    assert.equal(toHex(new AjpClient().ping()), "123400010a");
    assert.deepEqual(receive(reply("\x09"), { asked: false }), ["pong"]);
    assert.deepEqual(receive(concat(reply("\x09"), sendHeaders(200, "OK"))), ["pong", "head 1 200 OK"]);
  });

  test("is answered by the server half", () => {
    const server = new AjpServer();
    server.receive(new AjpClient().ping());
    const event = server.nextEvent();
    assert.ok(event?.type === "reply");
    assert.deepEqual(receive(event.bytes, { asked: false }), ["pong"]);
  });
});

describe("the body of a request", () => {
  const no = new Uint8Array(0);

  test("with a length begins unasked, and goes on when it is asked for", () => {
    const client = new AjpClient();
    client.request(1, post(10_000));
    assert.equal(client.room, 8186);
    const sent = client.body(1, pattern(8186));
    assert.equal(sent.length, 8192);
    assert.equal(toHex(sent.subarray(0, 6)), "12341ffc1ffa");
    assert.equal(client.room, 0);
    assert.deepEqual(events(client, getChunk(100)), ["room"]);
    assert.equal(client.room, 100);
    assert.equal(toHex(client.body(1, bytes("ab"))), "1234000400026162");
    assert.deepEqual(events(client, getChunk(65530)), ["room"]);
    assert.equal(client.room, 8186);
  });

  test("without a length waits until it is asked for", () => {
    for (const params of [post(), Params.from([["CONTENT_LENGTH", ""]]), Params.from([["CONTENT_LENGTH", "0"]])]) {
      const client = new AjpClient();
      client.request(1, params);
      assert.equal(client.room, 0);
    }
  });

  test("goes in packets of the size that is given", () => {
    const client = new AjpClient({ packetSize: 65536 });
    client.request(1, post(100_000));
    assert.equal(client.room, 65530);
    assert.equal(client.body(1, pattern(65530)).length, 65536);
    assert.deepEqual(events(client, getChunk(65530)), ["room"]);
    assert.equal(client.room, 65530);
  });

  test("that is more than the server takes is an error", () => {
    const client = new AjpClient();
    client.request(1, post(10));
    client.body(1, bytes("12345"));
    assert.throws(() => client.body(1, bytes("6")), new RangeError("1 bytes for a server that takes 0"));
  });

  test("ends when the server asks for more", () => {
    const client = new AjpClient();
    client.request(1, post());
    assert.deepEqual(client.bodyEnd(), no);
    assert.deepEqual(events(client, getChunk()), ["send 12340000"]);
  });

  test("ends at once when the server has asked already", () => {
    const client = new AjpClient();
    client.request(1, post());
    events(client, getChunk());
    assert.equal(toHex(client.bodyEnd()), "12340000");
    assert.equal(client.room, 0);
  });

  test("that has a length needs no end", () => {
    const client = new AjpClient();
    client.request(1, post(2));
    client.body(1, bytes("hi"));
    assert.deepEqual(client.bodyEnd(), no);
  });

  test("arrives at the server half as it was", () => {
    for (const [length, packetSize] of [[20_000, 8192], [8188, 8192], [200_000, 65536]]) {
      for (const known of [true, false]) {
        const content = pattern(length);
        const client = new AjpClient({ packetSize });
        const server = new AjpServer({ maxParams: 100, maxParamsBytes: 10_000, maxConcurrent: 1, packetSize });
        const pairs = known ? post(length).pairs : [...post().pairs, "HTTP_TRANSFER_ENCODING", "chunked"];
        const seen: Uint8Array[] = [];
        let ends = 0;
        let left: Uint8Array = content;
        const step = (sent: Uint8Array) => {
          server.receive(sent);
          for (let event = server.nextEvent(); event; event = server.nextEvent()) {
            if (event.type === "body") seen.push(event.bytes);
            else if (event.type === "bodyEnd") ends++;
            else if (event.type === "reply") client.receive(event.bytes);
          }
          for (let event = client.nextEvent(); event; event = client.nextEvent()) if (event.type === "send") step(event.bytes);
        };
        step(client.request(1, new Params(pairs)));
        while (left.length > 0) {
          assert.ok(client.room > 0);
          const piece = left.subarray(0, client.room);
          left = left.subarray(piece.length);
          step(client.body(1, piece));
        }
        step(client.bodyEnd());
        assert.equal(ends, 1);
        assert.equal(text(concat(...seen)), text(content));
      }
    }
  });

  test("may come in any pieces, although nobody said from which port", () => {
    const client = new AjpClient();
    const parts = [client.request(1, post(6)), client.body(1, bytes("four"))];
    client.receive(getChunk());
    client.nextEvent();
    const { events } = converse(concat(...parts, client.body(1, bytes("56"))));
    assert.deepEqual(events.slice(1), ["body 1 four56", "bodyEnd 1"]);
  });
});

test("a response goes from the server half to the client half as it was", () => {
  const server = new AjpServer();
  transcript(server, [new AjpClient().request(1, post())]);
  const sent = concat(
    server.encode(1, { ...html, headers: ["set-cookie", "a=1", "set-cookie", "b=2", "x", "caf\xe9"] }, bytes("one"), false),
    server.encode(1, undefined, bytes("two"), true),
  );
  assert.deepEqual(receive(sent), ['head 1 200 OK set-cookie a=1 set-cookie b=2 x "café"', "body 1 onetwo", "end 1 0"]);
});

describe("bytes that are not AJP", () => {
  const ok = sendHeaders(200, "OK");
  const broken: [name: string, message: Uint8Array, reason: string][] = [
    ["HTTP", bytes("HTTP/1.1 400"), "Not AJP: a packet begins with 0x4854"],
    ["a web server's packet", packet("\x0a"), "Not AJP: a packet begins with 0x1234"],
    ["an unknown packet", reply("\x02"), "A server does not send AJP packets of type 2"],
    ["an empty packet", reply(""), "An AJP packet ends before what it holds"],
    ["a head that ends early", reply("\x04\x00\xc8\x00\x02O"), "An AJP packet ends before what it holds"],
    ["an unknown header code", sendHeaders(200, "OK", [[0xa00c, "x"]]), "The AJP header code 0xa00c is not known"],
    ["a second head", concat(ok, ok), "The server sent a second response head"],
    ["a body before its head", chunk("x"), "The server sent a response body before its head"],
    ["a chunk longer than its packet", concat(ok, reply("\x03\x00\x05abc\x00")), "A Send Body Chunk is longer than its packet"],
    ["an invalid status", sendHeaders(99, "No"), "The response has the status 99"],
    ["a larger one", sendHeaders(1000, "No"), "The response has the status 1000"],
    ["a line end in a value", sendHeaders(200, "OK", [["x", "a\r\nb"]]), "The response head has a line end in it"],
    ["a line end in a name", sendHeaders(200, "OK", [["x\n", "a"]]), "The response head has a line end in it"],
    ["a NUL in the reason", sendHeaders(200, "O\0K"), "The response head has a line end in it"],
  ];
  for (const [name, message, reason] of broken) {
    test(`such as ${name}`, () => assert.equal(receive(message).at(-1), `ProtocolError: ${reason}`));
  }

  test("such as an answer to nothing", () => {
    for (const [type, message] of [[4, ok], [3, chunk("x")], [5, endResponse()], [6, getChunk()]] as const) {
      assert.deepEqual(receive(message, { asked: false }), [
        `ProtocolError: The server sent a packet of type ${type} without a request`,
      ]);
    }
  });
});
