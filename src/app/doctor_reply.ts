/**
 * How the doctor finds out who answers for a site: it asks for a path with a random number, and this program answers with
 * what follows from it. Nothing else does, and no cache has it.
 *
 * @module
 */
import process from "node:process";
import type { Handler } from "../server/handler.ts";

/** Folder of the paths, below the site. */
export const DOCTOR = "runfcgi-doctor/";

const pattern = new RegExp(`/${DOCTOR}([0-9a-f]{32})$`);

/** The text that answers a random number. @param nonce 32 hexadecimal digits */
export function doctorReply(nonce: string): string {
  const { createHash } = process.getBuiltinModule("node:crypto");
  return `runfcgi ${createHash("sha256").update(`runfcgi ${nonce}`).digest("hex")}\n`;
}

/** Answers the doctor's question, and passes all others on. */
export function withDoctorReply(next: Handler): Handler {
  return (request, info) => {
    const { url } = request;
    if (!url.includes(DOCTOR)) return next(request, info);
    const [, nonce] = pattern.exec(url) ?? [];
    if (nonce === undefined) return next(request, info);
    const headers = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store", "x-robots-tag": "noindex" };
    return new Response(doctorReply(nonce), { headers });
  };
}
