/**
 * The opening handshake of a WebSocket (RFC 6455, section 4.2).
 *
 * @module
 */
import process from "node:process";
import { type Params, token } from "../params.ts";

/** What a client asks for, or why it is refused. */
export type Handshake =
  | { key: string; protocols: readonly string[]; status?: undefined }
  | { status: 400 | 426; reason: string; headers: Record<string, string> };

const VERSION = "13";
/** 16 bytes in base64. */
const validKey = /^[A-Za-z0-9+/]{22}==$/;

/** Whether a request asks for a WebSocket, also where a web server that passes none on has left the key alone. */
export function wantsWebSocket(params: Params): boolean {
  return params.get("REQUEST_METHOD") === "GET" &&
    (hasUpgrade(params) ||
      params.get("HTTP_UPGRADE") === undefined && params.get("HTTP_SEC_WEBSOCKET_KEY") !== undefined);
}

/** Whether it has the header Upgrade that it needs. */
export function hasUpgrade(params: Params): boolean {
  return wordsOf(params, "UPGRADE").some((word) => /^websocket$/i.test(word));
}

/** Whether it has a body, which would be taken for frames. */
export function hasBody(params: Params): boolean {
  return Number(params.get("CONTENT_LENGTH") ?? 0) > 0 || params.get("HTTP_TRANSFER_ENCODING") !== undefined;
}

/** RFC 6455, 4.2.1, of a request that asks for a WebSocket. */
export function readHandshake(params: Params): Handshake {
  if (!wordsOf(params, "CONNECTION").some((word) => /^upgrade$/i.test(word))) {
    return refused(400, "it has no Connection: Upgrade");
  }
  if (hasBody(params)) return refused(400, "it has a body");
  // RFC 6455, 11.3.1 and 11.3.5: neither comes twice.
  const [version, key] = ["VERSION", "KEY"].map((name) => params.getAll(`HTTP_SEC_WEBSOCKET_${name}`).join(", "));
  if (version !== VERSION) {
    // RFC 6455, 4.4.
    return refused(426, `it asks for version ${version || "none"}, not ${VERSION}`, { "sec-websocket-version": VERSION });
  }
  if (!validKey.test(key)) return refused(400, "its Sec-WebSocket-Key is not 16 bytes in base64");
  const protocols = wordsOf(params, "SEC_WEBSOCKET_PROTOCOL");
  if (!protocols.every((protocol) => token.test(protocol))) return refused(400, "its Sec-WebSocket-Protocol is invalid");
  return { key, protocols };
}

function refused(status: 400 | 426, reason: string, headers: Record<string, string> = {}): Handshake {
  return { status, reason, headers };
}

/** A list in a header, which may be repeated (RFC 9110, 5.6.1). */
function wordsOf(params: Params, header: string): string[] {
  return params.getAll(`HTTP_${header}`).flatMap((value) => value.split(",")).map((word) => word.trim()).filter(Boolean);
}

/** RFC 6455, 4.2.2: the value of Sec-WebSocket-Accept. */
export function acceptKey(key: string): string {
  // Few processes need it.
  const { createHash } = process.getBuiltinModule("node:crypto");
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}
