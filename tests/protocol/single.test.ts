import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { Params } from "../../src/protocol/params.ts";
import { type ClientEvent, defaultCodecLimits, type ResponseHead } from "../../src/protocol/protocol.ts";
import { bytes, concat, fixture, fixtureNames, pattern, splits, text, transcript } from "../support/bytes.ts";
import { Random } from "../support/random.ts";
import { type Act, answer, converse, events, html, single, singleProtocols } from "../support/single.ts";

for (const protocol of singleProtocols) {
  const { message, server, client } = single[protocol];
  /** What every request of the protocol has. */
  const always: Record<string, string> = protocol === "scgi" ? { CONTENT_LENGTH: "0", SCGI: "1" } : {};
  const headHtml = protocol === "scgi"
    ? "content-type: text/html\r\nStatus: 200 OK\r\n\r\n"
    : "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n";

  describe(`a body over ${protocol}`, () => {
    const post = (body: string, length: number) => message({ ...always, CONTENT_LENGTH: String(length) }, body);

    test("ends with CONTENT_LENGTH, whatever else arrives", () => {
      const { events, idle } = converse(protocol, post("hello and more", 5));
      assert.deepEqual(events.slice(1), ["body 1 hello", "bodyEnd 1"]);
      assert.equal(idle, true);
    });

    test("has no end when it is cut off", () => {
      const { events, idle } = converse(protocol, post("hell", 5));
      assert.deepEqual(events.slice(1), ["body 1 hell"]);
      assert.equal(idle, false);
    });

    test("is none when CONTENT_LENGTH is 0", () => {
      assert.deepEqual(events(protocol, post("more", 0)).slice(1), ["bodyEnd 1"]);
    });

    test("of a mebibyte comes as it arrives", () => {
      const content = pattern(1 << 20);
      const codec = server(defaultCodecLimits);
      const hash = createHash("sha256");
      let ends = 0;
      for (const piece of new Random(3).pieces(concat(post("", content.length), content))) {
        codec.receive(piece);
        for (let event = codec.nextEvent(); event; event = codec.nextEvent()) {
          if (event.type === "body") hash.update(event.bytes);
          else if (event.type === "bodyEnd") ends++;
        }
      }
      assert.equal(hash.digest("hex"), createHash("sha256").update(content).digest("hex"));
      assert.equal(ends, 1);
    });

    for (
      const length of [
        "-1",
        "+5",
        "5x",
        "abc",
        "NaN",
        "1e3",
        "0x5",
        " 5",
        "5 ",
        "5.0",
        "5, 5",
        "9007199254740993",
        "99999999999999999999",
      ]
    ) {
      test(`has no end that is known with a CONTENT_LENGTH of "${length}", so that the request is refused`, () => {
        const { events, sent, closing, idle } = converse(
          protocol,
          message({ ...always, CONTENT_LENGTH: length }, "hello"),
          answer,
        );
        assert.deepEqual(events, [`refused 1 400 CONTENT_LENGTH is "${length}"`]);
        assert.deepEqual({ sent, closing, idle }, { sent: `${headHtml}hi`, closing: true, idle: false });
      });
    }

    test("that is followed by a flood is cut off, behind its answer", () => {
      const codec = server(defaultCodecLimits);
      const flood = Array.from({ length: 17 }, () => new Uint8Array(65536));
      const seen = transcript(codec, [post("hello", 5), ...flood]);
      assert.deepEqual(seen.slice(1), [
        "body 1 hello",
        "bodyEnd 1",
        "ProtocolError: The web server sent 1048576 bytes behind its request",
      ]);
      assert.equal(text(codec.encode(1, html, bytes("hi"), true)), `${headHtml}hi`);
    });

    test("a second request behind it is ignored: there is one for each connection", () => {
      const once = message({ A: "b" }, "x");
      assert.deepEqual(events(protocol, concat(once, once)), events(protocol, once));
    });
  });

  describe(`a response over ${protocol}`, () => {
    test("is head, body and the end of the connection", () => {
      const { sent, closing } = converse(protocol, message({}, "body"), (codec, event) => {
        if (event.type === "request") return codec.encode(event.id, html, undefined, false);
        if (event.type !== "bodyEnd") return;
        assert.equal(codec.closing, false);
        return concat(codec.encode(1, undefined, bytes("one"), false), codec.encode(1, undefined, bytes("two"), true));
      });
      assert.equal(sent, `${headHtml}onetwo`);
      assert.equal(closing, true);
    });

    test("keeps the bytes of header values", () => {
      const codec = server(defaultCodecLimits);
      const head: ResponseHead = { status: 200, reason: "Fin\xe9", headers: ["x-name", "caf\xe9"] };
      const sent = text(codec.encode(1, head, undefined, true));
      assert.ok(sent.includes("200 Fin\xe9\r\n"), sent);
      assert.ok(sent.includes("x-name: caf\xe9\r\n"), sent);
    });

    test("of a request that has ended is not encoded", () => {
      const codec = server(defaultCodecLimits);
      assert.notEqual(codec.encode(1, html, undefined, true).length, 0);
      assert.equal(codec.encode(1, html, bytes("again"), true).length, 0);
    });

    test("goes into the memory that is given", () => {
      const memory: number[] = [];
      const codec = server({
        ...defaultCodecLimits,
        allocate(length) {
          memory.push(length);
          return Buffer.alloc(length);
        },
      });
      assert.equal(codec.encode(1, html, bytes("hi"), true).length, headHtml.length + 2);
      assert.deepEqual(memory, [headHtml.length + 2]);
    });

    test("has no error log beside it and nothing to probe with", () => {
      const codec = server(defaultCodecLimits);
      assert.equal(codec.stderr(1, "text"), undefined);
      assert.equal(codec.probe(), undefined);
    });

    test("before the body has arrived leaves the connection closing, and idle only when the rest is there", () => {
      const early: Act = (codec, event) => event.type === "request" ? codec.encode(event.id, html, bytes("no"), true) : undefined;
      const whole = message({}, "0123456789");
      const part = converse(protocol, whole.slice(0, -3), early);
      assert.deepEqual(part, { events: part.events.slice(0, 1), sent: `${headHtml}no`, idle: false, closing: true });
      assert.deepEqual(converse(protocol, whole, early), { ...part, idle: true });
    });
  });

  describe(`limits over ${protocol}`, () => {
    test("params without an end are waited for, and are not idleness", () => {
      const whole = message({ A: "b" });
      for (let length = 1; length < whole.length; length++) {
        const codec = server(defaultCodecLimits);
        assert.deepEqual(transcript(codec, [whole.slice(0, length)]), [], `${length} of ${whole.length} bytes`);
        assert.equal(codec.idle, false);
      }
    });

    test("params above maxParamsBytes are refused as soon as their length is there", () => {
      const lengthOf = (length: number) => protocol === "scgi" ? bytes(`${length}:`) : Uint8Array.of(0, length, 0, 0);
      const seen = (length: number) => transcript(server({ ...defaultCodecLimits, maxParamsBytes: 100 }), [lengthOf(length)]);
      assert.deepEqual(seen(101), ["refused 1 431 more than 100 bytes of params"]);
      assert.deepEqual(seen(100), []);
    });

    const count = (names: number) => {
      const pairs = Object.entries(always);
      while (pairs.length < names) pairs.push([`N${pairs.length}`, ""]);
      return message(pairs);
    };

    for (const [names, refused] of [[3, false], [4, true]] as const) {
      test(`${names} params are ${refused ? "refused" : "taken"} where three are allowed`, () => {
        const { events, sent, idle, closing } = converse(protocol, count(names), answer, { maxParams: 3 });
        if (refused) assert.deepEqual(events, ["refused 1 431 more than 3 params"]);
        else assert.equal(events.length, 2);
        assert.deepEqual({ sent, idle, closing }, { sent: `${headHtml}hi`, idle: true, closing: true });
      });
    }

    test("a request that cannot be taken is refused, and its body ignored", () => {
      for (
        const [limits, reason] of [[{ maxParams: 0 }, "431 more than 0 params"], [
          { maxConcurrent: 0 },
          "503 too many requests at once",
        ]] as const
      ) {
        const { events, idle } = converse(protocol, message({ A: "b" }, "hello"), answer, limits);
        assert.deepEqual(events, [`refused 1 ${reason}`]);
        assert.equal(idle, true);
      }
    });

    test("everything behind a head that is too long is ignored, since its end is unknown", () => {
      const { events, sent, idle, closing } = converse(protocol, message({ A: "b".repeat(200) }, "hello"), answer, {
        maxParamsBytes: 100,
      });
      assert.deepEqual(events, ["refused 1 431 more than 100 bytes of params"]);
      assert.deepEqual({ sent, idle, closing }, { sent: `${headHtml}hi`, idle: false, closing: true });
    });

    test("the buffer of a head is not kept alive", () => {
      // Each byte lies in a large piece. Who kept a view would keep it all, and see it changed.
      const codec = server(defaultCodecLimits);
      const whole = message({ NAME: "value" });
      const seen: string[] = [];
      for (const byte of whole) {
        const piece = new Uint8Array(200).fill(0xff);
        piece[0] = byte;
        seen.push(...transcript(codec, [piece.subarray(0, 1)]));
        piece.fill(0xff);
      }
      assert.deepEqual(seen, events(protocol, whole));
    });
  });

  describe(`the client half of ${protocol}`, () => {
    /** What the client reports of a response, which must be the same however that is cut. */
    function receive(response: string, { end = true, method = "GET" } = {}): string[] {
      const once = (pieces: Uint8Array[]) => {
        const codec = client();
        codec.request(1, new Params(["REQUEST_METHOD", method]));
        const receiver = {
          receive: (bytes: Uint8Array) => bytes.length > 0 ? codec.receive(bytes) : codec.receiveEnd(),
          nextEvent: (): ClientEvent | undefined => codec.nextEvent(),
        };
        return transcript(receiver, end ? [...pieces, new Uint8Array(0)] : pieces);
      };
      const whole = once([bytes(response)]);
      for (const { name, pieces } of splits(bytes(response), new Random(5))) assert.deepEqual(once(pieces), whole, name);
      return whole;
    }

    test("reads a response until the connection ends", () => {
      assert.deepEqual(receive("Status: 404 Not Found\r\nX: y\r\n\r\nbody", { end: false }), [
        'head 1 404 "Not Found" X y',
        "body 1 body",
      ]);
      assert.deepEqual(receive("Status: 404 Not Found\r\nX: y\r\n\r\nbody"), [
        'head 1 404 "Not Found" X y',
        "body 1 body",
        "end 1 0",
      ]);
      assert.deepEqual(receive("HTTP/1.1 404 Not Found\r\nX: y\r\n\r\n"), ['head 1 404 "Not Found" X y', "end 1 0"]);
    });

    const incomplete = "ProtocolError: The server closed the connection before the response was complete";

    test("does not take a response that ends in its head, or none at all", () => {
      for (const response of ["", "Status: 200 OK\r\nX: y\r\n"]) assert.deepEqual(receive(response), [incomplete]);
      assert.deepEqual(receive("oops\n\n"), ['ProtocolError: The response head has the line "oops"']);
    });

    test("does not take a body that is shorter than its Content-Length", () => {
      assert.deepEqual(receive("Content-Length: 5\r\n\r\nhell").slice(1), ["body 1 hell", incomplete]);
      assert.deepEqual(receive("content-length: 5\r\n\r\n").slice(1), [incomplete]);
      assert.deepEqual(receive("Content-Length: 5\r\n\r\nhello").slice(1), ["body 1 hello", "end 1 0"]);
    });

    test("expects no body where there is none, whatever the Content-Length", () => {
      assert.deepEqual(receive("Content-Length: 5\r\n\r\n", { method: "HEAD" }).slice(1), ["end 1 0"]);
      assert.deepEqual(receive("Status: 304 Not Modified\r\nContent-Length: 5\r\n\r\n").slice(1), ["end 1 0"]);
    });

    test("has its requests read as they were, and their responses", () => {
      const pairs = ["REQUEST_METHOD", "PUT", "NAME", "\xc3\xa9", "EMPTY", "", "CONTENT_LENGTH", "5"];
      const sender = client();
      const request = concat(sender.request(1, new Params(pairs)), sender.body(1, bytes("hello")), sender.bodyEnd(1));
      const { events, sent } = converse(protocol, request, (codec, event) => {
        if (event.type !== "bodyEnd") return;
        return codec.encode(
          event.id,
          { status: 418, reason: "Teapot", headers: ["x-a", "1", "x-a", "caf\xe9"] },
          bytes("short"),
          true,
        );
      });
      const expected = protocol === "scgi"
        ? 'CONTENT_LENGTH=5 SCGI=1 REQUEST_METHOD=PUT NAME="Ã©" EMPTY=""'
        : 'REQUEST_METHOD=PUT NAME="Ã©" EMPTY="" CONTENT_LENGTH=5';
      assert.deepEqual(events, [`request 1 responder ${expected}`, "body 1 hello", "bodyEnd 1"]);
      assert.deepEqual(receive(sent), ['head 1 418 Teapot x-a 1 x-a "café"', "body 1 short", "end 1 0"]);
    });
  });

  describe(`recorded ${protocol} traffic gives the same events however it is cut`, () => {
    for (const name of fixtureNames(protocol)) {
      test(name, () => {
        const { events, idle, closing } = converse(protocol, fixture(name), answer);
        assert.match(events[0], /^request 1 responder /);
        // The recording application did not wait for the body, of which nothing was announced.
        const complete = name !== "nginx-scgi-unbuf-expect";
        assert.deepEqual({ idle, closing }, { idle: complete, closing: complete });
        assert.equal(events.filter((line) => line === "bodyEnd 1").length, complete ? 1 : 0);
        const body = /post20|chunkslow/.test(name)
          ? /^body 1 \S{20}$/
          : /post40k/.test(name)
          ? /^body 1 <40000 bytes/
          : undefined;
        if (body) assert.match(events[1], body);
        assert.equal(events.length, complete ? (body ? 3 : 2) : 1);
      });
    }
  });
}
