/** A Node-style listener sees and does the same here as on the server of the runtime itself. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { createServer, type IncomingMessage, request as httpRequest, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { after, before, describe, test } from "node:test";
import { nodeHandler } from "../../src/handlers/node_app.ts";
import { serve, type Server as OwnServer } from "../../src/server/serve.ts";
import { soon, turns } from "../support/peer.ts";

type Scenario = (request: IncomingMessage, response: ServerResponse, note: (what: unknown) => void) => unknown;

/** Notes events in their order. Those that come without an order between them are left to the scenarios. */
function events(emitter: NodeJS.EventEmitter, name: string, names: string[], note: (what: unknown) => void): void {
  for (const event of names) emitter.on(event, () => note(`${name} ${event}`));
}

async function read(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

const error = (run: () => unknown): string => {
  try {
    run();
    return "no error";
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
};

const scenarios: Record<string, Scenario> = {
  "a short answer": (_request, response, note) => {
    events(response, "response", ["prefinish", "finish", "close"], note);
    note([response.headersSent, response.writableEnded, response.writableFinished, response.finished]);
    response.end("hello", () => note("end called back"));
    note([response.headersSent, response.writableEnded]);
    response.on("close", () => note([response.writableFinished, response.destroyed, response.closed]));
  },
  "nothing but end()": (_request, response) => void response.end(),
  "headers set one by one": (_request, response, note) => {
    response.setHeader("Content-Type", "text/x");
    response.setHeader("X-Number", 5);
    response.setHeader("Set-Cookie", ["a=1", "b=2"]);
    response.appendHeader("Set-Cookie", "c=3");
    response.appendHeader("X-More", ["1", "2"]);
    response.removeHeader("x-number");
    note([response.getHeader("content-type"), response.hasHeader("X-Number"), response.getHeaderNames(), response.getHeaders()]);
    response.statusCode = 201;
    response.statusMessage = "Made It";
    response.end("x");
  },
  "writeHead() over headers set before": (_request, response) => {
    response.setHeader("X-A", "1");
    response.setHeader("X-B", "1");
    response.writeHead(202, "Taken", { "x-b": "2", "X-C": ["1", "2"] }).end("x");
  },
  "writeHead() with pairs": (_request, response) => void response.writeHead(200, ["X-A", "1", "X-A", "2", "x-b", "3"]).end("x"),
  "setHeaders()": (_request, response) => {
    response.setHeaders(new Map([["x-a", "1"], ["x-b", "2"]]));
    response.end("x");
  },
  "what cannot be sent": (_request, response, note) => {
    note(error(() => response.setHeader("x-a", "a\nb")));
    note(error(() => response.setHeader("x-a", "\u0416")));
    note(error(() => response.setHeader("x a", "1")));
    note(error(() => response.setHeader("x-a", undefined as never)));
    note(error(() => response.writeHead(99)));
    response.end("still here");
    note(error(() => response.setHeader("x-a", "1")));
    note(error(() => response.writeHead(200)));
  },
  "latin-1 in a header": (_request, response) => {
    response.setHeader("x-a", "caf\u00e9");
    response.end(Buffer.from("x"));
  },
  "encodings": (_request, response) => {
    response.write("c3a4", "hex");
    response.write("\u00e4", "latin1");
    response.write("w6Q=", "base64");
    response.end("\u00e4\u{1f600}");
  },
  "callbacks of write()": (_request, response, note) => {
    response.write("a", () => note("a"));
    response.write("b", "utf8", () => note("b"));
    response.end("c", "utf8", () => note("c"));
  },
  "pieces in several turns": async (_request, response, note) => {
    events(response, "response", ["finish", "close"], note);
    response.write("a");
    await turns(3);
    response.write("b");
    await turns(3);
    response.end();
  },
  "cork and uncork": async (_request, response) => {
    response.cork();
    response.write("a");
    response.write("b");
    await turns(2);
    response.uncork();
    response.end("c");
  },
  "flushHeaders() and end()": async (_request, response) => {
    response.setHeader("x-a", "1");
    response.flushHeaders();
    await turns(2);
    response.end();
  },
  "write() after end()": async (_request, response, note) => {
    response.on("error", (error: NodeJS.ErrnoException) => note(error.code));
    response.end("x");
    response.write("y", (error) => note(`called back: ${(error as NodeJS.ErrnoException)?.code}`));
    await turns(3);
  },
  "a second end()": (_request, response) => {
    response.end("x");
    response.end();
  },
  "informational responses": (_request, response, note) => {
    response.writeContinue();
    response.writeProcessing();
    response.writeEarlyHints({ link: "</style.css>; rel=preload" }, () => note("hinted"));
    note(response.headersSent);
    response.end("x");
  },
  "a body that is read": async (request, response, note) => {
    events(request, "request", ["end", "close", "aborted", "error"], note);
    note(request.readableEnded);
    note(await read(request));
    note([request.complete, request.readableEnded, request.readableAborted, request.aborted]);
    response.end("x");
  },
  "a body that is read by events": (request, response, note) => {
    request.setEncoding("utf8");
    request.on("data", (text) => note(text)).on("end", () => response.end("x"));
  },
  "a body that is read by read()": (request, response, note) => {
    request.on("readable", () => {
      for (let chunk = request.read(); chunk !== null; chunk = request.read()) note(String(chunk));
    });
    request.on("end", () => response.end("x"));
  },
  "a body that is piped back": (request, response) => void request.pipe(response),
  "an answer without a look at the body": (_request, response) => void response.end("x"),
  "pipeline() from a stream": (_request, response) => pipeline(Readable.from([Buffer.from("a"), Buffer.from("b")]), response),
  "what a request tells": (request, response, note) => {
    const { method, url, httpVersion, headersDistinct, rawTrailers, trailers, statusCode } = request;
    note({ method, url, httpVersion, distinct: headersDistinct["x-a"], rawTrailers, trailers, statusCode });
    note([request.headers["x-b"], request.headers.cookie, request.connection === request.socket, response.req === request]);
    note([response.socket === request.socket, response.connection === request.socket, response.sendDate]);
    response.end("x");
    note(request.socket.destroyed);
  },
  "a prototype of a framework": (request, response, note) => {
    Object.setPrototypeOf(request, Object.create(Object.getPrototypeOf(request), { hello: { value: () => "hello" } }));
    Object.setPrototypeOf(
      response,
      Object.create(Object.getPrototypeOf(response), { send: { value: () => response.end("sent") } }),
    );
    note((request as unknown as { hello(): string }).hello());
    (response as unknown as { send(): void }).send();
  },
  "methods that middleware replaces": (_request, response, note) => {
    const { writeHead, write, end } = response;
    const wrapped = response as unknown as Record<string, (...args: unknown[]) => unknown>;
    wrapped.writeHead = function (this: ServerResponse, ...args) {
      note("writeHead");
      this.setHeader("x-late", "1");
      return Reflect.apply(writeHead, this, args);
    };
    wrapped.write = (chunk) => write.call(response, `<${chunk}>`, "utf8");
    wrapped.end = (chunk) => {
      wrapped.write(chunk);
      return end.call(response, "!", "utf8");
    };
    response.write("a");
    response.end("b");
  },
  "204 with a body": (_request, response) => {
    response.statusCode = 204;
    response.end("none");
  },
  "304": (_request, response) => void response.writeHead(304, { etag: '"1"' }).end(),
  "finish and close after an upload": async (request, response, note) => {
    events(response, "response", ["finish", "close"], note);
    request.resume();
    await once(request, "end");
    response.end("x");
  },
};

const left: Record<string, Scenario> = {
  "the body is read": (request, response, note) => {
    events(request, "request", ["end", "close", "aborted"], note);
    events(response, "response", ["finish", "close"], note);
    request.on("error", (error: NodeJS.ErrnoException) => note(`${error.message} ${error.code}`));
    request.once("data", () => note("begun"));
    request.on("close", () => note([request.aborted, request.destroyed, request.complete, request.readableAborted]));
    response.on("close", () => note([response.destroyed, response.writableFinished, response.writableEnded]));
  },
  "an error nobody listens to": (request, response, note) => {
    events(request, "request", ["close", "aborted"], note);
    response.on("close", () => note("response close"));
    request.once("data", () => note("begun"));
  },
  "reading it by for await": async (request, _response, note) => {
    request.once("data", () => note("begun"));
    try {
      await read(request);
    } catch (error) {
      note((error as NodeJS.ErrnoException).code);
    }
  },
  "in the middle of the response": (request, response, note) => {
    events(response, "response", ["finish", "close"], note);
    response.write("first");
    request.once("data", () => note("begun"));
  },
};

/** What both servers add of their own accord, or leave out. */
const own = new Set(["date", "connection", "keep-alive", "transfer-encoding", "content-length"]);

interface Seen {
  status: number;
  message: string;
  headers: string[];
  text: string;
  notes: unknown[];
}

function ask(port: number, path: string, method: string): Promise<Omit<Seen, "notes">> {
  const headers = ["Host", "example.com", "X-A", "1", "X-B", "1", "X-B", "2", "Cookie", "a=1; b=2"];
  const body = method === "POST" ? "some text" : "";
  if (body) headers.push("Content-Length", String(body.length));
  const { promise, resolve, reject } = Promise.withResolvers<Omit<Seen, "notes">>();
  const outgoing = httpRequest({ port, path, method, headers, agent: false }, async (response) => {
    const { statusCode, statusMessage, rawHeaders } = response;
    const fields = rawHeaders.flatMap((name, i) =>
      i % 2 || own.has(name.toLowerCase()) ? [] : [`${name.toLowerCase()}: ${rawHeaders[i + 1]}`]
    );
    resolve({ status: statusCode!, message: statusMessage!, headers: fields, text: await read(response) });
  });
  outgoing.on("error", reject);
  outgoing.end(body);
  return promise;
}

describe("a Node-style listener sees and does what it does on the runtime's own server", () => {
  let seen: (what: unknown) => void = () => {};
  let settled = Promise.withResolvers<void>();
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    response.on("close", () => turns(2).then(() => settled.resolve()));
    const name = decodeURIComponent(request.url!.slice(1));
    return (scenarios[name] ?? left[name])(request, response, (what) => seen(what));
  };
  let reference: Server;
  let site: OwnServer;
  before(async () => {
    reference = createServer(listener);
    reference.listen(0, "127.0.0.1");
    await once(reference, "listening");
    site = await serve({ protocol: "http", host: "127.0.0.1", port: 0 }, nodeHandler(listener));
  });
  after(async () => {
    reference.close();
    reference.closeAllConnections();
    await site.shutdown(1);
  });

  async function visit(port: number, name: string, method: string): Promise<Seen> {
    const notes: unknown[] = [];
    seen = (what) => notes.push(what);
    settled = Promise.withResolvers();
    const answer = await soon("the answer", ask(port, `/${encodeURIComponent(name)}`, method));
    await soon("close", settled.promise);
    return { ...answer, notes };
  }

  for (const name of Object.keys(scenarios)) {
    for (const method of ["GET", "POST", "HEAD"]) {
      test(`${name}: ${method}`, async () => {
        const expected = await visit((reference.address() as AddressInfo).port, name, method);
        const actual = await visit((site.address as { port: number }).port, name, method);
        assert.deepEqual(JSON.parse(JSON.stringify(actual)), JSON.parse(JSON.stringify(expected)));
      });
    }
  }

  /** What a listener hears of a visitor who leaves in the middle of the body. */
  async function leave(port: number, name: string): Promise<unknown[]> {
    const notes: unknown[] = [];
    const begun = Promise.withResolvers<void>();
    seen = (what) => what === "begun" ? begun.resolve() : notes.push(what);
    settled = Promise.withResolvers();
    const visitor = connect(port, "127.0.0.1");
    visitor.on("error", () => {});
    const target = `/${encodeURIComponent(name)}`;
    visitor.write(`POST ${target} HTTP/1.1\r\nhost: example.com\r\ncontent-length: 10\r\n\r\nhalf`);
    await soon("the request", begun.promise);
    visitor.destroy();
    await soon("close", settled.promise);
    return notes.toSorted();
  }

  for (const name of Object.keys(left)) {
    test(`a visitor who leaves: ${name}`, async () => {
      const expected = await leave((reference.address() as AddressInfo).port, name);
      const actual = await leave((site.address as { port: number }).port, name);
      assert.deepEqual(actual, expected);
      assert.ok(actual.length > 0);
    });
  }
});
