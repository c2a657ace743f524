import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FastCgiClient } from "../../src/protocol/fastcgi/client.ts";
import { defaultOptions, FastCgiServer } from "../../src/protocol/fastcgi/server.ts";
import { Params } from "../../src/protocol/params.ts";
import { ProtocolError, type Role } from "../../src/protocol/protocol.ts";
import { bytes, concat, hex, pattern, splits, text, toHex, transcript } from "../support/bytes.ts";
import { Random } from "../support/random.ts";
import { encodePairs, recordLines, records, traffic } from "../support/traffic.ts";

/** A client that waits for the answers to these requests. */
function waiting(...ids: number[]): FastCgiClient {
  const client = new FastCgiClient();
  for (const id of ids) client.request(id, new Params());
  return client;
}

/** What a client reports, which must be the same however the answer is cut. */
function events(message: Uint8Array, ...ids: number[]): string[] {
  const whole = transcript(waiting(...ids), [message]);
  for (const split of splits(message, new Random(11))) {
    assert.deepEqual(transcript(waiting(...ids), split.pieces), whole, split.name);
  }
  return whole;
}

describe("a request", () => {
  test("is BEGIN_REQUEST, its params and the empty record", () => {
    const sent = new FastCgiClient().request(1, new Params(["A", "b"]));
    assert.equal(toHex(sent), toHex(traffic().begin().params({ A: "b" }).bytes()));
  });

  test("without params has only the empty record", () => {
    assert.equal(toHex(new FastCgiClient().request(1, new Params())), toHex(traffic().begin().params({}).bytes()));
  });

  for (const [role, number] of [["responder", 1], ["authorizer", 2], ["filter", 3]] as [Role, number][]) {
    for (const keep of [false, true]) {
      test(`asks for the role ${role}, ${keep ? "keeping" : "not keeping"} the connection`, () => {
        const sent = new FastCgiClient().request(0x1234, new Params(), { role, keep });
        assert.equal(toHex(sent), toHex(traffic().begin({ id: 0x1234, role: number, keep }).params({}, { id: 0x1234 }).bytes()));
      });
    }
  }

  test("with more than 65,535 bytes of params takes several records", () => {
    const values = { LONG: "x".repeat(70000) };
    const params = records(new FastCgiClient().request(1, new Params(Object.entries(values).flat()))).slice(1);
    assert.deepEqual(params.map(({ content }) => content.length), [65535, encodePairs(values).length - 65535, 0]);
    assert.equal(toHex(concat(...params.map(({ content }) => content))), toHex(encodePairs(values)));
  });

  test("sends its body, its data, their ends and the abort", () => {
    const client = new FastCgiClient();
    const sent = concat(
      client.body(1, bytes("body")),
      client.bodyEnd(1),
      client.data(1, bytes("file")),
      client.data(1, bytes("")),
      client.abort(1),
    );
    assert.equal(toHex(sent), toHex(traffic().stdin("body").stdin().data("file").data().abort().bytes()));
  });

  test("does not end its body with an empty piece", () => {
    assert.equal(new FastCgiClient().body(1, new Uint8Array(0)).length, 0);
  });

  test("asks for the server's abilities", () => {
    const sent = new FastCgiClient().getValues(["FCGI_MAX_REQS", "FCGI_MPXS_CONNS"]);
    assert.equal(toHex(sent), toHex(traffic().getValues("FCGI_MAX_REQS", "FCGI_MPXS_CONNS").bytes()));
  });
});

describe("a response, however it is cut", () => {
  test("of the specification's first example", () => {
    const message = hex(`
      01 06 0001 0024 00 00  436f6e74656e742d747970653a20746578742f68746d6c0d0a0d0a 3c68746d6c3e0a3c68
      01 06 0001 0000 00 00
      01 03 0001 0008 00 00  00000000 00 000000`);
    assert.deepEqual(events(message, 1), ['head 1 200 "" Content-type text/html', 'body 1 "<html>\\n<h"', "end 1 0"]);
  });

  test("of the specification's third example, with an error message inside and an exit status", () => {
    const message = traffic()
      .stdout("Content-type: text/html\r\n\r\n<ht").stderr("config error: missing SI_UID\n").stdout("ml>\n<head>")
      .stdout().stderr().endRequest({ status: 938 }).bytes();
    assert.deepEqual(events(message, 1), [
      'head 1 200 "" Content-type text/html',
      "body 1 <ht",
      'stderr 1 "config error: missing SI_UID\\n"',
      'body 1 "ml>\\n<head>"',
      "end 1 938",
    ]);
  });

  test("of the specification's fourth example, two of them mixed", () => {
    const [one, two] = [{ id: 1 }, { id: 2 }];
    const message = traffic()
      .stdout("Content-type: text/html\r\n\r\n", one)
      .stdout("Content-type: text/html\r\n\r\n<html>", two).stdout("", two).endRequest(two)
      .stdout("<html>", one).stdout("", one).endRequest(one).bytes();
    assert.deepEqual(events(message, 1, 2), [
      'head 1 200 "" Content-type text/html',
      'head 2 200 "" Content-type text/html',
      "body 2 <html>",
      "end 2 0",
      "body 1 <html>",
      "end 1 0",
    ]);
  });

  test("with a head in two records", () => {
    const message = traffic().stdout("Status: 404 Not").stdout(" Found\r\nX: y\r\n", { padding: 3 }).stdout("\r\nbody").stdout()
      .endRequest().bytes();
    assert.deepEqual(events(message, 1), ['head 1 404 "Not Found" X y', "body 1 body", "end 1 0"]);
  });

  test("with an exit status of four bytes", () => {
    assert.deepEqual(events(traffic().endRequest({ status: 0xfedcba98 }).bytes(), 1), ["end 1 4275878552"]);
  });

  for (
    const [protocolStatus, refusal] of [
      [1, "it takes one request at a time on a connection (CANT_MPX_CONN)"],
      [2, "it is overloaded (OVERLOADED)"],
      [3, "it does not play this role (UNKNOWN_ROLE)"],
    ] as const
  ) {
    test(`that is a refusal says why: ${refusal}`, () => {
      assert.deepEqual(events(traffic().endRequest({ protocolStatus }).bytes(), 1), [`end 1 0 ${refusal}`]);
    });
  }

  test("to another request is ignored, and so is what follows the end", () => {
    const message = traffic().stdout("X: y\r\n\r\n", { id: 5 }).endRequest({ id: 5 }).endRequest().stdout("late").stderr("late")
      .endRequest().bytes();
    assert.deepEqual(events(message, 1), ["end 1 0"]);
  });

  test("about the server's abilities", () => {
    const message = traffic().getValuesResult({ FCGI_MAX_REQS: "20", FCGI_MPXS_CONNS: "1" }).bytes();
    assert.deepEqual(events(message), ["values FCGI_MAX_REQS 20 FCGI_MPXS_CONNS 1"]);
    assert.deepEqual(events(traffic().getValuesResult({}).bytes()), ["values"]);
  });

  test("to a management record that the server did not understand is ignored", () => {
    assert.deepEqual(events(traffic().record(11, new Uint8Array(8), { id: 0 }).endRequest().bytes(), 1), ["end 1 0"]);
  });
});

describe("what breaks the protocol", () => {
  const cases: [name: string, message: Uint8Array, error: string][] = [
    ["another version", bytes("HTTP/1.1 400 Bad Request\r\n"), "Not FastCGI: a record starts with 72, expected version 1"],
    ["a short END_REQUEST", traffic().record(3, "1234567").bytes(), "END_REQUEST is 7 bytes long, expected 8"],
    ["an empty END_REQUEST", traffic().record(3, "").bytes(), "END_REQUEST is 0 bytes long, expected 8"],
    ["a long END_REQUEST", traffic().record(3, "123456789").bytes(), "END_REQUEST is 9 bytes long, expected 8"],
    ["a record that only web servers send", traffic().stdin("x").bytes(), "A server does not send records of type 5"],
    ["a line that is no header", traffic().stdout("Oops\n\n").bytes(), 'The response head has the line "Oops"'],
    [
      "a pair that is longer than the values",
      traffic().record(10, hex("0105 41 42"), { id: 0 }).bytes(),
      "A name-value pair is longer than its stream",
    ],
  ];
  for (const [name, message, error] of cases) {
    test(name, () => assert.deepEqual(events(message, 1), [`ProtocolError: ${error}`]));
  }

  for (const [name, rest] of [["an endless head", "xx"], ["a head that is too long, although it ends", ":\r\n\r\n"]]) {
    test(name, () => {
      const message = traffic().stdout("x".repeat(65535)).stdout(rest).endRequest().bytes();
      // Not byte by byte: that takes time with the square of so many.
      const pieces = Array.from({ length: Math.ceil(message.length / 1000) }, (_, i) => message.slice(1000 * i, 1000 * (i + 1)));
      for (const split of [[message], pieces]) {
        assert.deepEqual(transcript(waiting(1), split), ["ProtocolError: The response head is longer than 65536 bytes"]);
      }
    });
  }

  test("a connection that ends before the response does", () => {
    const client = waiting(1, 2);
    assert.throws(() => client.receiveEnd(), ProtocolError);
    assert.deepEqual(transcript(client, [traffic().endRequest({ id: 1 }).bytes()]), ["end 1 0"]);
    assert.throws(() => client.receiveEnd(), ProtocolError);
    assert.deepEqual(transcript(client, [traffic().endRequest({ id: 2 }).bytes()]), ["end 2 0"]);
    client.receiveEnd();
  });
});

describe("client and server understand each other", () => {
  for (const length of [0, 1, 65535, 65536, 200000]) {
    test(`with bodies of ${length} bytes both ways`, () => {
      const body = pattern(length);
      const client = new FastCgiClient();
      const server = new FastCgiServer();
      const params = Params.from([["REQUEST_METHOD", "POST"], ["LONG", "ä".repeat(9000)], ["EMPTY", ""]]);
      const sent = concat(client.request(7, params, { keep: true }), client.body(7, body), client.bodyEnd(7));
      let received = "";
      let answer = new Uint8Array(0);
      const random = new Random(length);
      transcript(server, random.pieces(sent), (event) => {
        if (event.type === "request") assert.deepEqual(event.params.pairs, params.pairs);
        if (event.type === "body") received += text(event.bytes);
        if (event.type !== "bodyEnd") return;
        const head = { status: 201, reason: "Created", headers: ["x-a", "1", "x-a", "2"] };
        answer = new Uint8Array(concat(server.stderr(7, "note")!, server.encode(7, head, bytes(received), true)));
      });
      assert.equal(received, text(body));

      let returned = "";
      const events = transcript(client, random.pieces(answer), (event) => {
        if (event.type === "body") returned += text(event.bytes);
      });
      assert.equal(returned, text(body));
      assert.deepEqual(events.filter((line) => !line.startsWith("body")), [
        "stderr 7 note",
        "head 7 201 Created x-a 1 x-a 2",
        "end 7 0",
      ]);
      client.receiveEnd();
      assert.equal(server.closing, false);
      assert.equal(server.idle, true);
    });
  }

  test("about what the server can do", () => {
    const client = new FastCgiClient();
    const server = new FastCgiServer({ ...defaultOptions, maxConnections: 3, maxConcurrent: 4 });
    server.receive(client.getValues(["FCGI_MAX_CONNS", "FCGI_MAX_REQS", "FCGI_MPXS_CONNS", "FCGI_OTHER"]));
    const reply = server.nextEvent();
    assert.ok(reply?.type === "reply");
    assert.deepEqual(transcript(client, [reply.bytes]), ["values FCGI_MAX_CONNS 3 FCGI_MAX_REQS 4 FCGI_MPXS_CONNS 1"]);
  });

  test("about an aborted request", () => {
    const client = new FastCgiClient();
    const server = new FastCgiServer();
    const sent = concat(client.request(1, new Params()), client.abort(1));
    let ended = new Uint8Array(0);
    const events = transcript(server, [sent], ({ type }) => {
      if (type === "abort") ended = new Uint8Array(server.encode(1, undefined, undefined, true));
    });
    assert.deepEqual(events, ["request 1 responder", "abort 1"]);
    assert.deepEqual(recordLines(ended).length, 2);
    assert.deepEqual(transcript(client, [ended]), ["end 1 0"]);
  });
});
