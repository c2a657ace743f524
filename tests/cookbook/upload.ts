import { createWriteStream } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

const MAX = 10 * 2 ** 20;

/** Saves a file as it arrives: curl -T photo.jpg https://example.org/upload */
async function save(body: ReadableStream<Uint8Array>): Promise<string> {
  // Never the visitor's file name, and never a folder that is served as it is.
  const file = `uploads/${crypto.randomUUID()}`;
  await mkdir("uploads", { recursive: true });
  let size = 0;
  const limit = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      if ((size += chunk.length) > MAX) throw new RangeError("too large");
      controller.enqueue(chunk);
    },
  });
  try {
    const reader = body.pipeThrough(limit);
    await pipeline(Readable.from(reader), createWriteStream(file, { flags: "wx", mode: 0o600 }));
    return `${size} bytes\n`;
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
}

export default async (request: Request): Promise<Response> => {
  try {
    if (request.method === "PUT" && request.body) return new Response(await save(request.body), { status: 201 });
    if (request.method === "POST") {
      // What a form with enctype="multipart/form-data" sends, which is held in memory.
      const file = (await request.formData()).get("photo");
      if (file instanceof File) return new Response(await save(file.stream()), { status: 201 });
    }
  } catch (error) {
    if (error instanceof RangeError) return new Response("Too large\n", { status: 413 });
    throw error;
  }
  return new Response(
    '<form method="post" enctype="multipart/form-data"><input type="file" name="photo"><button>Send</button></form>',
    {
      headers: { "content-type": "text/html; charset=utf-8" },
    },
  );
};
