/**
 * The server half of HTTP and messages that two readers may understand differently: what it takes, what it refuses, however
 * they are cut; and beside `node:http`, that it never sees a request that the other does not see, nor another body.
 */
import assert from "node:assert/strict";
import { METHODS } from "node:http";
import process from "node:process";
import { describe, test } from "node:test";
import { bytes, text } from "../support/bytes.ts";
import { finish, lastSamples, samples } from "../support/http_corpus.ts";
import { codecSees, nodeSees } from "../support/http_readers.ts";
import { Random } from "../support/random.ts";

const next = "GET /next ";

for (const { name, message, refused } of samples) {
  test(`${name} is ${refused ? "refused" : "taken"}`, () => {
    const whole = bytes(message + finish);
    const seen = codecSees([whole]);
    // What is behind it is seen as it is, or not at all.
    if (refused) assert.ok(seen.refused! >= 400 && seen.requests.length === 0, `${seen.refused} ${seen.requests}`);
    else assert.deepEqual({ refused: seen.refused, next: seen.requests.at(-2) }, { refused: undefined, next });
    const step = message.length > 1000 ? 97 : 1;
    for (let at = 1; at < message.length + 10; at += step) {
      const cut = codecSees([whole.subarray(0, at), whole.subarray(at)]);
      if (JSON.stringify(cut) !== JSON.stringify(seen)) assert.deepEqual(cut, seen, `cut at ${at}`);
    }
    assert.deepEqual(codecSees(Array.from(whole, (_, i) => whole.subarray(i, i + 1))), seen, "byte by byte");
  });
}

for (const { name, message } of lastSamples) {
  test(`nothing is taken behind ${name}`, () => {
    const alone = codecSees([bytes(message)]);
    assert.equal(alone.refused, undefined);
    assert.deepEqual(codecSees([bytes(message + finish)]), alone);
  });
}

test("there are enough of them", () => {
  assert.ok(samples.length + lastSamples.length > 300);
});

/** The others have `node:http` of their own, which take more. */
const skip = process.versions.bun || "Deno" in globalThis ? "for Node's own node:http" : false;

/** It knows some methods alone, and takes no byte that is not ASCII in a target: neither says where a request ends. */
function isForBoth(request: string): boolean {
  const [method, target] = request.split(" ");
  return METHODS.includes(method) && !/[\x80-\xff]/.test(target);
}

/**
 * Where it stops: it takes `Proxy-Connection: close` for `Connection: close` (RFC 9112, appendix C.2.2: nobody should send
 * it), leaves what is behind an Upgrade to others (RFC 9110, 7.8: one that is not accepted is ignored), and takes a trailer for
 * a field (RFC 9110, 6.5.1: what is about the connection cannot be one).
 */
const stops = /proxy-connection:|upgrade:|0\r\nconnection:/i;

function compare(message: Uint8Array): number {
  const all = codecSees([message]).requests;
  const odd = all.findIndex((request) => !isForBoth(request));
  let ours = odd < 0 ? all : all.slice(0, odd);
  const theirs = nodeSees(message);
  if (stops.test(text(message))) ours = ours.slice(0, theirs.length);
  assert.deepEqual(ours, theirs.slice(0, ours.length), JSON.stringify(text(message)));
  return ours.length;
}

describe("beside node:http", { skip }, () => {
  test("we see no other requests in messages that were made to be misread", () => {
    let seen = 0;
    for (const { message } of [...samples, ...lastSamples]) seen += compare(bytes(message + finish));
    assert.ok(seen > 300, `${seen} requests were seen`);
  });

  test("nor in random mutations of them", () => {
    let seen = 0;
    for (let seed = 0; seed < 10_000; seed++) {
      const random = new Random(seed);
      const message = random.mutate(bytes(random.pick(samples).message + random.pick(samples).message + finish));
      seen += compare(message);
    }
    assert.ok(seen > 1000, `${seen} requests were seen`);
  });
});
