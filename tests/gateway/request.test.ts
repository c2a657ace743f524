import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { lazyRequest, requestHeaders, requestLine, type RequestSource } from "../../src/gateway/request.ts";
import { FastCgiServer } from "../../src/protocol/fastcgi/server.ts";
import { Params } from "../../src/protocol/params.ts";
import { bytes, fixture } from "../support/bytes.ts";

function headers(...pairs: string[]): Record<string, string> {
  return Object.fromEntries(requestHeaders(new Params(pairs)));
}

describe("request headers", () => {
  const table: [name: string, pairs: string[], headers: Record<string, string>][] = [
    ["come from HTTP_ params alone", ["HTTP_X_A", "1", "X_A", "2", "http_x_b", "3", "PATH", "4"], { "x-a": "1" }],
    ["keep an empty value", ["HTTP_X_A", ""], { "x-a": "" }],
    ["lose blanks around a value", ["HTTP_X_A", " \ty\t "], { "x-a": "y" }],
    ["that came twice are joined", ["HTTP_X_DUP", "1", "HTTP_ACCEPT", "*/*", "HTTP_X_DUP", "2"], {
      "accept": "*/*",
      "x-dup": "1, 2",
    }],
    ["that came twice as cookies are joined as cookies", ["HTTP_COOKIE", "a=1", "HTTP_COOKIE", "b=2; c=3"], {
      cookie: "a=1; b=2; c=3",
    }],
    ["that came twice as Host: the last counts", ["HTTP_HOST", "a", "HTTP_HOST", "b:81"], { host: "b:81" }],
    ["of one name in two spellings are joined", ["HTTP_X_A", "1", "HTTP_X-A", "2"], { "x-a": "1, 2" }],
    ["have no Proxy, which would become HTTP_PROXY in a child process", ["HTTP_PROXY", "http://evil.example", "HTTP_X", "1"], {
      x: "1",
    }],
    ["have Proxy-Authorization", ["HTTP_PROXY_AUTHORIZATION", "x"], { "proxy-authorization": "x" }],
    ["have no Transfer-Encoding, since the body is no longer in chunks", ["HTTP_TRANSFER_ENCODING", "chunked"], {}],
    ["have the type of the body", ["CONTENT_TYPE", "text/plain"], { "content-type": "text/plain" }],
    ["have no empty type", ["CONTENT_TYPE", ""], {}],
    ["have the length of the body", ["CONTENT_LENGTH", "20"], { "content-length": "20" }],
    ["have a length of 0", ["CONTENT_LENGTH", "0"], { "content-length": "0" }],
    ["have no empty length", ["CONTENT_LENGTH", ""], {}],
    ["have no length of -1, which is Caddy's for chunks", ["CONTENT_LENGTH", "-1"], {}],
    ["have no length if it is not a number", ["CONTENT_LENGTH", "1e3"], {}],
    ["have type and length once, whatever the web server repeats", [
      ...["HTTP_CONTENT_LENGTH", "99", "HTTP_CONTENT_TYPE", "text/html"],
      ...["CONTENT_LENGTH", "20", "CONTENT_TYPE", "text/plain", "HTTP_CONTENT_TYPE", "text/html"],
    ], { "content-length": "20", "content-type": "text/plain" }],
    ["have dots in their names where Caddy, h2o and uWSGI leave them", ["HTTP_X.DOT", "1"], { "x.dot": "1" }],
    ["have no names that are none", ["HTTP_", "1", "HTTP_A B", "2", "HTTP_\xe9", "3", "HTTP_A:", "4", "HTTP_A\r\nB", "5"], {}],
    ["have no values with CR, LF or NUL", [
      "HTTP_A",
      "a\rb",
      "HTTP_B",
      "a\nb",
      "HTTP_C",
      "a\0b",
      "HTTP_D",
      "a\r\n",
      "HTTP_E",
      "e",
    ], { e: "e" }],
    ["keep each byte of a value", ["HTTP_A", "caf\xe9 \xc3\xa9"], { a: "caf\xe9 \xc3\xa9" }],
    ["of the names of an object's own parts are like any other", ["HTTP___PROTO__", "1", "HTTP_CONSTRUCTOR", "2"], {
      "--proto--": "1",
      constructor: "2",
    }],
  ];
  for (const [name, pairs, expected] of table) test(name, () => assert.deepEqual(headers(...pairs), expected));

  test("take every byte but CR, LF and NUL", () => {
    for (let byte = 0; byte < 256; byte++) {
      const value = `a${String.fromCharCode(byte)}b`;
      const expected = [0, 10, 13].includes(byte) ? {} : { x: value };
      assert.deepEqual(headers("HTTP_X", value), expected, `byte ${byte}`);
    }
  });

  const authorizations: [name: string, pairs: string[], authorization: string | undefined][] = [
    ["as it came", ["HTTP_AUTHORIZATION", "Basic a"], "Basic a"],
    ["after one internal redirect of Apache", ["REDIRECT_HTTP_AUTHORIZATION", "Basic a"], "Basic a"],
    ["after three", ["REDIRECT_REDIRECT_REDIRECT_HTTP_AUTHORIZATION", "Basic a"], "Basic a"],
    ["the one that was redirected least", [
      ...[
        "REDIRECT_REDIRECT_HTTP_AUTHORIZATION",
        "2",
        "REDIRECT_HTTP_AUTHORIZATION",
        "1",
        "REDIRECT_REDIRECT_REDIRECT_HTTP_AUTHORIZATION",
        "3",
      ],
    ], "1"],
    ["the header before what was redirected", ["REDIRECT_HTTP_AUTHORIZATION", "1", "HTTP_AUTHORIZATION", "0"], "0"],
    ["what was redirected before an empty header", ["HTTP_AUTHORIZATION", "", "REDIRECT_HTTP_AUTHORIZATION", "1"], "1"],
    ["a deeper one before an empty one", ["REDIRECT_HTTP_AUTHORIZATION", "", "REDIRECT_REDIRECT_HTTP_AUTHORIZATION", "2"], "2"],
    ["not from a visitor's header of such a name", ["HTTP_REDIRECT_HTTP_AUTHORIZATION", "Basic a"], undefined],
    ["not from another variable", ["X_HTTP_AUTHORIZATION", "Basic a", "_HTTP_AUTHORIZATION", "Basic a"], undefined],
    ["not from a redirected value with a line end", ["REDIRECT_HTTP_AUTHORIZATION", "a\r\nb"], undefined],
  ];
  for (const [name, pairs, authorization] of authorizations) {
    test(`Authorization: ${name}`, () => assert.equal(headers(...pairs).authorization, authorization));
  }

  const recorded: [name: string, headers: Record<string, string | undefined>][] = [
    ["nginx-fcgi-headers", {
      cookie: "a=1; b=2; c=3",
      "x-dup": "1, 2",
      authorization: "Basic dXNlcjpwYXNz",
      proxy: undefined,
      "x-empty": "",
    }],
    ["apache-proxy_fcgi-headers", { cookie: "a=1, b=2; c=3", "x-dup": "1, 2", authorization: undefined, proxy: undefined }],
    ["lighttpd-fcgi-headers", {
      cookie: "a=1; b=2; c=3",
      "x-dup": "1, 2",
      authorization: "Basic dXNlcjpwYXNz",
      "x-under-score": "u",
    }],
    ["caddy-fcgi-headers", {
      cookie: "a=1, b=2; c=3",
      "x-dup": "1, 2",
      authorization: "Basic dXNlcjpwYXNz",
      proxy: undefined,
      "x.dot": "dot",
    }],
    ["haproxy-fcgi-headers", { cookie: "a=1; b=2; c=3", "x-dup": "1, 2", authorization: undefined, proxy: undefined }],
    ["h2o-fcgi-headers", { "x-dup": "1, 2", authorization: "Basic dXNlcjpwYXNz", proxy: undefined, "x.dot": "dot" }],
  ];
  for (const [name, expected] of recorded) {
    test(`as ${name} sent them`, () => {
      const codec = new FastCgiServer();
      codec.receive(fixture(name));
      const event = codec.nextEvent();
      assert.ok(event?.type === "request");
      const seen = requestHeaders(event.params);
      for (const [header, value] of Object.entries(expected)) assert.equal(seen.get(header) ?? undefined, value, header);
    });
  }
});

describe("the method", () => {
  const methods: [sent: string, seen: string][] = [
    ["GET", "GET"],
    ["get", "GET"],
    ["Post", "POST"],
    ["delete", "DELETE"],
    ["options", "OPTIONS"],
    ["PATCH", "PATCH"],
    ["patch", "patch"],
    ["PROPFIND", "PROPFIND"],
    ["BASELINE-CONTROL", "BASELINE-CONTROL"],
    ["FOO", "FOO"],
    ["", "GET"],
  ];
  for (const [sent, seen] of methods) {
    test(`${sent || "none"} is ${seen}`, () => {
      const line = requestLine(new Params(["REQUEST_METHOD", sent, "HTTP_HOST", "h", "REQUEST_URI", "/x", "SCRIPT_NAME", "/x"]));
      assert.deepEqual(line, { method: seen, url: "http://h/x", isNormalized: true });
      assert.equal(lazyRequest(source().source, seen, "http://h/x").method, seen);
    });
  }
  for (const method of ["TRACE", "trace", "TRACK", "CONNECT"]) {
    test(`${method} is not allowed`, () => {
      assert.deepEqual(requestLine(new Params(["REQUEST_METHOD", method])), {
        status: 405,
        reason: `the method ${method} is not allowed`,
      });
    });
  }
  for (const method of ["G T", "GET\r\n", "GET/", "\xe9", '"', "a\0"]) {
    test(`${JSON.stringify(method)} is invalid`, () => {
      const line = requestLine(new Params(["REQUEST_METHOD", method]));
      assert.deepEqual(line, { status: 400, reason: `invalid method ${JSON.stringify(method)}` });
    });
  }
  test("is of no use without a host", () => {
    assert.deepEqual(requestLine(new Params(["HTTP_HOST", "a@b"])), { status: 400, reason: 'invalid host "a@b"' });
  });
});

type Body = ReturnType<RequestSource["takeBody"]>;

/** A source of a request, and how often its body was taken. */
function source(body: Body = null, ...pairs: string[]): { source: RequestSource; taken: () => number; abort: AbortController } {
  const abort = new AbortController();
  let taken = 0;
  const takeBody = () => {
    taken++;
    return body;
  };
  return { source: { params: new Params(pairs), takeBody, signal: abort.signal }, taken: () => taken, abort };
}

function post(body: Body, ...pairs: string[]): Request {
  return lazyRequest(source(body, ...pairs).source, "POST", "http://h/p?q");
}

const content = (text: string) => new Uint8Array(bytes(text)) as Uint8Array<ArrayBuffer>;

function stream(...pieces: string[]): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    pull(controller) {
      const piece = pieces.shift();
      if (piece === undefined) controller.close();
      else controller.enqueue(content(piece));
    },
  });
}

describe("a request", () => {
  test("is a Request with what was sent", () => {
    const request = post(content("x"), "HTTP_X_A", "1");
    assert.ok(request instanceof Request);
    assert.equal(Object.prototype.toString.call(request), "[object Request]");
    assert.equal(request.method, "POST");
    assert.equal(request.url, "http://h/p?q");
    assert.equal(request.headers.get("X-A"), "1");
    assert.equal(request.headers, request.headers);
  });

  test("has a normalized URL", () => {
    assert.equal(lazyRequest(source().source, "GET", "http://EXAMPLE.com:80/a/../b c").url, "http://example.com/b%20c");
  });

  test("has what the Request of this runtime has", () => {
    const request = post(content("x"));
    const platform = new Request("http://h/p?q", { method: "POST" });
    for (const name of ["cache", "credentials", "destination", "integrity", "mode", "redirect", "referrer"] as const) {
      assert.equal(request[name], platform[name], name);
    }
    for (const name of Reflect.ownKeys(Request.prototype)) assert.ok(name in request, String(name));
  });

  test("does not take its body before that is looked at", () => {
    const { source: from, taken } = source(content("x"), "HTTP_A", "1");
    const request = lazyRequest(from, "POST", "http://h/");
    void [request.url, request.method, request.headers, request.signal, request.bodyUsed, request instanceof Request];
    assert.equal(taken(), 0);
    void request.body;
    assert.equal(taken(), 1);
    void [request.body, request.clone()];
    assert.equal(taken(), 1);
  });

  for (const method of ["GET", "HEAD"]) {
    test(`with the method ${method} has no body, whatever came`, async () => {
      const { source: from, taken } = source(content("x"));
      const request = lazyRequest(from, method, "http://h/");
      assert.equal(request.body, null);
      assert.equal(await request.text(), "");
      assert.equal(taken(), 0);
    });
  }

  test("without a body has none", async () => {
    const request = post(null);
    assert.equal(request.body, null);
    assert.equal(await request.text(), "");
  });

  test("with an unusual method has a body", async () => {
    assert.equal(await lazyRequest(source(content("x")).source, "PROPFIND", "http://h/").text(), "x");
  });

  test("gives its body as text, JSON, bytes, blob and buffer", async () => {
    assert.equal(await post(content("caf\xc3\xa9")).text(), "caf\u00e9");
    assert.deepEqual(await post(content('{"a":[1]}')).json(), { a: [1] });
    assert.deepEqual([...await post(content("ab")).bytes()], [97, 98]);
    assert.equal(await (await post(content("ab")).blob()).text(), "ab");
    assert.equal((await post(content("ab")).arrayBuffer()).byteLength, 2);
  });

  test("gives its body as a form, by its content type", async () => {
    const form = await post(content("a=1&b=%20"), "CONTENT_TYPE", "application/x-www-form-urlencoded").formData();
    assert.deepEqual([...form], [["a", "1"], ["b", " "]]);
    const parts =
      '--x\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\nContent-Type: text/plain\r\n\r\nfile\r\n--x--\r\n';
    const file = (await post(content(parts), "CONTENT_TYPE", "multipart/form-data; boundary=x").formData()).get("f");
    assert.ok(file instanceof File);
    assert.equal(file.name, "n.txt");
    assert.equal(await file.text(), "file");
  });

  test("rejects where the body is not what is asked for", async () => {
    await assert.rejects(post(content("{")).json(), SyntaxError);
  });

  test("gives a body that is still coming", async () => {
    assert.equal(await post(stream("one ", "two")).text(), "one two");
    let seen = "";
    for await (const piece of post(stream("one ", "two")).body!) seen += String.fromCharCode(...piece);
    assert.equal(seen, "one two");
  });

  test("says whether its body was used, and gives it once", async () => {
    const request = post(content("x"));
    assert.equal(request.bodyUsed, false);
    await request.text();
    assert.equal(request.bodyUsed, true);
    await assert.rejects(request.text(), TypeError);
    assert.throws(() => request.clone(), TypeError);
  });

  test("can be cloned, and both give the body", async () => {
    for (const body of [content("x"), stream("x")]) {
      const request = post(body, "HTTP_A", "1");
      const clone = request.clone();
      assert.ok(clone instanceof Request);
      assert.equal(clone.headers.get("a"), "1");
      assert.equal(clone.url, request.url);
      assert.deepEqual(await Promise.all([request.text(), clone.text()]), ["x", "x"]);
    }
  });

  test("passes the signal of its source on", () => {
    const { source: from, abort } = source(content("x"));
    const request = lazyRequest(from, "POST", "http://h/");
    assert.equal(request.signal.aborted, false);
    const seen: string[] = [];
    request.signal.addEventListener("abort", () => seen.push("original"));
    const clone = request.clone();
    clone.signal.addEventListener("abort", () => seen.push("clone"));
    abort.abort(new Error("gone"));
    assert.equal(request.signal.aborted, true);
    assert.equal(request.signal.reason.message, "gone");
    assert.deepEqual(seen.sort(), ["clone", "original"]);
  });

  test("takes the headers that the application changed along", () => {
    const request = post(content("x"), "HTTP_A", "1");
    request.headers.set("a", "2");
    assert.equal(request.clone().headers.get("a"), "2");
  });
});
