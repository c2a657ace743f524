/**
 * A visitor's browser, as far as tests need one. `node:http` and not `fetch`, for the raw path, chunks and leaving early.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type IncomingHttpHeaders, type IncomingMessage, request, type RequestOptions } from "node:http";

/** What to ask for. */
export interface Question {
  method?: string;
  headers?: Record<string, string>;
  /** Text goes with its length, a stream in chunks unless the headers have a `content-length`. */
  body?: string | Iterable<Uint8Array>;
}

/** A response whose body has not been read yet. */
export interface Arriving {
  status: number;
  headers: IncomingHttpHeaders;
  body: AsyncIterable<Uint8Array>;
  /** Leaves, whatever is still to come. */
  leave(): void;
}

/** Asks and resolves with the head of the response. */
export function open(port: number, path: string, { method = "GET", headers, body }: Question = {}): Promise<Arriving> {
  const { promise, resolve, reject } = Promise.withResolvers<Arriving>();
  // Without an agent, no request depends on the one before.
  const options: RequestOptions = { host: "127.0.0.1", port, path, method, agent: false };
  const length = typeof body === "string" ? { "content-length": String(new TextEncoder().encode(body).length) } : {};
  const sent = request({ ...options, headers: { ...length, ...headers } }, (response: IncomingMessage) => {
    resolve({
      status: response.statusCode!,
      headers: response.headers,
      body: response,
      leave: () => void response.destroy(),
    });
  });
  // After the response it means that the server did not want the rest of the body.
  sent.on("error", reject);
  if (typeof body === "object") send(sent, body);
  else sent.end(body);
  return promise;
}

async function send(sent: ReturnType<typeof request>, body: Iterable<Uint8Array>): Promise<void> {
  let over = false;
  let wake: (() => void) | undefined;
  const awake = () => wake?.();
  sent.on("drain", awake);
  sent.on("close", () => {
    over = true;
    awake();
  });
  for (const bytes of body) {
    if (over) return;
    if (!sent.write(bytes)) await new Promise<void>((resolve) => wake = resolve);
  }
  sent.end();
}

/** A whole response. */
export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
}

/** Asks and reads all of the response. */
export async function ask(port: number, path: string, question?: Question): Promise<Answer> {
  const { status, headers, body } = await open(port, path, question);
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return { status, headers, text: Buffer.concat(chunks).toString() };
}
