/** Forward Request: the tables of the "AJP Protocol Reference" of the Apache Tomcat connectors, in both directions. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { readForwardRequest, writeForwardRequest } from "../../src/protocol/ajp/request.ts";
import { Params } from "../../src/protocol/params.ts";
import { ProtocolError } from "../../src/protocol/protocol.ts";
import { type Forward, forwardPayload } from "../support/ajp.ts";
import { hex, text, toHex } from "../support/bytes.ts";

/** What a request is to the application, without a part that every request has. */
function read(values: Forward): Record<string, string> {
  const { params } = readForwardRequest(forwardPayload(values));
  const record = { ...params.toRecord() };
  for (const name of ["GATEWAY_INTERFACE", "SCRIPT_NAME", "SERVER_PORT", "REMOTE_PORT"]) delete record[name];
  return record;
}

const plain = {
  SERVER_PROTOCOL: "HTTP/1.1",
  REQUEST_METHOD: "GET",
  REQUEST_SCHEME: "http",
  REQUEST_URI: "/",
  PATH_INFO: "/",
  QUERY_STRING: "",
};

/** Writes params and reads them. */
function there(values: Record<string, string>, packetSize = 8192): Record<string, string> {
  const packet = writeForwardRequest(Params.from(Object.entries(values)), undefined, packetSize);
  return { ...readForwardRequest(packet.subarray(4)).params.toRecord() };
}

/** "Request Prefix", method. */
const methods = {
  OPTIONS: 1,
  GET: 2,
  HEAD: 3,
  POST: 4,
  PUT: 5,
  DELETE: 6,
  TRACE: 7,
  PROPFIND: 8,
  PROPPATCH: 9,
  MKCOL: 10,
  COPY: 11,
  MOVE: 12,
  LOCK: 13,
  UNLOCK: 14,
  ACL: 15,
  REPORT: 16,
  "VERSION-CONTROL": 17,
  CHECKIN: 18,
  CHECKOUT: 19,
  UNCHECKOUT: 20,
  SEARCH: 21,
  MKWORKSPACE: 22,
  UPDATE: 23,
  LABEL: 24,
  MERGE: 25,
  "BASELINE-CONTROL": 26,
  MKACTIVITY: 27,
};

describe("the method", () => {
  for (const [name, code] of Object.entries(methods)) {
    test(`${name} has the code ${code}`, () => {
      assert.equal(read({ method: code }).REQUEST_METHOD, name);
      assert.equal(writeForwardRequest(Params.from([["REQUEST_METHOD", name]]), undefined, 8192)[5], code);
    });
  }

  test("that has no code is an attribute", () => {
    for (const name of ["PATCH", "FOO", "get", "BASELINE_CONTROL"]) {
      assert.equal(read({ method: 255, attributes: [[13, name]] }).REQUEST_METHOD, name);
      assert.equal(there({ REQUEST_METHOD: name }).REQUEST_METHOD, name);
    }
    assert.equal(
      text(writeForwardRequest(Params.from([["REQUEST_METHOD", "PATCH"]]), undefined, 8192)).includes("\r\0\x05PATCH\0"),
      true,
    );
  });

  test("of the attribute does not count beside a code", () => {
    assert.equal(read({ method: 2, attributes: [[13, "DELETE"]] }).REQUEST_METHOD, "GET");
  });

  test("that is unknown is an error", () => {
    for (const method of [0, 28, 100, 254, 255]) {
      assert.throws(() => read({ method }), new ProtocolError(`The AJP method ${method} is not known`));
    }
    assert.throws(() => read({ method: 255, attributes: [[13, ""]] }), ProtocolError);
    assert.throws(() => read({ method: 255, attributes: [[13, null]] }), ProtocolError);
  });
});

/** "Headers", request. */
const requestHeaders = {
  accept: 0xa001,
  "accept-charset": 0xa002,
  "accept-encoding": 0xa003,
  "accept-language": 0xa004,
  authorization: 0xa005,
  connection: 0xa006,
  "content-type": 0xa007,
  "content-length": 0xa008,
  cookie: 0xa009,
  cookie2: 0xa00a,
  host: 0xa00b,
  pragma: 0xa00c,
  referer: 0xa00d,
  "user-agent": 0xa00e,
};

describe("a request header", () => {
  for (const [name, code] of Object.entries(requestHeaders)) {
    const variable = name.toUpperCase().replace("-", "_");
    const param = /^content-/.test(name) ? variable : `HTTP_${variable}`;

    test(`${name} has the code 0x${code.toString(16)}`, () => {
      assert.deepEqual(read({ headers: [[code, "7"]] }), { ...plain, [param]: "7" });
      assert.deepEqual(read({ headers: [[name, "7"]] }), { ...plain, [param]: "7" });
      assert.deepEqual(read({ headers: [[name.toUpperCase(), "7"]] }), { ...plain, [param]: "7" });
      const written = toHex(writeForwardRequest(Params.from([[param, "7"]]), undefined, 8192));
      assert.ok(written.includes(`${code.toString(16)}00013700`), written);
    });
  }

  test("without a code has its name", () => {
    const headers: Forward["headers"] = [["X-Name", "a"], ["X.Dot", "caf\xe9"], ["x-empty", ""]];
    assert.deepEqual(read({ headers }), {
      ...plain,
      HTTP_X_NAME: "a",
      "HTTP_X.DOT": "café",
      HTTP_X_EMPTY: "",
    });
    assert.equal(there({ HTTP_X_NAME: "a" }).HTTP_X_NAME, "a");
  });

  test("is left out when it is the null string, as lighttpd sends it", () => {
    assert.deepEqual(read({ headers: [["Expect", null], [0xa001, null], ["X", "y"]] }), { ...plain, HTTP_X: "y" });
  });

  test("arrives as often as it is sent", () => {
    const { params } = readForwardRequest(
      forwardPayload({ headers: [["X-A", "1"], ["x-a", "2"], [0xa009, "a=1"], ["Cookie", "b=2"]] }),
    );
    assert.deepEqual(params.pairs.slice(-8), ["HTTP_X_A", "1", "HTTP_X_A", "2", "HTTP_COOKIE", "a=1", "HTTP_COOKIE", "b=2"]);
  });

  test("with an unknown code is an error", () => {
    for (const code of [0xa000, 0xa00f, 0xa0ff]) {
      const reason = `The AJP header code 0x${code.toString(16)} is not known`;
      assert.throws(() => read({ headers: [[code, "x"]] }), new ProtocolError(reason));
    }
  });

  test("with an underscore is dropped: it would be taken for the one with a hyphen, which web servers set or remove", () => {
    const names = ["Content_Length", "Content_Type", "Transfer_Encoding", "X_Remote_User", "X-Remote_User", "_", "x_"];
    const { params, lengths, transferEncoding } = readForwardRequest(
      forwardPayload({ headers: [...names.map((name) => [name, "5"] as const), ["X-Remote-User", "me"]] }),
    );
    assert.deepEqual(params.pairs.filter((part) => part.startsWith("HTTP_")), ["HTTP_X_REMOTE_USER"]);
    assert.equal(params.get("CONTENT_LENGTH") ?? params.get("CONTENT_TYPE"), undefined);
    assert.deepEqual({ lengths, transferEncoding }, { lengths: [], transferEncoding: false });
  });
});

describe("an attribute", () => {
  const table: [name: string, attributes: Forward["attributes"], params: Record<string, string>][] = [
    ["context", [[1, "/shop"]], { CONTEXT_PATH: "/shop" }],
    ["servlet_path", [[2, "/s"]], { SERVLET_PATH: "/s" }],
    ["remote_user", [[3, "j\xc3\xbcrgen"]], { REMOTE_USER: "jürgen" }],
    ["auth_type", [[4, "Basic"]], { AUTH_TYPE: "Basic" }],
    ["query_string", [[5, "a=b&%20"]], { QUERY_STRING: "a=b&%20", REQUEST_URI: "/?a=b&%20" }],
    ["query_string, empty", [[5, ""]], { QUERY_STRING: "", REQUEST_URI: "/?" }],
    ["query_string, none", [[5, null]], {}],
    ["jvm_route", [[6, "rt1"]], { JVM_ROUTE: "rt1" }],
    ["ssl_cert", [[7, "-----BEGIN\nx\n"]], { SSL_CLIENT_CERT: "-----BEGIN\nx\n" }],
    ["ssl_cipher", [[8, "TLS_AES"]], { SSL_CIPHER: "TLS_AES" }],
    ["ssl_session", [[9, "abc"]], { SSL_SESSION_ID: "abc" }],
    ["ssl_key_size", [[11, 256]], { SSL_CIPHER_USEKEYSIZE: "256" }],
    ["secret", [[12, "s3cret"]], {}],
    ["req_attribute, free", [[10, "MYVAR", "hello"], [10, "JK_LB_ACTIVATION", "ACT"]], {
      MYVAR: "hello",
      JK_LB_ACTIVATION: "ACT",
    }],
    ["req_attribute, without a value", [[10, "MYVAR", null]], {}],
    ["req_attribute, without a name", [[10, null, "x"]], { "": "x" }],
    ["AJP_LOCAL_ADDR", [[10, "AJP_LOCAL_ADDR", "127.0.0.1"]], { SERVER_ADDR: "127.0.0.1" }],
    ["AJP_SSL_PROTOCOL", [[10, "AJP_SSL_PROTOCOL", "TLSv1.3"]], { SSL_PROTOCOL: "TLSv1.3" }],
    ["req_attribute with the name of a property", [[10, "toString", "x"], [10, "__proto__", "y"]], {
      toString: "x",
      ["__proto__"]: "y",
    }],
    ["none", [], {}],
  ];
  for (const [name, attributes, params] of table) {
    test(name, () => {
      const expected = [...Object.entries(plain).filter(([key]) => !Object.hasOwn(params, key)), ...Object.entries(params)]
        .sort();
      assert.deepEqual(Object.entries(read({ attributes })).sort(), expected);
      // The end of the attributes may be missing.
      assert.deepEqual(Object.entries(read({ attributes, terminated: false })).sort(), expected);
    });
  }

  test("AJP_REMOTE_PORT shows that the sender follows the protocol", () => {
    const request = readForwardRequest(forwardPayload({ attributes: [[10, "AJP_REMOTE_PORT", "4711"]] }));
    assert.equal(request.params.get("REMOTE_PORT"), "4711");
    assert.equal(request.conformant, true);
    for (const attributes of [[], [[5, "REMOTE_PORT"]], [[10, "X", "REMOTE_PORT"]]] as Forward["attributes"][]) {
      assert.equal(readForwardRequest(forwardPayload({ attributes })).conformant, false);
    }
  });

  test("secret is reported, and is not a param", () => {
    const { secrets, params } = readForwardRequest(forwardPayload({ attributes: [[12, "s3cret"]] }));
    assert.deepEqual(secrets, ["s3cret"]);
    assert.ok(!params.pairs.includes("s3cret"));
    assert.deepEqual(readForwardRequest(forwardPayload({ attributes: [[12, null], [12, "a"]] })).secrets, [undefined, "a"]);
  });

  test("of a number that is unknown is an error", () => {
    for (const code of [0, 14, 100, 254]) {
      assert.throws(() => read({ attributes: [[code, "x"]] }), new ProtocolError(`The AJP attribute ${code} is not known`));
    }
  });

  test("of a free name cannot say what the request is (CVE-2020-1938)", () => {
    const guarded = [
      "AUTH_TYPE CONTENT_LENGTH CONTENT_TYPE CONTEXT_PATH DOCUMENT_ROOT GATEWAY_INTERFACE HTTPS HTTP_COOKIE HTTP_HOST",
      "HTTP_X_FORWARDED_FOR JVM_ROUTE PATH_INFO PATH_TRANSLATED QUERY_STRING REDIRECT_HTTP_AUTHORIZATION REDIRECT_URL",
      "REMOTE_ADDR REMOTE_HOST REMOTE_PORT REMOTE_USER REQUEST_METHOD REQUEST_SCHEME REQUEST_URI SCRIPT_FILENAME",
      "SCRIPT_NAME SERVER_ADDR SERVER_NAME SERVER_PORT SERVER_PROTOCOL SERVER_SOFTWARE SERVLET_PATH SSL_CIPHER",
      "SSL_CIPHER_USEKEYSIZE SSL_CLIENT_CERT SSL_PROTOCOL SSL_SESSION_ID",
    ].flatMap((row) => row.split(" "));
    const attributes = guarded.map((name) => [10, name, "evil"] as const);
    assert.deepEqual(read({ attributes }), plain);
    // What Ghostcat set are names like any other: nothing here looks at them.
    const ghostcat = { "javax.servlet.include.path_info": "/WEB-INF/web.xml" };
    assert.deepEqual(read({ attributes: [[10, ...Object.entries(ghostcat)[0]]] }), { ...plain, ...ghostcat });
  });
});

describe("the request", () => {
  test("has the visitor, the target and the connection", () => {
    const values = {
      protocol: "HTTP/1.0",
      uri: "/a%20b",
      remoteAddr: "192.0.2.1",
      remoteHost: "visitor",
      serverName: "h",
      port: 8443,
      ssl: 1,
    };
    const { params } = readForwardRequest(forwardPayload({ ...values, attributes: [] }));
    assert.deepEqual({ ...params.toRecord() }, {
      GATEWAY_INTERFACE: "CGI/1.1",
      SERVER_PROTOCOL: "HTTP/1.0",
      REQUEST_METHOD: "GET",
      REQUEST_SCHEME: "https",
      HTTPS: "on",
      REQUEST_URI: "/a%20b",
      SCRIPT_NAME: "",
      PATH_INFO: "/a b",
      REMOTE_ADDR: "192.0.2.1",
      REMOTE_HOST: "visitor",
      SERVER_NAME: "h",
      SERVER_PORT: "8443",
      QUERY_STRING: "",
    });
  });

  test("may have the null string for all its strings", () => {
    const { params } = readForwardRequest(forwardPayload({ protocol: null, uri: null, attributes: [] }));
    assert.deepEqual(
      params.pairs.join(" "),
      "GATEWAY_INTERFACE CGI/1.1 REQUEST_METHOD GET REQUEST_SCHEME http REQUEST_URI / SCRIPT_NAME  PATH_INFO / SERVER_PORT 80 QUERY_STRING ",
    );
  });

  test("keeps the bytes of a path, and decodes them once", () => {
    assert.equal(read({ uri: "/%C3%A9/%2541%zz%4" }).PATH_INFO, "/é/%41%zz%4");
  });

  test("of lighttpd, which has decoded the path, keeps that apart from the query", () => {
    const { REQUEST_URI, PATH_INFO } = read({ uri: "/why?/x", attributes: [[5, "a=b"]] });
    assert.deepEqual({ REQUEST_URI, PATH_INFO }, { REQUEST_URI: "/why%3F/x?a=b", PATH_INFO: "/why?/x" });
  });

  test("of lighttpd is not decoded once more, where it has looked who may see it", () => {
    for (const decoded of ["/%2e/private", "/%2e%2e/private", "/%70rivate", "/private%2fa", "/100%"]) {
      const { REQUEST_URI, PATH_INFO } = read({ uri: decoded, attributes: [[5, "a=%20"]] });
      assert.deepEqual([REQUEST_URI, PATH_INFO], [`${decoded.replaceAll("%", "%25")}?a=%20`, decoded]);
    }
    // Others are known by the name of the visitor or by the port.
    assert.equal(read({ uri: "/a%20b", remoteHost: "visitor", attributes: [] }).PATH_INFO, "/a b");
    assert.equal(read({ uri: "/a%20b" }).PATH_INFO, "/a b");
  });

  test("that ends early is an error wherever it does", () => {
    const payload = forwardPayload({ headers: [[0xa00b, "h"], ["x", "y"]], attributes: [[5, "q"], [11, 128]] });
    const expected = text(payload);
    let taken = 0;
    for (let length = 1; length < payload.length; length++) {
      try {
        readForwardRequest(payload.slice(0, length));
        taken++;
      } catch (error) {
        assert.ok(error instanceof ProtocolError, String(error));
        assert.equal(error.message, "An AJP packet ends before what it holds", expected);
      }
    }
    // Behind the headers, and behind each of two attributes.
    assert.equal(taken, 3);
  });
});

describe("a request that is written", () => {
  test("is byte for byte what the reference says", () => {
    const params = Params.from(Object.entries({
      REQUEST_METHOD: "POST",
      REQUEST_URI: "/p?q",
      SERVER_PROTOCOL: "HTTP/1.1",
      REMOTE_ADDR: "::1",
      SERVER_NAME: "h",
      SERVER_PORT: "443",
      HTTPS: "on",
      REMOTE_PORT: "9",
      CONTENT_LENGTH: "3",
      HTTP_X: "y",
    }));
    const expected = hex(`
      1234 0053  02 04
      0008 485454502f312e31 00  0002 2f70 00  0003 3a3a31 00  ffff  0001 68 00  01bb  01
      0002  a008 0001 33 00  0001 78 00 0001 79 00
      05 0001 71 00  0c 0001 73 00
      0a 000f 414a505f52454d4f54455f504f5254 00 0001 39 00
      ff`);
    assert.equal(toHex(writeForwardRequest(params, "s", 8192)), toHex(expected));
  });

  test("is read as it was", () => {
    const values = {
      REQUEST_METHOD: "PATCH",
      REQUEST_URI: "/a%20b?x=%20",
      SERVER_PROTOCOL: "HTTP/1.1",
      REMOTE_ADDR: "192.0.2.1",
      REMOTE_HOST: "visitor",
      SERVER_NAME: "example.com",
      SERVER_PORT: "8443",
      HTTPS: "on",
      QUERY_STRING: "x=%20",
      CONTENT_TYPE: "text/plain",
      CONTENT_LENGTH: "5",
      HTTP_HOST: "example.com:8443",
      HTTP_X_NAME: "é",
      CONTEXT_PATH: "/c",
      SERVLET_PATH: "/s",
      REMOTE_USER: "me",
      AUTH_TYPE: "Basic",
      JVM_ROUTE: "r",
      SSL_CLIENT_CERT: "pem",
      SSL_CIPHER: "c",
      SSL_SESSION_ID: "id",
      SSL_PROTOCOL: "TLSv1.3",
      REMOTE_PORT: "4711",
      SERVER_ADDR: "192.0.2.2",
      MYVAR: "mine",
    };
    const made = { GATEWAY_INTERFACE: "CGI/1.1", REQUEST_SCHEME: "https", SCRIPT_NAME: "", PATH_INFO: "/a b" };
    const sorted = (record: Record<string, string>) => Object.entries(record).sort();
    assert.deepEqual(sorted(there(values)), sorted({ ...values, ...made }));
  });

  test("has no length and no type where there is none", () => {
    const seen = there({ CONTENT_LENGTH: "", CONTENT_TYPE: "" });
    assert.deepEqual([seen.CONTENT_LENGTH, seen.CONTENT_TYPE], [undefined, undefined]);
  });

  test("that does not fit into a packet is an error, and one that just fits is not", () => {
    const values = (length: number) => Params.from([["HTTP_X", "x".repeat(length)]]);
    const base = writeForwardRequest(values(0), undefined, 8192).length;
    for (const packetSize of [8192, 65536]) {
      assert.equal(writeForwardRequest(values(packetSize - base), undefined, packetSize).length, packetSize);
      assert.throws(
        () => writeForwardRequest(values(packetSize - base + 1), undefined, packetSize),
        new RangeError(`The AJP request has ${packetSize + 1} bytes, at most ${packetSize} fit into a packet`),
      );
    }
  });
});
