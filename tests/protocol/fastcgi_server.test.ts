import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { defaultOptions, FastCgiServer, type FastCgiServerOptions } from "../../src/protocol/fastcgi/server.ts";
import type { ResponseHead, ServerEvent } from "../../src/protocol/protocol.ts";
import { bytes, concat, fixture, fixtureNames, hex, pattern, splits, text, toHex, transcript } from "../support/bytes.ts";
import { Random } from "../support/random.ts";
import { encodePairs, recordLines, records, traffic } from "../support/traffic.ts";

const html: ResponseHead = { status: 200, reason: "OK", headers: ["content-type", "text/html"] };
const htmlHead = "content-type: text/html\r\nStatus: 200 OK\r\n\r\n";

/** What a server does on an event, and what it sends for it. */
type Act = (codec: FastCgiServer, event: ServerEvent) => Uint8Array | undefined | void;

/** Answers each request when all of it is there. */
const answer: Act = (codec, event) => {
  if (event.type === "bodyEnd" || event.type === "refused") return codec.encode(event.id, html, bytes("hi"), true);
  if (event.type === "abort") return codec.encode(event.id, undefined, undefined, true);
};

interface Conversation {
  events: string[];
  sent: string[];
  idle: boolean;
  closing: boolean;
}

/** A whole conversation, which must be the same however the message is cut. */
function converse(message: Uint8Array, act?: Act, options: Partial<FastCgiServerOptions> = {}): Conversation {
  const once = (pieces: Uint8Array[]) => {
    const codec = new FastCgiServer({ ...defaultOptions, ...options });
    const sent: Uint8Array[] = [];
    const events = transcript(codec, pieces, (event) => {
      const bytes = act?.(codec, event);
      if (bytes) sent.push(bytes);
    });
    // A connection that broke is neither.
    const broken = events.at(-1)?.startsWith("ProtocolError") ?? false;
    return { events, sent: recordLines(concat(...sent)), idle: !broken && codec.idle, closing: !broken && codec.closing };
  };
  const whole = once([message]);
  for (const split of splits(message, new Random(7))) assert.deepEqual(once(split.pieces), whole, split.name);
  return whole;
}

function events(message: Uint8Array, options?: Partial<FastCgiServerOptions>): string[] {
  return converse(message, undefined, options).events;
}

describe("the examples of the FastCGI specification, appendix B", () => {
  const serverPort = "0b02 5345525645525f504f5254 3830";
  const serverAddr = "0b0e 5345525645525f41444452 3139392e3137302e3138332e3432";
  const request = "request 1 responder SERVER_PORT=80 SERVER_ADDR=199.170.183.42";

  test("1: a request without a body and its response", () => {
    const { events, sent, closing, idle } = converse(
      hex(`
        01 01 0001 0008 00 00  0001 00 0000000000
        01 04 0001 002a 00 00  ${serverPort} ${serverAddr}
        01 04 0001 0000 00 00
        01 05 0001 0000 00 00`),
      answer,
    );
    assert.deepEqual(events, [request, "bodyEnd 1"]);
    assert.deepEqual(sent, [`stdout 1 ${htmlHead}hi`, "stdout 1", "end 1 \0\0\0\0\0\0\0\0"]);
    assert.equal(closing, true);
    assert.equal(idle, true);
  });

  test("2: params in two records, cut inside a name, and a body", () => {
    const message = hex(`
      01 01 0001 0008 00 00  0001 00 0000000000
      01 04 0001 0014 00 00  ${serverPort} 0b0e 534552
      01 04 0001 0016 00 00  5645525f41444452 3139392e3137302e3138332e3432
      01 04 0001 0000 00 00
      01 05 0001 0019 00 00  7175616e746974793d313030266974656d3d33303437393336
      01 05 0001 0000 00 00`);
    assert.deepEqual(events(message), [request, "body 1 quantity=100&item=3047936", "bodyEnd 1"]);
  });

  test("4: two requests on one connection, answered in the other order", () => {
    const params = { SERVER_PORT: "80", SERVER_ADDR: "199.170.183.42" };
    const message = traffic()
      .begin({ id: 1, keep: true }).params(params, { id: 1 })
      .begin({ id: 2, keep: true }).openParams(params, { id: 2 })
      .stdin("", { id: 1 })
      .params({}, { id: 2 })
      .stdin("", { id: 2 })
      .bytes();
    const { events, sent, closing } = converse(message, (codec, event) => {
      if (event.type !== "bodyEnd") return;
      if (event.id === 1) return codec.encode(1, html, undefined, false);
      return concat(codec.encode(2, html, bytes("<html>"), true), codec.encode(1, undefined, bytes("<html>"), true));
    });
    assert.deepEqual(events, [request, "bodyEnd 1", request.replace("1", "2"), "bodyEnd 2"]);
    assert.deepEqual(sent, [
      `stdout 1 ${htmlHead}`.trimEnd(),
      `stdout 2 ${htmlHead}<html>`,
      "stdout 2",
      "end 2 \0\0\0\0\0\0\0\0",
      "stdout 1 <html>",
      "stdout 1",
      "end 1 \0\0\0\0\0\0\0\0",
    ]);
    assert.equal(closing, false);
  });
});

describe("a request", () => {
  test("with padding behind each record", () => {
    const message = traffic().begin({ padding: 1 }).params({ A: "b" }, { padding: 7 }).stdin("hello", { padding: 3 }).stdin("", {
      padding: 255,
    });
    assert.deepEqual(events(message.bytes()), ["request 1 responder A=b", "body 1 hello", "bodyEnd 1"]);
  });

  test("with params cut anywhere", () => {
    const values = { A: "b", LONG: "x".repeat(200) };
    for (let at = 1; at < encodePairs(values).length; at++) {
      const message = traffic().begin().params(values, { splitAt: [at] }).bytes();
      assert.deepEqual(
        transcript(new FastCgiServer(), [message]),
        [`request 1 responder A=b LONG=${"x".repeat(200)}`],
        `cut at ${at}`,
      );
    }
  });

  test("without any params", () => {
    assert.deepEqual(events(traffic().begin().params({}).bytes()), ["request 1 responder"]);
  });

  test("keeps params of arbitrary bytes and repeated names in order", () => {
    const message = traffic().begin().params([["A", "1"], ["", ""], ["A", "\xc3\xa9\0\r\n"]]).bytes();
    assert.deepEqual(events(message), ['request 1 responder A=1 ""="" A="Ã©\\u0000\\r\\n"']);
  });

  test("with a body in many records", () => {
    const message = traffic().begin().params({}).stdin("a").stdin("b", { padding: 4 }).stdin("c").stdin().bytes();
    assert.deepEqual(events(message), ["request 1 responder", "body 1 abc", "bodyEnd 1"]);
  });

  test("with small records that arrive together, which give one piece for each request and up to each end", () => {
    const message = traffic().begin({ id: 1 }).params({}, { id: 1 }).begin({ id: 2 }).params({}, { id: 2 })
      .stdin("a", { id: 1 }).stdin("b", { id: 1, padding: 255 }).stdin("c", { id: 1 })
      .stdin("d", { id: 2 }).stdin("e", { id: 2 }).stdin("f", { id: 1 }).stdin("", { id: 1 })
      .stdin("g", { id: 2 }).stdin("h".repeat(2000), { id: 2 }).stdin("", { id: 2 });
    const codec = new FastCgiServer();
    codec.receive(message.bytes());
    const pieces: string[] = [];
    for (let event = codec.nextEvent(); event; event = codec.nextEvent()) {
      if (event.type === "body") pieces.push(`${event.id} ${text(event.bytes)}`);
    }
    assert.deepEqual(pieces, ["1 abc", "2 de", "1 f", "2 g", `2 ${"h".repeat(2000)}`]);
    assert.equal(codec.idle, false);
    const whole = events(message.bytes());
    assert.deepEqual(whole.filter((line) => line.startsWith("bodyEnd")), ["bodyEnd 1", "bodyEnd 2"]);
  });

  test("with a body of several records of the largest size", () => {
    const content = pattern(65535);
    const message = traffic().begin().params({}).stdin(content).stdin(content, { padding: 1 }).stdin().bytes();
    const codec = new FastCgiServer();
    const pieces: Uint8Array[] = [];
    for (const piece of new Random(3).pieces(message)) {
      codec.receive(piece);
      for (let event = codec.nextEvent(); event; event = codec.nextEvent()) if (event.type === "body") pieces.push(event.bytes);
    }
    assert.equal(text(concat(...pieces)), text(concat(content, content)));
  });

  test("with a request id of two bytes", () => {
    assert.deepEqual(events(traffic().get("/", { id: 0xfffe }).bytes()), [
      "request 65534 responder REQUEST_URI=/",
      "bodyEnd 65534",
    ]);
  });

  test("ignores other flags than KEEP_CONN", () => {
    assert.equal(converse(traffic().begin({ flags: 0xfe }).params({}).stdin().bytes(), answer).closing, true);
    assert.equal(converse(traffic().begin({ flags: 0xff }).params({}).stdin().bytes(), answer).closing, false);
  });
});

describe("roles", () => {
  const all: Partial<FastCgiServerOptions> = { roles: ["responder", "authorizer", "filter"] };

  test("an Authorizer's request is complete with its params", () => {
    const { events, sent, idle } = converse(
      traffic().begin({ role: 2, keep: true }).params({ A: "b" }).bytes(),
      (codec, event) => {
        if (event.type === "request") return codec.encode(event.id, html, undefined, true);
      },
      all,
    );
    assert.deepEqual(events, ["request 1 authorizer A=b"]);
    assert.equal(sent.length, 3);
    assert.equal(idle, true);
  });

  test("the empty stdin that lighttpd sends even an Authorizer is ignored", () => {
    const message = traffic().begin({ role: 2, keep: true }).params({}).stdin().get("/next", { id: 2, keep: true }).bytes();
    assert.deepEqual(events(message, all), ["request 1 authorizer", "request 2 responder REQUEST_URI=/next", "bodyEnd 2"]);
    const answered = converse(message, (codec, event) => {
      if (event.type === "request") return codec.encode(event.id, html, undefined, true);
    }, all);
    assert.deepEqual(answered.events, ["request 1 authorizer", "request 2 responder REQUEST_URI=/next"]);
    assert.equal(answered.idle, true);
  });

  test("a Filter gets its data after its body", () => {
    const message = traffic().begin({ role: 3 }).params({}).stdin("body").stdin().data("file", { padding: 5 }).data().bytes();
    assert.deepEqual(events(message, all), ["request 1 filter", "body 1 body", "bodyEnd 1", "data 1 file", "dataEnd 1"]);
  });

  test("a Filter's connection is not idle before the end of its data, even when it has answered", () => {
    const begun = traffic().begin({ role: 3, keep: true }).params({}).stdin().bytes();
    assert.equal(converse(begun, answer, all).idle, false);
    assert.equal(converse(concat(begun, traffic().data("late").data().bytes()), answer, all).idle, true);
  });

  for (
    const [role, name] of [[2, "authorizer"], [3, "filter"], [0, "number 0"], [4, "number 4"], [65535, "number 65535"]] as const
  ) {
    test(`the role ${name} is refused with UNKNOWN_ROLE by an application that does not play it`, () => {
      const message = traffic().begin({ role, keep: true }).params({ A: "b" }).stdin("x").stdin().bytes();
      const { events, sent, closing } = converse(message, answer);
      assert.deepEqual(events, [`refused 1 501 the application does not play the role ${name}`]);
      assert.deepEqual(sent, [`stdout 1 ${htmlHead}hi`, "stdout 1", "end 1 \0\0\0\0\x03\0\0\0"]);
      assert.equal(closing, false);
    });
  }
});

test("the input of a refused request is ignored even before the refusal is answered", () => {
  const refused = "refused 1 501 the application does not play the role number 7";
  const complete = traffic().begin({ role: 7 }).params({ A: "b" }).stdin("x").stdin();
  assert.deepEqual(events(complete.bytes()), [refused]);
  const disorderly = traffic().begin({ role: 7 }).openParams({ A: "b".repeat(100) }).stdin("x").data("y").data();
  assert.deepEqual(events(disorderly.bytes(), { maxParamsBytes: 50 }), [refused]);
});

describe("limits", () => {
  test("a request above maxConcurrent is refused with OVERLOADED, and its input ignored", () => {
    const message = traffic()
      .begin({ id: 1, keep: true }).params({}, { id: 1 })
      .begin({ id: 2, keep: true }).params({}, { id: 2 })
      .begin({ id: 3, keep: true }).params({ A: "b" }, { id: 3 }).stdin("x", { id: 3 }).stdin("", { id: 3 })
      .stdin("", { id: 1 })
      .bytes();
    const { events, sent } = converse(message, (codec, event) => {
      if (event.type === "refused") return codec.encode(event.id, html, undefined, true);
    }, { maxConcurrent: 2 });
    assert.deepEqual(events, [
      "request 1 responder",
      "request 2 responder",
      "refused 3 503 too many requests at once",
      "bodyEnd 1",
    ]);
    assert.equal(sent.at(-1), "end 3 \0\0\0\0\x02\0\0\0");
  });

  test("a request that has been answered makes room for another", () => {
    const message = traffic().get("/1", { id: 1, keep: true }).get("/2", { id: 2, keep: true }).get("/3", { id: 3, keep: true })
      .bytes();
    const { events } = converse(message, answer, { maxConcurrent: 1 });
    assert.deepEqual(events.filter((line) => line.startsWith("refused")), []);
    assert.equal(events.length, 6);
  });

  for (const [length, refused] of [[100, false], [101, true]] as const) {
    test(`params of ${length} bytes are ${refused ? "refused" : "taken"} where 100 are allowed`, () => {
      // Two bytes of lengths and a name of one.
      const message = traffic().begin({ keep: true }).params({ A: "b".repeat(length - 3) }, { splitAt: [40, 80] }).stdin("x")
        .stdin().bytes();
      const { events, idle } = converse(message, answer, { maxParamsBytes: 100 });
      if (refused) assert.deepEqual(events, ["refused 1 431 more than 100 bytes of params"]);
      else assert.deepEqual(events, [`request 1 responder A=${"b".repeat(97)}`, "body 1 x", "bodyEnd 1"]);
      assert.equal(idle, true);
    });
  }

  for (const [count, refused] of [[3, false], [4, true]] as const) {
    test(`${count} params are ${refused ? "refused" : "taken"} where three are allowed`, () => {
      const pairs = Array.from({ length: count }, (_, i): [string, string] => [`N${i}`, ""]);
      const { events, sent } = converse(traffic().begin().params(pairs).stdin().bytes(), answer, { maxParams: 3 });
      if (refused) assert.deepEqual(events, ["refused 1 431 more than 3 params"]);
      else assert.deepEqual(events, ['request 1 responder N0="" N1="" N2=""', "bodyEnd 1"]);
      assert.equal(sent.at(-1), "end 1 \0\0\0\0\0\0\0\0");
    });
  }

  test("params without an end are refused once, as soon as there are too many", () => {
    const codec = new FastCgiServer({ ...defaultOptions, maxParamsBytes: 1000 });
    const seen: string[] = [];
    codec.receive(traffic().begin().bytes());
    for (let sent = 0; sent < 100_000; sent += 500) {
      codec.receive(traffic().record(4, new Uint8Array(500)).bytes());
      for (let event = codec.nextEvent(); event; event = codec.nextEvent()) seen.push(`${event.type} at ${sent + 500}`);
    }
    assert.deepEqual(seen, ["refused at 1500"]);
  });

  test("the buffer of params is not kept alive", () => {
    // Each byte of the params lies in a large piece with other traffic. Who kept a view would keep it all, and see it changed.
    const values = { NAME: "value" };
    const codec = new FastCgiServer();
    const pieces = [...encodePairs(values)].map((byte) => traffic().record(4, Uint8Array.of(byte), { padding: 200 }).bytes());
    for (const [i, piece] of [traffic().begin().bytes(), ...pieces].entries()) {
      codec.receive(piece);
      assert.equal(codec.nextEvent(), undefined);
      if (i > 0) piece.fill(0xff);
    }
    assert.deepEqual(transcript(codec, [traffic().params({}).bytes()]), ["request 1 responder NAME=value"]);
  });
});

describe("management records", () => {
  const known = { maxConnections: 10, maxConcurrent: 20 };
  const questions: [title: string, names: string[], answer: [string, string][]][] = [
    ["all known names", ["FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS"], [
      ["FCGI_MAX_CONNS", "10"],
      ["FCGI_MAX_REQS", "20"],
      ["FCGI_MPXS_CONNS", "1"],
    ]],
    ["some names", ["FCGI_MPXS_CONNS"], [["FCGI_MPXS_CONNS", "1"]]],
    ["unknown names beside a known one", ["FCGI_OTHER", "FCGI_MAX_REQS", "toString", "__proto__"], [["FCGI_MAX_REQS", "20"]]],
    ["a name twice", ["FCGI_MAX_CONNS", "FCGI_MAX_CONNS"], [["FCGI_MAX_CONNS", "10"]]],
    ["unknown names only", ["FCGI_OTHER"], []],
    ["no name", [], []],
  ];
  for (const [title, names, answer] of questions) {
    test(`GET_VALUES of ${title}`, () => {
      const reply = traffic().getValuesResult(answer).bytes();
      assert.deepEqual(events(traffic().getValues(...names).bytes(), known), [`reply ${toHex(reply)}`]);
    });
  }

  test("GET_VALUES before the first request, as HAProxy sends it, leaves the connection open", () => {
    const message = traffic().getValues("FCGI_MAX_REQS", "FCGI_MPXS_CONNS").get("/", { keep: true }).bytes();
    const { events, closing, idle } = converse(message, answer);
    assert.deepEqual(events.slice(1), ["request 1 responder REQUEST_URI=/", "bodyEnd 1"]);
    assert.equal(closing, false);
    assert.equal(idle, true);
  });

  for (const type of [10, 11, 12, 200, 255]) {
    test(`a record of type ${type} is answered with UNKNOWN_TYPE`, () => {
      const message = traffic().record(type, "what is this", { id: 0, padding: 2 }).get("/").bytes();
      const reply = `reply 010b000000080000${type.toString(16).padStart(2, "0")}00000000000000`;
      assert.deepEqual(events(message), [reply, "request 1 responder REQUEST_URI=/", "bodyEnd 1"]);
    });
  }

  test("a question between the records of a request does not disturb it", () => {
    const message = traffic().begin().openParams({ A: "b" }).getValues("FCGI_MAX_CONNS").params({ C: "d" }).bytes();
    const lines = events(message);
    assert.equal(lines.length, 2);
    assert.equal(lines[1], "request 1 responder A=b C=d");
  });
});

describe("several requests on a connection", () => {
  test("interleaved record by record", () => {
    const [one, two] = [{ id: 1 }, { id: 2 }];
    const message = traffic()
      .begin({ ...one, keep: true }).begin({ ...two, keep: true })
      .openParams({ N: "one" }, one).openParams({ N: "two" }, two)
      .params({ M: "1" }, one).params({ M: "2" }, two)
      .stdin("a", one).stdin("b", two).stdin("c", one).stdin("", two).stdin("", one)
      .bytes();
    const { events, idle, sent } = converse(message, answer);
    assert.deepEqual(events, [
      "request 1 responder N=one M=1",
      "request 2 responder N=two M=2",
      "body 1 a",
      "body 2 b",
      "body 1 c",
      "bodyEnd 2",
      "bodyEnd 1",
    ]);
    assert.deepEqual(sent.filter((line) => line.startsWith("end")).map((line) => line.slice(0, 5)), ["end 2", "end 1"]);
    assert.equal(idle, true);
  });

  test("an id is used again after its request is answered", () => {
    const message = traffic().get("/1", { keep: true }).get("/2", { keep: true }).bytes();
    const { events, sent } = converse(message, answer);
    assert.deepEqual(events, [
      "request 1 responder REQUEST_URI=/1",
      "bodyEnd 1",
      "request 1 responder REQUEST_URI=/2",
      "bodyEnd 1",
    ]);
    assert.equal(sent.length, 6);
  });

  test("mod_proxy_fcgi uses an id again after an early answer, without having ended the old stdin", () => {
    const message = traffic()
      .begin({ keep: true }).params({ N: "1" }).stdin("some of a body")
      .begin({ keep: true }).params({ N: "2" }).stdin("x").stdin()
      .bytes();
    const { events, sent, idle } = converse(message, (codec, event) => {
      if (event.type === "request") return codec.encode(1, html, bytes(event.params.get("N")!), true);
    });
    assert.deepEqual(events, ["request 1 responder N=1", "request 1 responder N=2"]);
    assert.deepEqual(sent.filter((line) => line.startsWith("stdout 1 c")), [`stdout 1 ${htmlHead}1`, `stdout 1 ${htmlHead}2`]);
    assert.equal(idle, true);
  });

  test("records of a request that is not active are ignored", () => {
    const message = traffic()
      .stdin("x", { id: 9 }).record(4, "junk", { id: 9 }).abort({ id: 9 }).data("x", { id: 9 }).record(3, "x", { id: 9 })
      .get("/", { id: 1, keep: true })
      .stdin("late").record(4, "late").abort()
      .bytes();
    const { events, idle } = converse(message, answer);
    assert.deepEqual(events, ["request 1 responder REQUEST_URI=/", "bodyEnd 1"]);
    assert.equal(idle, true);
  });

  test("the rest of a body is ignored when the answer came early", () => {
    const message = traffic().begin({ keep: true }).params({}).stdin("rest").stdin("rest").stdin().get("/2", { id: 2 }).bytes();
    const { events } = converse(message, (codec, event) => {
      if (event.type === "request") return codec.encode(event.id, html, undefined, true);
    });
    assert.deepEqual(events, ["request 1 responder", "request 2 responder REQUEST_URI=/2"]);
  });

  test("a record of an unknown type inside a request is ignored", () => {
    const message = traffic().begin().record(12, "?").params({}).record(200, "?", { padding: 3 }).stdin().bytes();
    assert.deepEqual(events(message), ["request 1 responder", "bodyEnd 1"]);
  });
});

describe("ABORT_REQUEST", () => {
  test("reports the abort of a request in flight, which is then ended", () => {
    const { events, sent, idle, closing } = converse(
      traffic().begin({ keep: true }).params({}).stdin("x").abort().bytes(),
      answer,
    );
    assert.deepEqual(events, ["request 1 responder", "body 1 x", "abort 1"]);
    assert.deepEqual(sent, ["stdout 1", "end 1 \0\0\0\0\0\0\0\0"]);
    assert.equal(idle, true);
    assert.equal(closing, false);
  });

  test("right after BEGIN_REQUEST, as HAProxy does for a URL it cannot decode, is answered at once and not reported", () => {
    const message = traffic().begin({ keep: true }).abort().get("/next", { id: 3, keep: true }).bytes();
    const end = toHex(traffic().stdout().endRequest().bytes());
    const { events, idle } = converse(message, answer);
    assert.deepEqual(events, [`reply ${end}`, "request 3 responder REQUEST_URI=/next", "bodyEnd 3"]);
    assert.equal(idle, true);
  });

  test("within the params is answered at once and not reported", () => {
    assert.deepEqual(events(traffic().begin().openParams({ A: "b" }).abort().bytes()), [
      `reply ${toHex(traffic().stdout().endRequest().bytes())}`,
    ]);
  });

  test("after the body was complete is reported", () => {
    assert.deepEqual(events(traffic().get("/").abort().bytes()), ["request 1 responder REQUEST_URI=/", "bodyEnd 1", "abort 1"]);
  });

  test("of a request that is being refused is reported, so that the refusal cannot answer a later one with the same id", () => {
    const message = traffic().begin({ role: 7, keep: true }).abort().get("/next", { keep: true }).bytes();
    const { events } = converse(message, (codec, event) => {
      if (event.type === "abort") return codec.encode(event.id, undefined, undefined, true);
    });
    assert.deepEqual(events, [
      "refused 1 501 the application does not play the role number 7",
      "abort 1",
      "request 1 responder REQUEST_URI=/next",
      "bodyEnd 1",
    ]);
  });

  test("with content means the same", () => {
    assert.deepEqual(events(traffic().begin().params({}).record(2, "why", { padding: 1 }).bytes()), [
      "request 1 responder",
      "abort 1",
    ]);
  });

  test("behind the answer frees the connection and is not reported", () => {
    const message = traffic().begin({ keep: true }).params({}).abort().bytes();
    const { events, idle } = converse(message, (codec, event) => {
      if (event.type === "request") return codec.encode(event.id, html, undefined, true);
    });
    assert.deepEqual(events, ["request 1 responder"]);
    assert.equal(idle, true);
  });
});

describe("what is not a record closes the connection behind the answers to complete requests", () => {
  const cases: [name: string, junk: Uint8Array, version: number][] = [
    ["another version", hex("02 01 0001 0008 00 00 0001 00 0000000000"), 2],
    ["HTTP", bytes("GET / HTTP/1.1\r\n\r\n"), 71],
    ["padding of zeros behind the end of STDIN", new Uint8Array(8), 0],
    ["one zero", new Uint8Array(1), 0],
  ];
  for (const [name, junk, version] of cases) {
    const error = `ProtocolError: Not FastCGI: a record starts with ${version}, expected version 1`;

    test(name, () => assert.deepEqual(events(junk), [error]));

    test(`${name}, behind a request`, () => {
      const { events, sent } = converse(concat(traffic().get("/", { keep: true }).bytes(), junk), answer);
      assert.deepEqual(events, ["request 1 responder REQUEST_URI=/", "bodyEnd 1", error]);
      assert.deepEqual(sent, [`stdout 1 ${htmlHead}hi`, "stdout 1", "end 1 \0\0\0\0\0\0\0\0"]);
    });

    test(`${name}, behind a request whose answer comes later`, () => {
      const codec = new FastCgiServer();
      transcript(codec, [concat(traffic().get("/", { keep: true }).bytes(), junk)]);
      assert.equal(recordLines(codec.encode(1, html, bytes("hi"), true)).length, 3);
    });
  }

  test("what follows is never parsed, however it looks", () => {
    const codec = new FastCgiServer();
    const seen = transcript(codec, [
      concat(traffic().get("/1").bytes(), new Uint8Array(8), traffic().get("/2", { id: 2 }).bytes()),
    ]);
    assert.equal(seen.filter((line) => line.startsWith("request ")).length, 1);
  });
});

describe("records out of turn cost no request its answer", () => {
  const served = ["request 1 responder REQUEST_URI=/", "bodyEnd 1"];
  const next = ["request 7 responder REQUEST_URI=/next", "bodyEnd 7"];
  const get = () => traffic().get("/", { keep: true });
  const behind: [name: string, strays: (message: ReturnType<typeof traffic>) => unknown][] = [
    ["a second end of STDIN", (message) => message.stdin()],
    ["a body behind its end", (message) => message.stdin("x")],
    ["DATA for a Responder, and its end", (message) => message.data("x", { padding: 3 }).data()],
    ["PARAMS behind their end", (message) => message.params({ A: "b" })],
    ["broken PARAMS behind their end", (message) => message.record(4, hex("ff"))],
    ["END_REQUEST", (message) => message.endRequest()],
    ["STDOUT and STDERR", (message) => message.stdout("x").stderr("y")],
    ["management records with its id", (message) => message.record(9, "").record(10, "x").record(11, "y")],
    ["records of an unknown type", (message) => message.record(12, "x").record(255, "y", { padding: 255 })],
    ["records of another request", (message) => message.params({ A: "b" }, { id: 9 }).stdin("x", { id: 9 }).abort({ id: 9 })],
    ["records of the request 0", (message) => message.params({ A: "b" }, { id: 0 }).stdin("x", { id: 0 }).data("x", { id: 0 })],
  ];
  for (const [name, strays] of behind) {
    test(`${name}, before the answer and behind it`, () => {
      const message = get();
      strays(message);
      message.get("/next", { id: 7, keep: true });
      assert.deepEqual(events(message.bytes()), [...served, ...next]);
      const { events: seen, sent, idle, closing } = converse(message.bytes(), answer);
      assert.deepEqual({ seen, idle, closing }, { seen: [...served, ...next], idle: true, closing: false });
      assert.equal(sent.length, 6);
    });
  }

  const among: [name: string, strays: (message: ReturnType<typeof traffic>) => unknown][] = behind.filter(([name]) =>
    !/STDIN|body/.test(name)
  );
  for (const [name, strays] of among) {
    test(`${name}, while the body arrives`, () => {
      const message = traffic().begin({ keep: true }).params({ REQUEST_URI: "/" }).stdin("bo");
      strays(message);
      const { events, idle } = converse(message.stdin("dy").stdin().bytes(), answer);
      assert.deepEqual(events, [served[0], "body 1 body", "bodyEnd 1"]);
      assert.equal(idle, true);
    });
  }

  test("types that a web server does not send, while the params arrive", () => {
    const message = traffic().begin().openParams({ A: "b" }).endRequest().stdout("x").record(9, "").data("x").params({ C: "d" });
    assert.deepEqual(events(message.stdin().bytes()), ["request 1 responder A=b C=d", "bodyEnd 1"]);
  });

  test("GET_VALUES with broken pairs gets an empty answer", () => {
    const message = traffic().record(9, hex("0500"), { id: 0 }).get("/", { keep: true });
    assert.deepEqual(events(message.bytes()), [`reply ${toHex(traffic().getValuesResult([]).bytes())}`, ...served]);
  });
});

describe("an invalid request is answered, and the others on the connection go on", () => {
  const other = { id: 2, keep: true };
  /** The spoilt one, between the halves of another. */
  const amid = (spoilt: Uint8Array) =>
    concat(
      traffic().begin(other).openParams({ REQUEST_URI: "/other" }, other).bytes(),
      spoilt,
      traffic().params({}, other).stdin("x", other).stdin("", other).bytes(),
    );
  const served = ["request 2 responder REQUEST_URI=/other", "body 2 x", "bodyEnd 2"];
  const begin = () => traffic().begin({ keep: true });

  for (
    const [name, spoilt, reason] of [
      ["a pair that is longer than the params", begin().record(4, hex("0105 41 42")).record(4, "").stdin("x").stdin(), [
        "A name-value pair is longer than its stream",
      ]],
      ["a body before the params end", begin().openParams({ A: "b" }).stdin("x").params({ C: "d" }).stdin("y").stdin(), [
        "STDIN of request 1 before the end of its PARAMS",
      ]],
      ["the end of a body before the params end", begin().stdin().params({ C: "d" }), [
        "STDIN of request 1 before the end of its PARAMS",
      ]],
    ] as const
  ) {
    test(name, () => {
      const { events, sent, closing } = converse(amid(spoilt.bytes()), answer);
      assert.deepEqual(events, [`refused 1 400 ${reason}`, ...served]);
      assert.deepEqual([sent.length, closing], [6, false]);
    });
  }

  test("DATA before the end of a Filter's STDIN", () => {
    const spoilt = traffic().begin({ role: 3, keep: true }).params({}).data("x").stdin("y").stdin().data();
    const { events } = converse(amid(spoilt.bytes()), answer, { roles: ["responder", "filter"] });
    assert.deepEqual(events, ["request 1 filter", "abort 1", ...served]);
  });

  test("a second BEGIN_REQUEST of a complete request does not cost its answer, and the connection closes behind it", () => {
    const again = begin().params({ REQUEST_URI: "/again" }).stdin("z").stdin().bytes();
    const message = amid(concat(traffic().get("/", { keep: true }).bytes(), again));
    const codec = new FastCgiServer();
    assert.deepEqual(transcript(codec, [message]), [
      "request 1 responder REQUEST_URI=/",
      "bodyEnd 1",
      "ignored a BEGIN_REQUEST of request 1, which is in flight",
      ...served,
    ]);
    assert.equal(recordLines(codec.encode(1, html, undefined, true)).length, 3);
    assert.equal(codec.closing, false);
    assert.equal(recordLines(codec.encode(2, html, undefined, true)).length, 3);
    assert.equal(codec.closing, true);
  });

  test("a second BEGIN_REQUEST of an incomplete request ends that", () => {
    const again = begin().params({ REQUEST_URI: "/again" }).stdin("z").stdin().bytes();
    for (
      const [first, lines] of [
        [begin().openParams({ A: "b" }), ["refused 1 400 BEGIN_REQUEST of request 1, which is in flight"]],
        [begin().params({ A: "b" }).stdin("x"), ["request 1 responder A=b", "body 1 x", "abort 1"]],
      ] as const
    ) assert.deepEqual(events(amid(concat(first.bytes(), again))), [...lines, ...served]);
  });

  for (
    const [name, spoilt, reason] of [
      ["a short BEGIN_REQUEST", hex("01 01 0001 0007 00 00 00010000000000"), "a BEGIN_REQUEST of 7 bytes, expected 8"],
      ["an empty BEGIN_REQUEST", hex("01 01 0001 0000 00 00"), "a BEGIN_REQUEST of 0 bytes, expected 8"],
      ["a long BEGIN_REQUEST", hex("01 01 0001 0009 00 00 000100000000000000"), "a BEGIN_REQUEST of 9 bytes, expected 8"],
      ["BEGIN_REQUEST with the id 0", traffic().begin({ id: 0 }).bytes(), "a BEGIN_REQUEST with the request id 0"],
    ] as const
  ) {
    test(`${name} has no answer, so the connection closes behind the others`, () => {
      const { events, closing } = converse(amid(concat(spoilt, traffic().params({}).stdin().bytes())), answer);
      assert.deepEqual({ events, closing }, { events: [`ignored ${reason}`, ...served], closing: true });
    });
  }
});

test("a peer that sends nothing but records out of turn is cut off", () => {
  const junk = traffic().stdin(pattern(60000)).bytes();
  const codec = new FastCgiServer();
  const flood = Array.from({ length: 18 }, () => junk);
  const error = "ProtocolError: The web server sent 1048576 bytes that belong to no request";
  assert.deepEqual(transcript(codec, flood), [error]);
  const empty = traffic().data().bytes();
  assert.deepEqual(transcript(new FastCgiServer(), Array.from({ length: 131073 }, () => empty)), [error]);
});

test("records out of turn between many requests add up to nothing", () => {
  const codec = new FastCgiServer();
  const message = traffic().get("/", { keep: true }).stdin(pattern(60000)).bytes();
  const seen = transcript(codec, Array.from({ length: 40 }, () => message), (event) => void answer(codec, event));
  assert.equal(seen.filter((line) => line.startsWith("request ")).length, 40);
});

describe("a response", () => {
  /** Bytes of the answer to one request. */
  function respond(act: (codec: FastCgiServer) => void, keep = false): FastCgiServer {
    const codec = new FastCgiServer();
    assert.equal(transcript(codec, [traffic().begin({ keep }).params({}).stdin().bytes()]).length, 2);
    act(codec);
    return codec;
  }

  test("has all of its head in one record, Status last", () => {
    respond((codec) => {
      const head = {
        status: 301,
        reason: "Moved Permanently",
        headers: ["location", "/x", "set-cookie", "a=1", "set-cookie", "b=2"],
      };
      const [first] = records(codec.encode(1, head, undefined, false));
      assert.equal(
        text(first.content),
        "location: /x\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nStatus: 301 Moved Permanently\r\n\r\n",
      );
    });
  });

  for (const length of [0, 1, 65535 - htmlHead.length, 65535, 65536, 200000]) {
    test(`with a body of ${length} bytes arrives as it was`, () => {
      respond((codec) => {
        const body = pattern(length);
        const seen = records(codec.encode(1, html, body, true));
        const output = seen.filter(({ type }) => type === 6).map(({ content }) => content);
        assert.equal(text(output[0]).slice(0, htmlHead.length), htmlHead);
        assert.equal(text(concat(...output)), htmlHead + text(body));
        // An empty STDOUT and END_REQUEST close the response, and nothing is empty before.
        assert.deepEqual(seen.slice(-2).map(({ type, content }) => [type, content.length]), [[6, 0], [3, 8]]);
        assert.deepEqual(output.slice(0, -1).filter((content) => content.length === 0), []);
        assert.equal(output.length - 1, Math.ceil((htmlHead.length + length) / 65535));
      });
    });
  }

  test("in parts is the same stream", () => {
    respond((codec) => {
      const sent = concat(
        codec.encode(1, html, undefined, false),
        codec.encode(1, undefined, bytes("one"), false),
        codec.encode(1, undefined, new Uint8Array(0), false),
        codec.encode(1, undefined, bytes("two"), false),
        codec.encode(1, undefined, undefined, true),
      );
      assert.deepEqual(recordLines(sent), [
        `stdout 1 ${htmlHead}`.trimEnd(),
        "stdout 1 one",
        "stdout 1 two",
        "stdout 1",
        "end 1 \0\0\0\0\0\0\0\0",
      ]);
    });
  });

  test("keeps the bytes of header values", () => {
    respond((codec) => {
      const head = { status: 200, reason: "Fin\xe9", headers: ["x-name", "caf\xe9"] };
      assert.equal(
        text(records(codec.encode(1, head, undefined, true))[0].content),
        "x-name: caf\xe9\r\nStatus: 200 Fin\xe9\r\n\r\n",
      );
    });
  });

  test("of a request that has ended is not encoded", () => {
    respond((codec) => {
      assert.notEqual(codec.encode(1, html, undefined, true).length, 0);
      assert.equal(codec.encode(1, html, bytes("again"), true).length, 0);
      assert.equal(codec.encode(2, html, undefined, true).length, 0);
      assert.equal(codec.stderr(1, "late"), undefined);
      assert.equal(codec.probe(), undefined);
    });
  });

  test("whose head does not fit into a record is refused, and a smaller one can follow", () => {
    respond((codec) => {
      const fits = { ...html, headers: ["x", "y".repeat(65535 - "x: \r\nStatus: 200 OK\r\n\r\n".length)] };
      assert.throws(() => codec.encode(1, { ...fits, headers: ["x", `${fits.headers[1]}y`] }, undefined, true), RangeError);
      const seen = records(codec.encode(1, fits, bytes("body"), true));
      assert.deepEqual(seen.map(({ content }) => content.length), [65535, 4, 0, 8]);
    });
  });

  test("writes to the error log, and ends that stream only if it was used", () => {
    respond((codec) => {
      assert.deepEqual(recordLines(codec.stderr(1, "caf\u00e9\n")!), ["stderr 1 caf\xc3\xa9"]);
      assert.deepEqual(recordLines(codec.encode(1, html, undefined, true)).slice(1).map((line) => line.slice(0, 8)), [
        "stdout 1",
        "stderr 1",
        "end 1 \0\0",
      ]);
    });
  });

  test("writes long text to the error log in several records", () => {
    respond((codec) =>
      assert.deepEqual(records(codec.stderr(1, "x".repeat(70000))!).map(({ content }) => content.length), [65535, 4465])
    );
  });

  test("can be probed with an empty STDERR record of a request in flight", () => {
    respond((codec) => assert.deepEqual(recordLines(codec.probe()!), ["stderr 1"]));
    assert.equal(new FastCgiServer().probe(), undefined);
  });

  for (const keep of [false, true]) {
    test(`${keep ? "leaves" : "closes"} the connection when KEEP_CONN is ${keep ? "on" : "off"}, once all of it is encoded`, () => {
      const codec = respond((codec) => {
        assert.equal(codec.closing, false);
        codec.encode(1, html, undefined, false);
        assert.equal(codec.closing, false);
        codec.encode(1, undefined, undefined, true);
      }, keep);
      assert.equal(codec.closing, !keep);
    });
  }

  test("closes the connection only after the other requests on it", () => {
    const codec = new FastCgiServer();
    transcript(codec, [traffic().get("/", { id: 1 }).get("/", { id: 2 }).bytes()]);
    codec.encode(1, html, undefined, true);
    assert.equal(codec.closing, false);
    codec.encode(2, html, undefined, true);
    assert.equal(codec.closing, true);
  });
});

test("a connection is idle only between requests, with nothing half received", () => {
  const message = traffic().begin({ keep: true }).params({ A: "b" }, { padding: 2 }).stdin("x").stdin("", { padding: 1 }).bytes();
  for (let length = 0; length <= message.length; length++) {
    const codec = new FastCgiServer();
    transcript(codec, [message.slice(0, length)], (event) => void answer(codec, event));
    assert.equal(codec.idle, length === 0 || length === message.length, `${length} of ${message.length} bytes`);
  }
});

describe("recorded traffic gives the same events however it is cut", () => {
  const requests: Record<string, number> = {
    "apache-proxy_fcgi-reuse-seq3": 3,
    "haproxy-fcgi-mpx-abort": 2,
    "haproxy-fcgi-mpx-badpct": 0,
    "haproxy-fcgi-mpx-par8": 9,
    "haproxy-fcgi-seq3": 3,
    "nginx-fcgi-keepconn-seq3": 3,
  };
  for (const name of fixtureNames("fcg")) {
    test(name, () => {
      const { events, idle } = converse(fixture(name), answer, { maxParamsBytes: 256 * 1024 });
      assert.equal(events.filter((line) => line.startsWith("request ")).length, requests[name] ?? 1);
      assert.equal(events.filter((line) => /^(refused|ProtocolError)/.test(line)).length, 0);
      assert.equal(events.filter((line) => line.startsWith("abort ")).length, name === "haproxy-fcgi-mpx-abort" ? 1 : 0);
      assert.equal(idle, true);
      // The twenty bytes of the recorded bodies.
      if (/post20|chunk/.test(name)) assert.match(events.join("\n"), /^body \d+ \S{20}$/m);
    });
  }
});
