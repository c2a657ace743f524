/**
 * What the load consists of, for each protocol: the bytes of a request, and a check of the bytes of its response. It is
 * the one place where the benchmark knows a protocol.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { fileURLToPath } from "node:url";
import { AjpClient } from "../../src/protocol/ajp/client.ts";
import { FastCgiClient } from "../../src/protocol/fastcgi/client.ts";
import { Params } from "../../src/protocol/params.ts";
import { ScgiClient } from "../../src/protocol/scgi.ts";
import { UwsgiClient } from "../../src/protocol/uwsgi.ts";

/** Request targets, and the length of the body that each is answered with. */
export const bodies = {
  small: { target: "/hello?x=1", length: 12 },
  large: { target: "/large?x=1", length: 64 * 1024 },
} as const;

/** A response body. */
export type BodyName = keyof typeof bodies;

/** Takes in one response after another. */
export interface ResponseReader {
  /** Bytes of body since the response began. */
  bodyLength: number;
  /**
   * Says whether the response is complete now. The next bytes begin another.
   *
   * @throws when they are no successful response
   */
  receive(bytes: Uint8Array): boolean;
  /**
   * Says whether the end of the connection completes the response.
   *
   * @throws when it is no successful response
   */
  end(): boolean;
}

/** How one protocol is measured. */
export interface Traffic {
  title: string;
  /** Whether connections carry one request after another; without it, they may or may not. */
  keep?: boolean;
  /** The bytes of a whole request. */
  request(body: BodyName, keep: boolean): Uint8Array;
  reader(): ResponseReader;
}

/** Traffic by protocol. A new protocol is one line here. */
export const traffic: Record<string, Traffic> = {
  fcgi: { title: "FastCGI", request: fastCgiRequest, reader: () => new FastCgiReader() },
  scgi: {
    title: "SCGI",
    keep: false,
    request: (body) => new ScgiClient().request(1, params(body)),
    reader: () => new SingleReader(),
  },
  uwsgi: {
    title: "uwsgi",
    keep: false,
    request: (body) => new UwsgiClient().request(1, params(body)),
    reader: () => new SingleReader(),
  },
  ajp: { title: "AJP", keep: true, request: ajpRequest, reader: () => new AjpReader() },
  http: { title: "HTTP", request: httpRequest, reader: () => new HttpReader() },
  nginx: { title: "Behind nginx", request: httpRequest, reader: () => new HttpReader() },
};

/** What nginx sends with its own fastcgi_params, for a browser. SCRIPT_FILENAME concerns php-fpm alone. */
function params(body: BodyName): Params {
  const { target } = bodies[body];
  const [path, query] = target.split("?");
  return Params.from(Object.entries({
    QUERY_STRING: query,
    REQUEST_METHOD: "GET",
    CONTENT_TYPE: "",
    CONTENT_LENGTH: "",
    SCRIPT_NAME: path,
    REQUEST_URI: target,
    DOCUMENT_URI: path,
    DOCUMENT_ROOT: "/var/www/html",
    SERVER_PROTOCOL: "HTTP/1.1",
    REQUEST_SCHEME: "http",
    GATEWAY_INTERFACE: "CGI/1.1",
    SERVER_SOFTWARE: "nginx/1.22.1",
    REMOTE_ADDR: "192.0.2.7",
    REMOTE_PORT: "51234",
    SERVER_ADDR: "192.0.2.1",
    SERVER_PORT: "80",
    SERVER_NAME: "www.example.org",
    REDIRECT_STATUS: "200",
    SCRIPT_FILENAME: fileURLToPath(new URL("peer.php", import.meta.url)),
    HTTP_HOST: "www.example.org",
    HTTP_USER_AGENT: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    HTTP_ACCEPT: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    HTTP_ACCEPT_LANGUAGE: "en-US,en;q=0.5",
    HTTP_ACCEPT_ENCODING: "gzip, deflate, br",
  }));
}

function fastCgiRequest(body: BodyName, keep: boolean): Uint8Array {
  const client = new FastCgiClient();
  return Buffer.concat([client.request(1, params(body), { keep }), client.bodyEnd(1)]);
}

/** Without a variable that no web server sends over AJP, and for which Tomcat refuses the request. */
function ajpRequest(body: BodyName): Uint8Array {
  const { pairs } = params(body);
  const at = pairs.indexOf("DOCUMENT_URI");
  return new AjpClient().request(1, new Params(pairs.toSpliced(at, 2)));
}

/** What the same browser sends. */
function httpRequest(body: BodyName, keep: boolean): Uint8Array {
  const { pairs } = params(body);
  const lines = pairs.flatMap((name, i) =>
    i % 2 === 0 && name.startsWith("HTTP_")
      ? [`${name.slice("HTTP_".length).toLowerCase().replaceAll("_", "-")}: ${pairs[i + 1]}`]
      : []
  );
  const head = [`GET ${bodies[body].target} HTTP/1.1`, ...lines, ...keep ? [] : ["connection: close"]];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n`);
}

// Own code, not the codecs': the load has to be much faster than the servers.

/** What the responses with a head in text share. */
abstract class TextReader {
  bodyLength = 0;
  /** Line ends in a row while the head of the response lasts; 2 end it. */
  #lineEnds = 0;

  protected take(bytes: Uint8Array, from: number, to: number): void {
    let at = from;
    for (; at < to && this.#lineEnds < 2; at++) {
      if (bytes[at] === 10) this.#lineEnds++;
      else if (bytes[at] !== 13) this.#lineEnds = 0;
    }
    this.bodyLength += to - at;
  }

  protected takeEnd(): void {
    if (this.#lineEnds < 2) throw new Error("the response has no head");
    this.#lineEnds = 0;
  }
}

/** SCGI and uwsgi: the response lasts as long as the connection. */
class SingleReader extends TextReader implements ResponseReader {
  receive(bytes: Uint8Array): boolean {
    this.take(bytes, 0, bytes.length);
    return false;
  }

  end(): boolean {
    this.takeEnd();
    return true;
  }
}

/** HTTP/1.1, with a length. */
class HttpReader implements ResponseReader {
  bodyLength = 0;
  #head = "";
  /** Bytes of body that are to come; none while the head lasts. */
  #left: number | undefined;

  receive(bytes: Uint8Array): boolean {
    let from = 0;
    if (this.#left === undefined) {
      const before = this.#head.length;
      this.#head += Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 4096)).toString("latin1");
      const end = this.#head.indexOf("\r\n\r\n");
      if (end < 0) return false;
      from = end + 4 - before;
      if (!this.#head.startsWith("HTTP/1.1 200")) throw new Error(`it answered with ${this.#head.split("\r\n")[0]}`);
      const length = this.#head.slice(0, end).match(/\r\ncontent-length: *(\d+)/i)?.[1];
      if (length === undefined) throw new Error("the response has no content-length");
      this.#left = Number(length);
      this.#head = "";
    }
    this.bodyLength += bytes.length - from;
    this.#left -= bytes.length - from;
    if (this.#left < 0) throw new Error("bytes follow the response");
    if (this.#left > 0) return false;
    this.#left = undefined;
    return true;
  }

  end(): boolean {
    return false;
  }
}

/** AJP/1.3. */
class AjpReader implements ResponseReader {
  bodyLength = 0;
  /** Magic, length, type, and the status or the length of a chunk. They may come in pieces. */
  readonly #begin = new Uint8Array(7);
  #beginLength = 0;
  /** Bytes of the packet behind these. */
  #left = 0;

  receive(bytes: Uint8Array): boolean {
    const begin = this.#begin;
    for (let at = 0; at < bytes.length;) {
      if (this.#left === 0) {
        begin[this.#beginLength++] = bytes[at++];
        if (this.#beginLength < 4) continue;
        const length = 4 + ((begin[2] << 8) | begin[3]);
        if (this.#beginLength < Math.min(length, 7)) continue;
        this.#left = length - this.#beginLength;
        this.#packet();
      }
      const taken = Math.min(this.#left, bytes.length - at);
      at += taken;
      this.#left -= taken;
      if (this.#left > 0) return false;
      this.#beginLength = 0;
      if (begin[4] === 5) {
        if (at < bytes.length) throw new Error("bytes follow End Response");
        return true;
      }
    }
    return false;
  }

  #packet(): void {
    const [a, b, , , type, high, low] = this.#begin;
    const value = (high << 8) | low;
    if (a !== 0x41 || b !== 0x42) throw new Error("a packet does not begin with AB");
    if (type === 3) this.bodyLength += value;
    else if (type === 4 && value !== 200) throw new Error(`it answered with the status ${value}`);
    else if (type !== 4 && type !== 5) throw new Error(`a packet has the type ${type}`);
  }

  end(): boolean {
    return false;
  }
}

/** FastCGI 1.0. */
class FastCgiReader extends TextReader implements ResponseReader {
  /** Bytes of a record's header, which may come in pieces. */
  readonly #header = new Uint8Array(8);
  #headerLength = 0;
  #contentLeft = 0;
  #paddingLeft = 0;
  /** What END_REQUEST says besides the application's own status. */
  #protocolStatus = 0;
  #stderr = "";

  receive(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length;) {
      if (this.#headerLength < 8) {
        this.#header[this.#headerLength++] = bytes[at++];
        if (this.#headerLength < 8) continue;
        const [version, type, , , high, low, padding] = this.#header;
        if (version !== 1) throw new Error(`a record has the version ${version}`);
        if (type !== 3 && type !== 6 && type !== 7) throw new Error(`a record has the type ${type}`);
        this.#contentLeft = (high << 8) | low;
        this.#paddingLeft = padding;
      }
      const taken = Math.min(this.#contentLeft, bytes.length - at);
      if (taken > 0) this.#content(this.#header[1], bytes, at, at + taken);
      at += taken;
      this.#contentLeft -= taken;
      if (this.#contentLeft > 0) return false;
      const skipped = Math.min(this.#paddingLeft, bytes.length - at);
      at += skipped;
      this.#paddingLeft -= skipped;
      if (this.#paddingLeft > 0) return false;
      this.#headerLength = 0;
      if (this.#header[1] === 3) {
        if (at < bytes.length) throw new Error("bytes follow END_REQUEST");
        this.#end();
        return true;
      }
    }
    return false;
  }

  #content(type: number, bytes: Uint8Array, from: number, to: number): void {
    if (type === 3) {
      for (let at = from; at < to; at++) {
        if (this.#contentLeft - (at - from) === 4) this.#protocolStatus = bytes[at];
      }
    } else if (type === 7) {
      this.#stderr += Buffer.from(bytes.subarray(from, to)).toString();
    } else {
      this.take(bytes, from, to);
    }
  }

  end(): boolean {
    return false;
  }

  #end(): void {
    if (this.#protocolStatus !== 0) throw new Error(`END_REQUEST says ${this.#protocolStatus}`);
    this.takeEnd();
    if (this.#stderr !== "") throw new Error(`the server says ${this.#stderr.trim()}`);
  }
}
