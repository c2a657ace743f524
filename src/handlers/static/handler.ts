/**
 * Serves a folder as static files.
 *
 * @module
 */
import { sep } from "node:path";
import { plainResponse } from "../../gateway/response.ts";
import { encodeText } from "../../protocol/params.ts";
import type { Handler, ServeInfo } from "../../server/handler.ts";
import { type Representation, wantedOf } from "./conditions.ts";
import { Folder, OpenFile } from "./file.ts";
import { isPrefix } from "./prefix.ts";
import { privatePaths } from "./private.ts";
import { acceptedCodings, contentType, isCompressible } from "./types.ts";

/** A header by which the web server is told to send a file itself. */
export type SendFile =
  /**
   * The path in the file system, without symbolic links: Apache with mod_xsendfile, lighttpd with
   * `"x-sendfile" => "enable"`. They do not agree about a path with `%` in it, which is sent from here.
   */
  | { header: "x-sendfile" }
  /** A URL below a location that nginx serves to nobody else: `prefix`, the prefix of the static files, and the file. */
  | { header: "x-accel-redirect"; prefix: string };

/** What to serve. */
export interface StaticOptions {
  /** Path below the application's mount, with a slash at both ends: `/media/`. */
  prefix: string;
  /** The folder, relative to the working directory. */
  folder: string;
  /** Hands files over to the web server, which then answers ranges and conditions, too. */
  sendFile?: SendFile;
}

/**
 * Answers GET and HEAD below `prefix` with the files of a folder; the rest goes to the next handler. What is not there
 * is a 404, except below the prefix `/`, where the next handler is asked. A folder is its `index.html`; there are no
 * listings. Private files are not served: sources, names that begin with a dot (except `.well-known`, RFC 8615), leftovers
 * of editors, databases, settings, locks, keys, logs, and archives outside of a folder `downloads`; see `private.ts`. Nor is
 * what a symbolic link out of the folder leads to.
 *
 * `name.br` and `name.gz` are sent in place of `name` to who takes them, unless they are older.
 *
 * @example
 * ```ts
 * import { serve, staticFiles } from "runfcgi";
 *
 * const files = staticFiles({ prefix: "/media/", folder: "./media" });
 * await using server = await serve({ port: 0 }, files(() => new Response("Hello\n")));
 * ```
 *
 * @throws {TypeError} when there is no such folder, or the prefix is invalid
 */
export function staticFiles(options: StaticOptions): (next: Handler) => Handler {
  const files = new StaticFiles(options);
  return (next) => (request, info) => {
    if (info.role !== "responder" || !files.mayHave(info.pathInfo)) return next(request, info);
    return files.answer(request, info, next);
  };
}

/** A name below the folder, not an empty one; a backslash separates names on other systems. */
const namePattern = /^[^\0\\]+$/;

const INDEX = "index.html";

class StaticFiles {
  readonly #prefix: string;
  readonly #folder: Folder;
  readonly #sendFile: SendFile | undefined;
  readonly #isPrivate: (path: string) => boolean;

  constructor({ prefix, folder, sendFile }: StaticOptions) {
    for (const text of [prefix, ...sendFile?.header === "x-accel-redirect" ? [sendFile.prefix] : []]) {
      if (!isPrefix(text)) {
        throw new TypeError(`"${text}" is not a prefix: give a path with a slash at both ends, such as /media/`);
      }
    }
    this.#prefix = prefix;
    this.#folder = new Folder(folder);
    this.#isPrivate = privatePaths(prefix);
    this.#sendFile = sendFile;
  }

  /** The prefix without its slash leads to it, as any folder does. */
  mayHave(path: string): boolean {
    return path.startsWith(this.#prefix) || path === this.#prefix.slice(0, -1);
  }

  async answer(request: Request, info: ServeInfo, next: Handler): Promise<Response> {
    const shared = this.#prefix === "/" || !info.pathInfo.startsWith(this.#prefix);
    const reads = request.method === "GET" || request.method === "HEAD";
    if (!reads && !shared) return plainResponse(405, "Nothing can be changed here.", { allow: "GET, HEAD" });
    const found = reads ? await this.#find(request, info.pathInfo) : undefined;
    if (found) return found;
    return shared ? next(request, info) : plainResponse(404, "Nothing is here.");
  }

  async #find(request: Request, pathInfo: string): Promise<Response | undefined> {
    const names = pathInfo.slice(this.#prefix.length - 1).split("/").slice(1);
    const namesFolder = names.at(-1) === "";
    if (namesFolder) names[names.length - 1] = INDEX;
    const url = new URL(request.url);
    if (!names.every((name) => namePattern.test(name)) || !isPlain(url.pathname)) return undefined;
    const path = names.join("/");
    if (this.#isPrivate(this.#prefix + path)) return undefined;
    const found = await this.#folder.open(path);
    if (found instanceof OpenFile) {
      return (this.#sendFile && this.#handOver(found, path, this.#sendFile)) ?? this.#respond(request, found, path);
    }
    if (found === "forbidden") return plainResponse(403, "You may not read this file.");
    if (found === undefined || namesFolder) return undefined;
    const index = await this.#folder.open(`${path}/${INDEX}`);
    if (!(index instanceof OpenFile)) return undefined;
    index.close();
    // Relative, because the web server may have another idea of scheme, host and mount.
    const last = url.pathname.slice(url.pathname.lastIndexOf("/") + 1);
    return new Response(null, { status: 301, headers: { location: `./${last}/${url.search}` } });
  }

  /** A response that names the file for the web server. */
  #handOver(file: OpenFile, name: string, sendFile: SendFile): Response | undefined {
    const value = sendFile.header === "x-sendfile"
      ? plainHeader(file.path)
      : encodePath(sendFile.prefix + this.#prefix.slice(1) + file.pathInFolder.replaceAll(sep, "/"));
    if (value === undefined) return undefined;
    file.close();
    return new Response(null, { headers: { ...typeHeaders(contentType(name)), [sendFile.header]: value } });
  }

  async #respond(request: Request, file: OpenFile, path: string): Promise<Response> {
    const type = contentType(path);
    const compressible = isCompressible(type);
    const variant = compressible ? await this.#variant(request, file, path) : undefined;
    const sent = variant?.file ?? file;
    const it = representation(sent, variant?.coding);
    const { status, start, end } = wantedOf(request, it);
    const headers: Record<string, string> = { etag: it.etag, "last-modified": it.lastModified };
    if (compressible) headers.vary = "accept-encoding";
    if (status === 200 || status === 206) {
      Object.assign(headers, typeHeaders(type), { "accept-ranges": "bytes", "content-length": String(end - start) });
      if (variant) headers["content-encoding"] = variant.coding;
      if (status === 206) headers["content-range"] = `bytes ${start}-${end - 1}/${it.size}`;
      if (request.method === "GET") return new Response(await sent.take(start, end), { status, headers });
    }
    sent.close();
    if (status === 412) return plainResponse(412, "This file has changed.");
    if (status === 416) {
      return plainResponse(416, "The requested range is beyond the end of the file.", { "content-range": `bytes */${it.size}` });
    }
    return new Response(null, { status, headers });
  }

  /** A compressed file in place of another one, which is closed then. */
  async #variant(request: Request, file: OpenFile, path: string): Promise<{ file: OpenFile; coding: string } | undefined> {
    try {
      for (const [coding, ending] of acceptedCodings(request.headers.get("accept-encoding"))) {
        const variant = await this.#folder.open(path + ending);
        if (!(variant instanceof OpenFile)) continue;
        if (variant.mtime >= file.mtime) {
          file.close();
          return { file: variant, coding };
        }
        variant.close();
      }
    } catch (error) {
      file.close();
      throw error;
    }
  }
}

/** An encoded slash is part of no name, and nothing but UTF-8 is told in a URL. */
function isPlain(path: string): boolean {
  if (/%2f/i.test(path)) return false;
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

/** nginx decodes what it is given. */
function encodePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

/**
 * A path as bytes, `undefined` where web servers would not agree which it is: lighttpd decodes what it is given,
 * mod_xsendfile does not, and spaces at the end are lost.
 */
function plainHeader(path: string): string | undefined {
  // deno-lint-ignore no-control-regex
  return /^[^\0-\x1f\x7f%]*[^\0-\x20\x7f%]$/.test(path) ? encodeText(path) : undefined;
}

function typeHeaders(type: string): Record<string, string> {
  return { "content-type": type, "x-content-type-options": "nosniff" };
}

/** Some file systems tell the time in whole seconds, so that a file may change again within one and look the same. */
const YOUNG_MS = 1000;

function representation({ mtime, size }: OpenFile, coding: string | undefined): Representation {
  const milliseconds = Number(mtime / 1_000_000n);
  const weak = Date.now() - milliseconds < YOUNG_MS ? "W/" : "";
  const etag = `${weak}"${mtime.toString(36)}-${size.toString(36)}${coding ? `-${coding}` : ""}"`;
  return { etag, lastModified: new Date(milliseconds).toUTCString(), size };
}
