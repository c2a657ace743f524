/**
 * Responses whose body is known without reading it: they are sent without a stream, which costs several times as much.
 *
 * @module
 */

import { type KnownBody, rawBody } from "./raw_response.ts";

/** The body, where it is known. */
const known = Symbol("known body");
/** The body exists already, such as a Blob: its length if it is bytes in memory. */
const complete = Symbol("complete body");
type KnownResponse = Response & { [known]?: KnownBody; [complete]?: number };

/** The body of a response if it is known and has not been touched. */
export function knownBody(response: KnownResponse): KnownBody | undefined {
  return rawBody(response) ?? (response.bodyUsed ? undefined : response[known]);
}

/** Whether the body of a response exists already, however long it is, so that reading it waits for nothing. */
export function isComplete(response: KnownResponse): boolean {
  return response[complete] !== undefined || knownBody(response) !== undefined;
}

/** The length of a body of bytes in memory: few cost less at once than as a stream. */
export function bytesLength(response: KnownResponse): number | undefined {
  const length = response[complete];
  return length === Infinity || response.bodyUsed ? undefined : length;
}

/** The text of an object that has none, and that no body can be made of. */
export const objectText = "[object Object]";

/** Lets a response remember its text, or that its body exists already. */
export function rememberBody(response: KnownResponse, body: unknown): Response {
  if (typeof body !== "string") {
    // A stream, or what a runtime makes one of, can be iterated over.
    if (typeof body === "object" && body !== null && !(Symbol.asyncIterator in body)) {
      const isMemory = body instanceof ArrayBuffer || ArrayBuffer.isView(body);
      response[complete] = isMemory ? body.byteLength : Infinity;
      // What a platform can make a body of has a name of its own.
      if (!isMemory && String(body) === objectText) response[known] = objectText;
    }
    return response;
  }
  response[known] = body;
  addTextType(response);
  return response;
}

function addTextType({ headers }: Response): void {
  if (!headers.has("content-type")) headers.set("content-type", "text/plain;charset=UTF-8");
}
