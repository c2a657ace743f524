/**
 * What a file is, by the ending of its name, and whether it is worth compressing.
 *
 * @module
 */
import { extname } from "node:path";

/** Endings by media type. */
const endings: Record<string, string> = {
  "text/html": "html htm",
  "text/css": "css",
  "text/javascript": "js mjs",
  "text/plain": "txt text log",
  "text/markdown": "md",
  "text/csv": "csv",
  "text/calendar": "ics",
  "text/vcard": "vcf",
  "text/vtt": "vtt",
  "application/json": "json map",
  "application/ld+json": "jsonld",
  "application/geo+json": "geojson",
  "application/manifest+json": "webmanifest",
  "application/xml": "xml xsl",
  "application/xhtml+xml": "xhtml",
  "application/rss+xml": "rss",
  "application/atom+xml": "atom",
  "application/wasm": "wasm",
  "application/pdf": "pdf",
  "application/zip": "zip",
  "application/gzip": "gz tgz",
  "application/x-bzip2": "bz2",
  "application/x-xz": "xz",
  "application/x-7z-compressed": "7z",
  "application/x-tar": "tar",
  "application/epub+zip": "epub",
  "application/rtf": "rtf",
  "application/msword": "doc",
  "application/vnd.ms-excel": "xls",
  "application/vnd.ms-powerpoint": "ppt",
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
  "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
  "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
  "application/vnd.oasis.opendocument.text": "odt",
  "application/vnd.oasis.opendocument.spreadsheet": "ods",
  "application/vnd.oasis.opendocument.presentation": "odp",
  "image/svg+xml": "svg",
  "image/png": "png",
  "image/apng": "apng",
  "image/jpeg": "jpg jpeg",
  "image/gif": "gif",
  "image/webp": "webp",
  "image/avif": "avif",
  "image/bmp": "bmp",
  "image/tiff": "tif tiff",
  "image/x-icon": "ico",
  "font/woff": "woff",
  "font/woff2": "woff2",
  "font/ttf": "ttf",
  "font/otf": "otf",
  "audio/mpeg": "mp3",
  "audio/mp4": "m4a",
  "audio/aac": "aac",
  "audio/ogg": "oga ogg opus",
  "audio/wav": "wav",
  "audio/flac": "flac",
  "audio/midi": "mid midi",
  "video/mp4": "mp4 m4v",
  "video/webm": "webm",
  "video/ogg": "ogv",
  "video/quicktime": "mov",
  "video/mpeg": "mpg mpeg",
};

const types = new Map(
  Object.entries(endings).flatMap(([type, words]) => words.split(" ").map((ending) => [ending, type] as const)),
);

/** The content type of a file by its name. */
export function contentType(name: string): string {
  const type = types.get(extname(name).slice(1).toLowerCase()) ?? "application/octet-stream";
  return type.startsWith("text/") ? `${type}; charset=utf-8` : type;
}

const compressed = /^audio|^video|^image\/(?!svg|bmp|x-icon)|woff|zip|x-xz|7z|openxml|opendocument/;

/** Whether a file of this type may lie there compressed as well. */
export function isCompressible(type: string): boolean {
  return !compressed.test(type);
}

/** Content codings that files are looked for in, with the ending of their names; the smaller first. */
const codings = [["br", ".br"], ["gzip", ".gz"]] as const;

/** What a visitor takes, by the header Accept-Encoding (RFC 9110, 12.5.3), in the order of preference. */
export function acceptedCodings(header: string | null): (typeof codings)[number][] {
  if (header === null) return [];
  const weights = new Map<string, number>();
  for (const item of header.toLowerCase().split(",")) {
    const [, coding, weight = "1"] = /^\s*([^\s;]+)\s*(?:;\s*q=\s*([\d.]+)\s*)?$/.exec(item) ?? [];
    if (coding !== undefined) weights.set(coding, Number(weight) || 0);
  }
  const weightOf = (coding: string) => weights.get(coding) ?? weights.get("*") ?? 0;
  const least = weights.get("identity") ?? 0;
  return codings
    .filter(([coding]) => weightOf(coding) > 0 && weightOf(coding) >= least)
    .sort(([a], [b]) => weightOf(b) - weightOf(a));
}
