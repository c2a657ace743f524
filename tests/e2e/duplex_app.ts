/**
 * The application whose responses cross with uploads. Like `app.ts` it is copied to where the web servers look for one.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import process from "node:process";

/**
 * What uploads and responses are made of. Noise, so that it comes out of gzip no shorter; divisible by three, so that its
 * base64 repeats, too; and no power of two, so that pieces in the wrong order or place do not match.
 */
export const block: Uint8Array<ArrayBuffer> = noise(65_523);

function noise(length: number): Uint8Array<ArrayBuffer> {
  let state = 1;
  return Uint8Array.from({ length }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state;
  });
}

/** The block over and over. */
export function* blocks(length: number): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= block.length) yield left < block.length ? block.subarray(0, left) : block;
}

/** Bytes of the response that are there before the body is read. */
export const begin = 64 * 1024;

export const small = "That was small.";
export const refusals: Readonly<Record<string, string>> = { 401: "Who are you?", 413: "That is too much." };

/** A digest of all bytes. */
export async function digest(bytes: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha1");
  for await (const piece of bytes) hash.update(piece);
  return hash.digest("hex");
}

/** A body that is made as fast as it is taken. */
function streamOf(pieces: AsyncIterator<Uint8Array> | Iterator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const { value, done } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
  });
}

/** So much of a response, and then what came. */
async function* thenDigest(length: number, body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* blocks(length);
  yield Buffer.from(await digest(body));
}

function base64(): TransformStream<Uint8Array, Uint8Array> {
  let rest: Uint8Array = new Uint8Array();
  const encoded = (bytes: Uint8Array) =>
    Buffer.from(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64"), "latin1");
  return new TransformStream({
    transform(chunk, controller) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      const whole = bytes.length - bytes.length % 3;
      rest = bytes.slice(whole);
      if (whole > 0) controller.enqueue(encoded(bytes.subarray(0, whole)));
    },
    flush(controller) {
      if (rest.length > 0) controller.enqueue(encoded(rest));
    },
  });
}

type Answer = (body: ReadableStream<Uint8Array<ArrayBuffer>>, length: number, url: URL) => Response | Promise<Response>;

export const answers = {
  echo: (body) => new Response(body),
  gzip: (body) => new Response(body.pipeThrough(new CompressionStream("gzip")), { headers: { "x-packed": "gzip" } }),
  base64: (body) => new Response(body.pipeThrough(base64())),
  early: (body) => new Response(streamOf(thenDigest(begin, body))),
  late: (body, length) => new Response(streamOf(thenDigest(length, body))),
  unread: (_body, length) => new Response(streamOf(blocks(length))),
  small: () => new Response(small),
  401: () => new Response(refusals[401], { status: 401, headers: { "www-authenticate": 'Basic realm="test"' } }),
  413: () => new Response(refusals[413], { status: 413 }),
  /** Sends it on to another server. */
  proxy: (body, _length, url) =>
    fetch(url.searchParams.get("to")!, { method: "POST", body, duplex: "half" } as RequestInit & { duplex: "half" }),
} satisfies Record<string, Answer>;

export default {
  async fetch(request: Request, { pathInfo }: { pathInfo: string }): Promise<Response> {
    const url = new URL(request.url);
    const name = pathInfo.split("/")[1];
    if (name === "pid") return new Response(String(process.pid));
    if (!Object.hasOwn(answers, name)) return new Response("Nothing is here.", { status: 404 });
    const answer: Answer = answers[name as keyof typeof answers];
    return await answer(request.body!, Number(url.searchParams.get("length")), url);
  },
};
