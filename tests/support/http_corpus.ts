/**
 * Requests that two readers may understand differently: where one of them takes a part of a body for a request, or the
 * other way round, a request can be smuggled past the first. Each is what a client sends; what comes behind it is up to the
 * test.
 *
 * @module
 */

/** A message, and what this project makes of it. */
export interface Sample {
  name: string;
  message: string;
  /** Why it is refused, with the section that says so. Without it, all requests in it are taken. */
  refused?: string;
}

const host = "Host: h\r\n";
/** A request in the place of a body. */
export const hidden = `GET /hidden HTTP/1.1\r\n${host}\r\n`;
const get = (line: string, fields = "") => `${line}\r\n${host}${fields}\r\n`;
const post = (fields: string, body: string) => `POST /post HTTP/1.1\r\n${host}${fields}\r\n${body}`;
const chunked = (body: string, fields = "") => post(`Transfer-Encoding: chunked\r\n${fields}`, body);
const sized = (body: string, fields = "") => post(`Content-Length: ${body.length}\r\n${fields}`, body);
const last = "0\r\n\r\n";
/** A body in chunks that hides a request from readers that see the coding, and shows it to those that do not. */
const end = `${last}${hidden}`;

type Taken = [name: string, message: string];
type Refused = [name: string, why: string, message: string];

const taken: Taken[] = [
  ["a GET", get("GET /get HTTP/1.1")],
  ["a POST with a length", sized("body")],
  ["a POST in chunks", chunked(`4\r\nbody\r\n${last}`)],
  ["a POST without a body", post("", "")],
  ["a POST with nothing for a body", sized("")],
  ["a body that looks like a request", sized(hidden)],
  ["a chunk that looks like a request", chunked(`${hidden.length.toString(16)}\r\n${hidden}\r\n${last}`)],
  ["a body that looks like the last chunk", sized(end)],
  ["a chunk that looks like the last", chunked(`5\r\n${last}\r\n${last}`)],
  ["a GET with a body", get("GET /get HTTP/1.1", `Content-Length: ${hidden.length}\r\n`) + hidden],
  ["a GET with a body in chunks", get("GET /get HTTP/1.1", "Transfer-Encoding: chunked\r\n") + `4\r\nbody\r\n${last}`],
  ["a HEAD with a body", get("HEAD /head HTTP/1.1", `Content-Length: ${hidden.length}\r\n`) + hidden],
  ["a DELETE with a body", get("DELETE /delete HTTP/1.1", "Content-Length: 4\r\n") + "body"],
  ["an OPTIONS with a body", get("OPTIONS /options HTTP/1.1", "Content-Length: 4\r\n") + "body"],
  ["two requests at once", get("GET /1 HTTP/1.1") + get("GET /2 HTTP/1.1")],
  ["five requests at once", Array.from({ length: 5 }, (_, i) => get(`GET /${i} HTTP/1.1`)).join("")],
  ["a POST and a GET at once", sized("body") + get("GET /2 HTTP/1.1")],
  ["a POST in chunks and a GET at once", chunked(`4\r\nbody\r\n${last}`) + get("GET /2 HTTP/1.1")],
  ["three with bodies at once", sized("1") + chunked(`1\r\n2\r\n${last}`) + sized("3")],
  ["a HEAD and a GET at once", get("HEAD /head HTTP/1.1") + get("GET /2 HTTP/1.1")],
  ["a response without a body, and a GET at once", get("GET /204 HTTP/1.1") + get("GET /2 HTTP/1.1")],
  ["a response that is not modified, and a GET at once", get("GET /304 HTTP/1.1") + get("GET /2 HTTP/1.1")],
  ["a HEAD for a response in parts", get("HEAD /parts HTTP/1.1") + get("GET /2 HTTP/1.1")],
  ["a response in parts", get("GET /parts HTTP/1.1") + get("GET /2 HTTP/1.1")],
  ["an answer before the body was read", sized("x".repeat(20_000)).replace("/post", "/early") + get("GET /2 HTTP/1.1")],
  ["an empty line before it", `\r\n${get("GET /get HTTP/1.1")}`],
  ["an empty line between two", `${sized("body")}\r\n${get("GET /2 HTTP/1.1")}`],
  ["a length in capitals", post("CONTENT-LENGTH: 4\r\n", "body")],
  ["a length in small letters", post("content-length: 4\r\n", "body")],
  ["a length without a blank", post("Content-Length:4\r\n", "body")],
  ["a length between blanks", post("Content-Length:   4  \r\n", "body")],
  ["a length with a zero in front", post("Content-Length: 04\r\n", "body")],
  ["a length of sixteen digits", post(`Content-Length: ${"0".repeat(15)}4\r\n`, "body")],
  ["a coding in capitals", post("TRANSFER-ENCODING: CHUNKED\r\n", `4\r\nbody\r\n${last}`)],
  ["a coding without a blank", post("Transfer-Encoding:chunked\r\n", `4\r\nbody\r\n${last}`)],
  ["a coding between blanks", post("Transfer-Encoding:  chunked \r\n", `4\r\nbody\r\n${last}`)],
  ["a field whose name only begins as a length", post("Content-Lengths: 33\r\n", "") + get("GET /2 HTTP/1.1")],
  ["a field whose name only ends as a length", post("X-Content-Length: 33\r\n", "") + get("GET /2 HTTP/1.1")],
  ["a length with an underscore", post("Content_Length: 33\r\n", "") + get("GET /2 HTTP/1.1")],
  ["a coding with an underscore", post("Transfer_Encoding: chunked\r\n", "") + get("GET /2 HTTP/1.1")],
  ["a length with an underscore beside one", post("Content-Length: 4\r\nContent_Length: 33\r\n", "body")],
  ["a length with dots for hyphens", post("Content.Length: 33\r\n", "") + get("GET /2 HTTP/1.1")],
  ["a length in the value of a field", post("X: Content-Length: 33\r\n", "") + get("GET /2 HTTP/1.1")],
  ["a chunk with an extension", chunked(`4;a\r\nbody\r\n${last}`)],
  ["a chunk with an extension and a value", chunked(`4;a=b\r\nbody\r\n${last}`)],
  ["a chunk with a quoted value", chunked(`4;a="b;c"\r\nbody\r\n${last}`)],
  ["a chunk with a quoted quote", chunked(`4;a="b\\"c"\r\nbody\r\n${last}`)],
  ["a chunk with two extensions", chunked(`4;a=b;c\r\nbody\r\n${last}`)],
  ["a last chunk with an extension", chunked("4\r\nbody\r\n0;a=b\r\n\r\n")],
  ["a last chunk of several zeros", chunked("4\r\nbody\r\n000\r\n\r\n")],
  ["a chunk with zeros before its size", chunked(`0004\r\nbody\r\n${last}`)],
  ["sizes in letters of both kinds", chunked(`A\r\n0123456789\r\nb\r\n0123456789x\r\n${last}`)],
  ["many small chunks", chunked(`${"1\r\nx\r\n".repeat(50)}${last}`)],
  ["a trailer", chunked("4\r\nbody\r\n0\r\nX: y\r\n\r\n")],
  ["two trailers", chunked("4\r\nbody\r\n0\r\nX: y\r\nZ:\r\n\r\n")],
  ["a trailer that is announced", chunked("4\r\nbody\r\n0\r\nX: y\r\n\r\n", "Trailer: X\r\n")],
  ["a trailer whose value looks like a request", chunked("4\r\nbody\r\n0\r\nX: GET /hidden HTTP/1.1\r\n\r\n")],
  ["a trailer with a name of routing", chunked("4\r\nbody\r\n0\r\nHost: other\r\n\r\n")],
  ["TE beside a body in chunks", chunked(`4\r\nbody\r\n${last}`, "TE: trailers, chunked\r\nConnection: TE\r\n")],
  ["absolute form", get("GET http://h/absolute HTTP/1.1")],
  ["absolute form for another host", get("GET http://other/absolute HTTP/1.1")],
  ["absolute form with a port", get("GET http://h:81/absolute?a=b HTTP/1.1")],
  ["absolute form with a query alone", get("GET http://h?a=b HTTP/1.1")],
  ["absolute form without a path", get("GET http://h HTTP/1.1")],
  ["absolute form of https", get("GET https://h/absolute HTTP/1.1")],
  ["absolute form in capitals", get("GET HTTP://H/absolute HTTP/1.1")],
  ["absolute form with a body", `POST http://other/post HTTP/1.1\r\n${host}Content-Length: 4\r\n\r\nbody`],
  ["asterisk form", get("OPTIONS * HTTP/1.1")],
  ["a target of two slashes", get("GET //other/path HTTP/1.1")],
  ["a target with a URL in it", get("GET /http://other/ HTTP/1.1")],
  ["a target with a line end, encoded", get("GET /a%0d%0aContent-Length:%2033 HTTP/1.1")],
  ["a target with NUL, encoded", get("GET /a%00b HTTP/1.1")],
  ["a target with dots", get("GET /a/../b/./c HTTP/1.1")],
  ["a target with dots, encoded", get("GET /a/%2e%2e/b/c HTTP/1.1")],
  ["a target with brackets and quotes", get('GET /a"<>{}|\\^`[b] HTTP/1.1')],
  ["a target with a fragment", get("GET /a#b HTTP/1.1")],
  ["a target with a wrong percent", get("GET /a%zz% HTTP/1.1")],
  ["a target that is not ASCII", get("GET /\xc3\xa9 HTTP/1.1")],
  ["a target that is not UTF-8", get("GET /\xe9?\xff HTTP/1.1")],
  ["a long target", get(`GET /${"a".repeat(2000)} HTTP/1.1`)],
  ["a long query", get(`GET /a?${"a".repeat(2000)} HTTP/1.1`)],
  ["a long value", get("GET /get HTTP/1.1", `X: ${"x".repeat(3000)}\r\n`)],
  ["a long name", get("GET /get HTTP/1.1", `${"x".repeat(200)}: y\r\n`)],
  ["sixty fields", get("GET /get HTTP/1.1", Array.from({ length: 60 }, (_, i) => `X-${i}: y\r\n`).join(""))],
  ["a value that is not ASCII", get("GET /get HTTP/1.1", "X: \xc3\xa9\xff\r\n")],
  ["a value with a tab", get("GET /get HTTP/1.1", "X: a\tb\r\n")],
  ["a name of all characters that one may have", get("GET /get HTTP/1.1", "!#$%&'*+-.^_`|~9aZ: y\r\n")],
  ["a field without a value", get("GET /get HTTP/1.1", "X:\r\n")],
  ["an empty Host", "GET /get HTTP/1.1\r\nHost:\r\n\r\n"],
  ["a Host with a port", "GET /get HTTP/1.1\r\nHost: h:81\r\n\r\n"],
  ["a Host with an empty port", "GET /get HTTP/1.1\r\nHost: h:\r\n\r\n"],
  ["a Host in IPv6", "GET /get HTTP/1.1\r\nHost: [::1]:81\r\n\r\n"],
  ["a Host behind other fields", "GET /get HTTP/1.1\r\nX: y\r\nHost: h\r\n\r\n"],
  ["a method that nobody knows", get("BREW /brew HTTP/1.1")],
  ["a method with a hyphen", get("M-SEARCH /search HTTP/1.1")],
  ["TRACE", get("TRACE /trace HTTP/1.1")],
  ["PATCH with a body", "PATCH /patch HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"],
  ["Connection that names the length", sized("body", "Connection: Content-Length\r\n")],
  ["Connection that names the coding", chunked(`4\r\nbody\r\n${last}`, "Connection: Transfer-Encoding\r\n")],
  ["Connection that names Host", get("GET /get HTTP/1.1", "Connection: Host\r\n")],
  ["Connection of many options", get("GET /get HTTP/1.1", "Connection: X, keep-alive,, Y\r\nX: y\r\n")],
  ["Connection twice", get("GET /get HTTP/1.1", "Connection: X\r\nConnection: keep-alive\r\n")],
  ["Keep-Alive", get("GET /get HTTP/1.1", "Keep-Alive: timeout=5, max=1\r\nConnection: keep-alive\r\n")],
  ["Proxy-Connection", get("GET /get HTTP/1.1", "Proxy-Connection: close\r\n")],
  [
    "Upgrade to h2c",
    get(
      "GET /get HTTP/1.1",
      "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    ),
  ],
  ["Upgrade to h2c with a body", sized("body", "Connection: Upgrade\r\nUpgrade: h2c\r\n")],
  [
    "Upgrade to a WebSocket of no version",
    get("GET /get HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n"),
  ],
  ["Upgrade to nothing", get("GET /get HTTP/1.1", "Connection: Upgrade\r\n")],
  ["Expect", sized("body", "Expect: 100-continue\r\n")],
  ["Expect in capitals", sized("body", "Expect: 100-CONTINUE\r\n")],
  ["Expect with a body in chunks", chunked(`4\r\nbody\r\n${last}`, "Expect: 100-continue\r\n")],
  ["Expect without a body", get("GET /get HTTP/1.1", "Expect: 100-continue\r\n")],
  ["Expect with nothing for a body", sized("", "Expect: 100-continue\r\n")],
  [
    "Expect of a GET with a body",
    get("GET /get HTTP/1.1", `Expect: 100-continue\r\nContent-Length: ${hidden.length}\r\n`) + hidden,
  ],
  ["Expect with a body, and a GET at once", sized("body", "Expect: 100-continue\r\n") + get("GET /2 HTTP/1.1")],
  [
    "Expect with a body in chunks, and a GET at once",
    chunked(`4\r\nbody\r\n${last}`, "Expect: 100-continue\r\n") + get("GET /2 HTTP/1.1"),
  ],
  [
    "Expect with a body that looks like a request, and a GET at once",
    sized(hidden, "Expect: 100-continue\r\n") + get("GET /2 HTTP/1.1"),
  ],
  [
    "Upgrade to h2c with a body that looks like its preface",
    sized("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
  ],
  [
    "Upgrade to h2c with a body in chunks",
    chunked(`4\r\nbody\r\n${last}`, "Connection: Upgrade\r\nUpgrade: h2c\r\n") + get("GET /2 HTTP/1.1"),
  ],
  ["Upgrade to TLS", get("GET /get HTTP/1.1", "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n")],
  ["Upgrade that Connection does not name", sized("body", "Upgrade: h2c\r\n")],
  ["nothing for a body, and a GET at once", sized("") + get("GET /2 HTTP/1.1")],
  [
    "a HEAD with a body in chunks, and a GET at once",
    get("HEAD /head HTTP/1.1", "Transfer-Encoding: chunked\r\n") + `4\r\nbody\r\n${last}` + get("GET /2 HTTP/1.1"),
  ],
  [
    "a body for a response without one, and a GET at once",
    sized(hidden).replace("/post", "/304") + get("GET /2 HTTP/1.1"),
  ],
  ["a coding before many blanks", post(`Transfer-Encoding: chunked${" ".repeat(300)}\r\n`, `4\r\nbody\r\n${last}`)],
  ["a length between many blanks", post(`Content-Length:${" ".repeat(300)}4${" ".repeat(300)}\r\n`, "body")],
  ["chunked for the encoding of the content", sized(end, "Content-Encoding: chunked\r\n")],
  ["chunked for TE alone", sized(end, "TE: chunked\r\nConnection: TE\r\n")],
  ["chunked in a field of another name", sized(end, "Transfer-Encodings: chunked\r\nX-Transfer-Encoding: chunked\r\n")],
  ["a length that a trailer announces", chunked(`4\r\nbody\r\n${last}`, "Trailer: Content-Length\r\n")],
  ["a trailer that closes", chunked("4\r\nbody\r\n0\r\nConnection: close\r\n\r\n")],
  ["a trailer that expects", chunked("4\r\nbody\r\n0\r\nExpect: 100-continue\r\n\r\n")],
  ["a chunk with a long extension", chunked(`4;a=${"b".repeat(3000)}\r\nbody\r\n${last}`)],
  ["a chunk with an extension that looks like a size", chunked(`4;0=0\r\nbody\r\n${last}`)],
  ["absolute form for another host, with a body in chunks", chunked(end).replace("/post", "http://other/post")],
  ["absolute form with an empty port", get("GET http://h:/absolute HTTP/1.1")],
  ["absolute form with two slashes", get("GET http://h//other/path HTTP/1.1")],
  [
    "a target with a line end and a request, encoded",
    get("GET /a%20HTTP/1.1%0d%0aHost:%20other%0d%0a%0d%0aGET%20/hidden HTTP/1.1"),
  ],
  ["a rewritten method in a field", sized("body", "X-HTTP-Method-Override: PUT\r\n")],
  ["a rewritten target in a field", get("GET /get HTTP/1.1", "X-Original-URL: /hidden\r\nX-Rewrite-URL: /hidden\r\n")],
  ["Proxy, which CGI takes for a setting", get("GET /get HTTP/1.1", "Proxy: http://other/\r\n")],
  ["the id of the proxy, forged", get("GET /get HTTP/1.1", "X-Seen: forged\r\n")],
  ["the id of the proxy, forged with an underscore", get("GET /get HTTP/1.1", "X_Seen: forged\r\n")],
  ["the id of the proxy in a hop-by-hop list", get("GET /get HTTP/1.1", "Connection: X-Seen\r\n")],
  [
    "Range, conditions and encodings",
    get("GET /get HTTP/1.1", 'Range: bytes=0-0\r\nIf-None-Match: "a"\r\nAccept-Encoding: gzip\r\n'),
  ],
];

const lines = "RFC 9112, 2.2: a line ends with CRLF, and readers differ about a lone LF or CR";
const whitespace = "RFC 9112, 5.1: no whitespace before the colon";
const folding = "RFC 9112, 5.2: fields in several lines are obsolete, and refused";
const token = "RFC 9110, 5.6.2: a name is a token";
const control = "RFC 9110, 5.5: no control characters in a value";
const start = "RFC 9112, 3: one blank between method, target and version";
const form = "RFC 9112, 3.2: the target has one of four forms";
const hostRule = "RFC 9112, 3.2: HTTP/1.1 has one Host, which is valid";
const both = "RFC 9112, 6.3: a length beside a coding may be an attack";
const lengths = "RFC 9112, 6.3: one length, since readers may take the first, the last, or all";
const digits = "RFC 9110, 8.6: a length consists of digits";
const coding = "RFC 9112, 6.1 and 6.3: a coding that is not known, or whose end cannot be found";
const blanks = "RFC 9110, 5.6.3: some readers trim only blanks";
const chunkSize = "RFC 9112, 7.1: a size is of hexadecimal digits, without signs, blanks or overflow";
const extension = "RFC 9112, 7.1.1: an extension is a token, perhaps with a value";
const chunkEnd = "RFC 9112, 7.1: a chunk ends with CRLF";
const trailer = "RFC 9112, 7.1.2: a trailer is a field";
const trailerName = "RFC 9110, 6.5.1: no framing in trailers";
const version = "RFC 9112, 2.3: HTTP/1.0 or HTTP/1.1, case-sensitive";
const oldCoding = "RFC 9112, 6.1: no coding before HTTP/1.1";
const method = "RFC 9110, 9.1: methods are case-sensitive";
const expectation = "RFC 9110, 10.1.1: 417 for what cannot be met";

const refused: Refused[] = [
  // Both framings.
  ["a length, then a coding", both, post(`Content-Length: ${end.length}\r\nTransfer-Encoding: chunked\r\n`, end)],
  ["a short length, then a coding", both, post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", end)],
  ["a coding, then a length", both, chunked(end, `Content-Length: ${end.length}\r\n`)],
  ["a coding, then a short length", both, chunked(`1\r\nx\r\n${last}`, "Content-Length: 3\r\n")],
  ["a length of 0 beside a coding", both, chunked(`4\r\nbody\r\n${last}`, "Content-Length: 0\r\n")],
  ["a GET with both", both, get("GET /get HTTP/1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + end],
  ["both, with a coding that is not known", both, post("Content-Length: 4\r\nTransfer-Encoding: x\r\n", "body")],
  ["both, with identity", both, post("Content-Length: 4\r\nTransfer-Encoding: identity\r\n", "body")],
  // Lengths.
  ["two lengths", lengths, post(`Content-Length: ${hidden.length}\r\nContent-Length: 0\r\n`, hidden)],
  ["two lengths, the other way round", lengths, post(`Content-Length: 0\r\nContent-Length: ${hidden.length}\r\n`, hidden)],
  ["the same length twice", lengths, post("Content-Length: 4\r\nContent-Length: 4\r\n", "body")],
  ["the same length twice, in other letters", lengths, post("Content-Length: 4\r\ncontent-length: 4\r\n", "body")],
  ["a list of lengths", digits, post(`Content-Length: 0, ${hidden.length}\r\n`, hidden)],
  ["a list of the same length", digits, post("Content-Length: 4, 4\r\n", "body")],
  ["a list with an empty length", digits, post("Content-Length: 4,\r\n", "body")],
  ["a length with a plus", digits, post("Content-Length: +4\r\n", "body")],
  ["a length with a minus", digits, post("Content-Length: -4\r\n", "body")],
  ["a length in hexadecimal", digits, post("Content-Length: 0x4\r\n", "body")],
  ["a length with a fraction", digits, post("Content-Length: 4.0\r\n", "body")],
  ["a length with an exponent", digits, post("Content-Length: 4e0\r\n", "body")],
  ["a length of two numbers", digits, post("Content-Length: 4 4\r\n", "body")],
  ["a length with an underscore in its digits", digits, post("Content-Length: 3_3\r\n", hidden)],
  ["a length of letters", digits, post("Content-Length: four\r\n", "body")],
  ["an empty length", digits, post("Content-Length:\r\n", hidden)],
  ["a length in quotes", digits, post('Content-Length: "4"\r\n', "body")],
  ["a length in digits that are not ASCII", digits, post("Content-Length: \xb2\r\n", "xx")],
  ["a length with many zeros in front", digits, post(`Content-Length: ${"0".repeat(30)}4\r\n`, "body")],
  ["a length past 64 bits", digits, post("Content-Length: 18446744073709551620\r\n", "body")],
  ["a length past what is counted exactly", digits, post("Content-Length: 9007199254740993\r\n", "body")],
  ["a length behind a tab", blanks, post("Content-Length:\t4\r\n", "body")],
  ["a length before a tab", blanks, post("Content-Length: 4\t\r\n", "body")],
  ["a length before a vertical tab", control, post("Content-Length: 4\x0b\r\n", "body")],
  ["a length behind a form feed", control, post("Content-Length: \x0c4\r\n", "body")],
  ["a length behind NUL", control, post("Content-Length: \x004\r\n", "body")],
  ["a length behind a no-break space", digits, post("Content-Length: \xa04\r\n", "body")],
  // Names and lines of lengths.
  ["a blank before the colon of a length", whitespace, post("Content-Length : 33\r\n", hidden)],
  ["a tab before the colon of a length", whitespace, post("Content-Length\t: 33\r\n", hidden)],
  ["a blank before the colon of a coding", whitespace, post("Transfer-Encoding : chunked\r\n", end)],
  ["a tab before the colon of a coding", whitespace, post("Transfer-Encoding\t: chunked\r\n", end)],
  ["a vertical tab before the colon of a coding", control, post("Transfer-Encoding\x0b: chunked\r\n", end)],
  ["NUL in the name of a length", control, post("Content-Length\0: 33\r\n", hidden)],
  ["NUL before the name of a length", control, post("\0Content-Length: 33\r\n", hidden)],
  ["a blank within the name of a length", token, post("Content Length: 33\r\n", hidden)],
  ["a blank before the first field", folding, `GET /get HTTP/1.1\r\n ${host}\r\n`],
  ["a first field that hides in the request line", folding, `POST /post HTTP/1.1\r\n Content-Length: 33\r\n${host}\r\n${hidden}`],
  ["a coding in a line that goes on", folding, post("X: y\r\n Transfer-Encoding: chunked\r\n", end)],
  ["a coding in its second line", folding, post("Transfer-Encoding:\r\n chunked\r\n", end)],
  ["a coding in a second line behind a tab", folding, post("Transfer-Encoding:\r\n\tchunked\r\n", end)],
  ["a length in its second line", folding, post("Content-Length:\r\n 33\r\n", hidden)],
  ["a length that goes on", folding, post("Content-Length: 3\r\n 3\r\n", hidden)],
  ["a length in a line that goes on", folding, post("X: y\r\n\tContent-Length: 33\r\n", hidden)],
  ["a line of blanks within a head", folding, post(" \r\nContent-Length: 33\r\n", hidden)],
  ["a line without a colon", token, get("GET /get HTTP/1.1", "Content-Length 33\r\n")],
  ["a line without a name", token, get("GET /get HTTP/1.1", ": 33\r\n")],
  ["a name in quotes", token, post('"Content-Length": 33\r\n', hidden)],
  ["a name in brackets", token, get("GET /get HTTP/1.1", "(X): y\r\n")],
  ["a name that is not ASCII", token, get("GET /get HTTP/1.1", "X\xa0: y\r\n")],
  ["NUL in a value", control, get("GET /get HTTP/1.1", "X: a\0b\r\n")],
  ["a backspace in a value", control, get("GET /get HTTP/1.1", "X: a\bb\r\n")],
  ["DEL in a value", control, get("GET /get HTTP/1.1", "X: a\x7fb\r\n")],
  ["a vertical tab in a value", control, get("GET /get HTTP/1.1", "X: a\x0bb\r\n")],
  // Line ends.
  ["lines that end with LF", lines, get("GET /get HTTP/1.1").replaceAll("\r\n", "\n")],
  ["lines that end with CR", lines, get("GET /get HTTP/1.1").replaceAll("\r\n", "\r")],
  ["a request line that ends with LF", lines, `GET /get HTTP/1.1\n${host}\r\n`],
  ["a head that ends with LF", lines, `GET /get HTTP/1.1\r\n${host}\n`],
  ["a head that ends with two LF", lines, `GET /get HTTP/1.1\r\nHost: h\n\n`],
  ["a head that ends with CR", lines, `GET /get HTTP/1.1\r\n${host}\r`],
  ["a head that ends with LF CR LF", lines, `GET /get HTTP/1.1\r\nHost: h\n\r\n`],
  ["a length behind a LF", lines, post("X: y\nContent-Length: 33\r\n", hidden)],
  ["a coding behind a LF", lines, post("X: y\nTransfer-Encoding: chunked\r\n", end)],
  ["a length behind a CR", lines, post("X: y\rContent-Length: 33\r\n", hidden)],
  ["a coding behind a CR", lines, post("X: y\rTransfer-Encoding: chunked\r\n", end)],
  ["a length behind LF and CR", lines, post("X: y\n\rContent-Length: 33\r\n", hidden)],
  ["a length behind two CR", lines, post("X: y\r\r\nContent-Length: 33\r\n", hidden)],
  ["a CR before a name", lines, post("\rContent-Length: 33\r\n", hidden)],
  ["a CR within a length", lines, post("Content-Length: 3\r3\r\n", hidden)],
  ["a LF before the request", lines, `\n${get("GET /get HTTP/1.1")}`],
  ["a CR before the request", lines, `\r${get("GET /get HTTP/1.1")}`],
  ["three empty lines before the request", lines, `\r\n\r\n\r\n${get("GET /get HTTP/1.1")}`],
  ["a CR in the target", lines, get("GET /a\rb HTTP/1.1")],
  // Codings.
  ["identity", coding, post("Transfer-Encoding: identity\r\n", hidden)],
  ["gzip before chunked", coding, post("Transfer-Encoding: gzip, chunked\r\n", end)],
  ["chunked before gzip", coding, post("Transfer-Encoding: chunked, gzip\r\n", end)],
  ["identity before chunked", coding, post("Transfer-Encoding: identity, chunked\r\n", end)],
  ["chunked before identity", coding, post("Transfer-Encoding: chunked, identity\r\n", end)],
  ["chunked twice in one field", coding, post("Transfer-Encoding: chunked, chunked\r\n", end)],
  ["chunked twice in two fields", coding, chunked(end, "Transfer-Encoding: chunked\r\n")],
  ["chunked, then identity in a second field", coding, chunked(end, "Transfer-Encoding: identity\r\n")],
  [
    "identity, then chunked in a second field",
    coding,
    post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", end),
  ],
  ["chunked, then cow in a second field", coding, chunked(end, "Transfer-encoding: cow\r\n")],
  ["xchunked", coding, post("Transfer-Encoding: xchunked\r\n", end)],
  ["chunkedx", coding, post("Transfer-Encoding: chunkedx\r\n", end)],
  ["chunk", coding, post("Transfer-Encoding: chunk\r\n", end)],
  ["chunked in quotes", coding, post('Transfer-Encoding: "chunked"\r\n', end)],
  ["chunked in single quotes", coding, post("Transfer-Encoding: 'chunked'\r\n", end)],
  ["chunked with a parameter", coding, post("Transfer-Encoding: chunked;x=y\r\n", end)],
  ["chunked in brackets", coding, post("Transfer-Encoding: {chunked}\r\n", end)],
  ["chunked behind a comma", coding, post("Transfer-Encoding: ,chunked\r\n", end)],
  ["chunked before a comma", coding, post("Transfer-Encoding: chunked,\r\n", end)],
  ["chunked behind a second colon", coding, post("Transfer-Encoding:: chunked\r\n", end)],
  ["chunked in letters that are not ASCII", coding, post("Transfer-Encoding: chun\xe2\x84\xaaed\r\n", end)],
  ["an empty coding", coding, post("Transfer-Encoding:\r\n", hidden)],
  ["chunked behind a tab", blanks, post("Transfer-Encoding:\tchunked\r\n", end)],
  ["chunked before a tab", blanks, post("Transfer-Encoding: chunked\t\r\n", end)],
  ["chunked behind a vertical tab", control, post("Transfer-Encoding: \x0bchunked\r\n", end)],
  ["chunked before a form feed", control, post("Transfer-Encoding: chunked\x0c\r\n", end)],
  ["chunked behind a no-break space", coding, post("Transfer-Encoding: \xa0chunked\r\n", end)],
  ["chunked behind NUL", control, post("Transfer-Encoding: \0chunked\r\n", end)],
  [
    "a coding in HTTP/1.0",
    oldCoding,
    `POST /post HTTP/1.0\r\n${host}Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n${end}`,
  ],
  // Chunks.
  ["a size with a plus", chunkSize, chunked(`+4\r\nbody\r\n${last}`)],
  ["a size with a minus", chunkSize, chunked(`-4\r\nbody\r\n${last}`)],
  ["a size with 0x", chunkSize, chunked(`0x4\r\nbody\r\n${last}`)],
  ["a size with an underscore", chunkSize, chunked(`0_4\r\nbody\r\n${last}`)],
  ["a size behind a blank", chunkSize, chunked(` 4\r\nbody\r\n${last}`)],
  ["a size before a blank", chunkSize, chunked(`4 \r\nbody\r\n${last}`)],
  ["a size before a tab", chunkSize, chunked(`4\t\r\nbody\r\n${last}`)],
  ["a size before NUL", chunkSize, chunked(`4\0\r\nbody\r\n${last}`)],
  ["a size before a comma", chunkSize, chunked(`4,\r\nbody\r\n${last}`)],
  ["a size of letters", chunkSize, chunked(`four\r\nbody\r\n${last}`)],
  ["an empty size", chunkSize, chunked(`\r\nbody\r\n${last}`)],
  ["a size past 32 bits", chunkSize, chunked(`100000004\r\nbody\r\n${last}`)],
  ["a size past 64 bits", chunkSize, chunked(`10000000000000004\r\nbody\r\n${last}`)],
  ["a size that is negative in 64 bits", chunkSize, chunked(`fffffffffffffffc\r\nbody\r\n${last}`)],
  ["a size with many zeros in front", chunkSize, chunked(`${"0".repeat(20)}4\r\nbody\r\n${last}`)],
  ["a size that ends with LF", lines, chunked(`4\nbody\r\n${last}`)],
  ["a size that ends with CR", lines, chunked(`4\rbody\r\n${last}`)],
  ["a size that ends with two CR", lines, chunked(`4\r\r\nbody\r\n${last}`)],
  ["an extension without a name", extension, chunked(`4;\r\nbody\r\n${last}`)],
  ["an extension behind a blank", extension, chunked(`4 ;a\r\nbody\r\n${last}`)],
  ["an extension with blanks around its value", extension, chunked(`4;a = b\r\nbody\r\n${last}`)],
  ["an extension that is not closed", extension, chunked(`4;a="b\r\nbody\r\n${last}`)],
  ["an extension with a line end in quotes", extension, chunked(`4;a="\r\nx"\r\nbody\r\n${last}`)],
  ["an extension with a LF", lines, chunked(`4;\nxx\r\nbody\r\n${last}`)],
  ["an extension with a LF that hides a chunk", lines, chunked(`2;\nxx\r\n2d\r\nab\r\n0\r\n\r\n${hidden}${last}`)],
  ["an extension with a CR", lines, chunked(`4;a\rb\r\nbody\r\n${last}`)],
  ["a chunk that is shorter than its data", chunkEnd, chunked(`3\r\nbody\r\n${last}`)],
  ["a chunk that is longer than its data", chunkEnd, chunked(`6\r\nbody\r\n${last}`)],
  ["a chunk without an end", chunkEnd, chunked(`4\r\nbody${last}`)],
  ["a chunk with two other bytes for its end", chunkEnd, chunked(`4\r\nbodyXX${last}`)],
  ["a chunk that ends with LF", chunkEnd, chunked(`4\r\nbody\n${last}`)],
  ["a chunk that ends with CR", chunkEnd, chunked(`4\r\nbody\r${last}`)],
  ["a chunk that ends with two LF", chunkEnd, chunked(`4\r\nbody\n\n${last}`)],
  ["a last chunk without its empty line", trailer, chunked(`4\r\nbody\r\n0\r\n${hidden}`)],
  ["a last chunk that ends with LF", lines, chunked("4\r\nbody\r\n0\n\r\n")],
  ["an empty line of LF behind the last chunk", lines, chunked("4\r\nbody\r\n0\r\n\n")],
  ["a trailer without a colon", trailer, chunked("4\r\nbody\r\n0\r\nX\r\n\r\n")],
  ["a trailer with a blank before its colon", trailer, chunked("4\r\nbody\r\n0\r\nX : y\r\n\r\n")],
  ["a trailer in two lines", trailer, chunked("4\r\nbody\r\n0\r\nX: y\r\n z\r\n\r\n")],
  ["a trailer that ends with LF", lines, chunked("4\r\nbody\r\n0\r\nX: y\n\r\n")],
  ["a length for a trailer", trailerName, chunked(`4\r\nbody\r\n0\r\nContent-Length: ${hidden.length}\r\n\r\n`)],
  ["a coding for a trailer", trailerName, chunked("4\r\nbody\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n")],
  ["a trailer with NUL", control, chunked("4\r\nbody\r\n0\r\nX: \0\r\n\r\n")],
  // Request lines.
  ["HTTP/0.9", start, "GET /get\r\n\r\n"],
  ["HTTP/0.9 with fields", start, `GET /get\r\n${host}\r\n`],
  ["the version HTTP/0.9", version, get("GET /get HTTP/0.9")],
  ["the version HTTP/1.2", version, get("GET /get HTTP/1.2")],
  ["the version HTTP/2.0", version, get("GET /get HTTP/2.0")],
  ["the preface of HTTP/2", version, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ["the version HTTP/1.10", version, get("GET /get HTTP/1.10")],
  ["the version HTTP/01.1", version, get("GET /get HTTP/01.1")],
  ["the version HTTP/1", version, get("GET /get HTTP/1")],
  ["the version HTTP/1,1", version, get("GET /get HTTP/1,1")],
  ["the version http/1.1", version, get("GET /get http/1.1")],
  ["another protocol", version, get("GET /get ICE/1.1")],
  ["two blanks behind the method", start, get("GET  /get HTTP/1.1")],
  ["two blanks before the version", start, get("GET /get  HTTP/1.1")],
  ["a blank behind the version", start, get("GET /get HTTP/1.1 ")],
  ["a blank before the method", start, get(" GET /get HTTP/1.1")],
  ["tabs between the parts", start, get("GET\t/get\tHTTP/1.1")],
  ["a vertical tab between the parts", start, get("GET\x0b/get HTTP/1.1")],
  ["a blank in the target", start, get("GET /a b HTTP/1.1")],
  ["a version in the target", start, get("GET /a HTTP/1.1 HTTP/1.1")],
  ["a tab in the target", form, get("GET /a\tb HTTP/1.1")],
  ["NUL in the target", form, get("GET /a\0b HTTP/1.1")],
  ["a method in small letters", method, get("get /get HTTP/1.1")],
  ["a method that is not a token", token, get("G@T /get HTTP/1.1")],
  ["no method", start, get(" /get HTTP/1.1")],
  ["a target without a slash", form, get("GET get HTTP/1.1")],
  ["a target that begins with a query", form, get("GET ?a=b HTTP/1.1")],
  ["a target that begins with @", form, get("GET @other/get HTTP/1.1")],
  ["authority form", form, get("GET h:80 HTTP/1.1")],
  ["CONNECT", form, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"],
  ["* for a GET", form, get("GET * HTTP/1.1")],
  ["absolute form of another scheme", form, get("GET ftp://h/get HTTP/1.1")],
  ["absolute form without a host", form, get("GET http:///get HTTP/1.1")],
  ["absolute form with a user", form, get("GET http://h@other/get HTTP/1.1")],
  // Hosts.
  ["no Host", hostRule, "GET /get HTTP/1.1\r\nX: y\r\n\r\n"],
  ["no fields", hostRule, "GET /get HTTP/1.1\r\n\r\n"],
  ["absolute form without Host", hostRule, "GET http://h/get HTTP/1.1\r\n\r\n"],
  ["two Hosts", hostRule, get("GET /get HTTP/1.1", "Host: other\r\n")],
  ["the same Host twice", hostRule, get("GET /get HTTP/1.1", host)],
  ["a second Host with a blank before its colon", whitespace, get("GET /get HTTP/1.1", "Host : other\r\n")],
  ["a second Host in a line that goes on", folding, get("GET /get HTTP/1.1", " Host: other\r\n")],
  ["a Host with a path", hostRule, "GET /get HTTP/1.1\r\nHost: h/other\r\n\r\n"],
  ["a Host with a user", hostRule, "GET /get HTTP/1.1\r\nHost: h@other\r\n\r\n"],
  ["a Host of two", hostRule, "GET /get HTTP/1.1\r\nHost: h, other\r\n\r\n"],
  ["a Host with a blank", hostRule, "GET /get HTTP/1.1\r\nHost: h other\r\n\r\n"],
  ["a Host with a port of letters", hostRule, "GET /get HTTP/1.1\r\nHost: h:port\r\n\r\n"],
  ["a Host with two ports", hostRule, "GET /get HTTP/1.1\r\nHost: h:80:81\r\n\r\n"],
  // Expectations.
  ["another expectation", expectation, sized("body", "Expect: coffee\r\n")],
  ["an expectation before another", expectation, sized("body", "Expect: 100-continue, coffee\r\n")],
  ["an expectation in two fields", expectation, sized("body", "Expect: 100-continue\r\nExpect: coffee\r\n")],
  ["an expectation behind a word", expectation, sized("body", "Expect: y 100-continue\r\n")],
  ["an expectation in a second line", folding, sized("body", "Expect:\r\n 100-continue\r\n")],
  // Of two kinds at once.
  ["the same length three times in a list", digits, post("Content-Length: 5, 5, 5\r\n", "12345")],
  ["a list of the same length, with a zero in front", digits, post("Content-Length: 4, 04\r\n", "body")],
  ["a length and an empty one", lengths, post("Content-Length: 4\r\nContent-Length:\r\n", "body")],
  ["a length with a parameter", digits, post("Content-Length: 4;x=y\r\n", "body")],
  ["a length in digits of another script", digits, post("Content-Length: \xd9\xa4\r\n", "body")],
  ["a length, and a line of blanks that continues it", folding, post("Content-Length: 4\r\n \r\n", "body")],
  ["a coding, and a line of blanks that continues it", folding, post("Transfer-Encoding: chunked\r\n\t\r\n", end)],
  ["a coding in HTTP/1.0 that is not kept", oldCoding, `POST /post HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n${end}`],
  [
    "a length beside a coding in HTTP/1.0",
    both,
    `POST /post HTTP/1.0\r\n${host}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${end}`,
  ],
  ["a coding between identity", coding, post("Transfer-Encoding: identity, chunked, identity\r\n", end)],
  ["chunked without a comma", coding, post("Transfer-Encoding: chunked identity\r\n", end)],
  ["chunked with a weight", coding, post("Transfer-Encoding: chunked;q=0\r\n", end)],
  ["chunked before a second colon", coding, post("Transfer-Encoding: chunked:\r\n", end)],
  ["chunked, then an empty coding in a second field", coding, chunked(end, "Transfer-Encoding:\r\n")],
  ["an expectation twice", expectation, sized("body", "Expect: 100-continue\r\nExpect: 100-continue\r\n")],
  ["an expectation with a parameter", expectation, sized("body", "Expect: 100-continue;x=y\r\n")],
  ["an expectation before a blank and a colon", whitespace, sized("body", "Expect : 100-continue\r\n")],
  ["an expectation behind NUL", control, sized("body", "Expect: \x00100-continue\r\n")],
  ["an Upgrade in a second line", folding, sized("body", "Connection: Upgrade\r\nUpgrade:\r\n h2c\r\n")],
  ["a Host in its second line", folding, "GET /get HTTP/1.1\r\nHost:\r\n h\r\n\r\n"],
  ["a Host that goes on", folding, "GET /get HTTP/1.1\r\nHost: h\r\n .other\r\n\r\n"],
  ["a Host that goes on behind a tab", folding, "GET /get HTTP/1.1\r\nHost: h\r\n\t, other\r\n\r\n"],
  ["a Host behind LF alone", lines, "GET /get HTTP/1.1\r\nX: y\nHost: h\r\n\r\n"],
  ["NUL in a Host", control, "GET /get HTTP/1.1\r\nHost: h\0.other\r\n\r\n"],
  ["a backslash in a Host", hostRule, "GET /get HTTP/1.1\r\nHost: h\\other\r\n\r\n"],
  ["a fragment in a Host", hostRule, "GET /get HTTP/1.1\r\nHost: h#other\r\n\r\n"],
  ["a bracket in a Host that is not closed", hostRule, "GET /get HTTP/1.1\r\nHost: [::1\r\n\r\n"],
  ["absolute form with a backslash", form, get("GET http://h\\other/get HTTP/1.1")],
  ["absolute form without its slashes", form, get("GET http:h/get HTTP/1.1")],
  ["absolute form with NUL", control, get("GET http://h\0other/get HTTP/1.1")],
  ["NUL in the method", control, get("GE\0T /get HTTP/1.1")],
  ["NUL behind the version", control, get("GET /get HTTP/1.1\0")],
  ["NUL before the request", control, `\0${get("GET /get HTTP/1.1")}`],
  ["a request line that ends with two CR", lines, `GET /get HTTP/1.1\r\r\n${host}\r\n`],
  ["a response", start, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["a size and an extension behind LF", lines, chunked(`4\n;a\r\nbody\r\n${last}`)],
  ["a size behind a NUL", chunkSize, chunked(`\x004\r\nbody\r\n${last}`)],
  ["a size and two semicolons", extension, chunked(`4;;a\r\nbody\r\n${last}`)],
  ["an extension that a blank ends", extension, chunked(`4;a \r\nbody\r\n${last}`)],
  ["an extension of more than any size needs", extension, chunked(`4;a=${"b".repeat(20_000)}\r\nbody\r\n${last}`)],
  ["a last chunk of too many zeros", chunkSize, chunked(`4\r\nbody\r\n${"0".repeat(17)}\r\n\r\n`)],
  [
    "a coding for a trailer, behind others",
    trailerName,
    chunked("4\r\nbody\r\n0\r\nX: y\r\nTransfer-Encoding : chunked\r\n\r\n"),
  ],
];

/** Old clients, whose connection ends with the response unless they ask. What comes behind is no request then. */
const old: Taken[] = [
  ["HTTP/1.0", "GET /get HTTP/1.0\r\n\r\n"],
  ["HTTP/1.0 with Host", `GET /get HTTP/1.0\r\n${host}\r\n`],
  ["HTTP/1.0 with a length", `POST /post HTTP/1.0\r\n${host}Content-Length: 4\r\n\r\nbody`],
  ["HTTP/1.0 with a body that has no length", `POST /post HTTP/1.0\r\n${host}\r\nbody`],
  ["HTTP/1.0 with Expect", `POST /post HTTP/1.0\r\n${host}Expect: 100-continue\r\nContent-Length: 4\r\n\r\nbody`],
  ["HTTP/1.0 with close and keep-alive", `GET /get HTTP/1.0\r\n${host}Connection: keep-alive, close\r\n\r\n`],
  ["the last of two", get("GET /1 HTTP/1.1") + get("GET /2 HTTP/1.1", "Connection: close\r\n")],
  ["the last, with a body", sized("body", "Connection: close\r\n")],
  ["the last, in capitals", get("GET /get HTTP/1.1", "Connection: CLOSE\r\n")],
  ["the last, in a list", get("GET /get HTTP/1.1", "Connection: X, close\r\n")],
  ["the last, in the second field", get("GET /get HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n")],
];

/** Old clients that ask. */
const kept: Taken[] = [
  ["HTTP/1.0 that is kept", `GET /get HTTP/1.0\r\n${host}Connection: keep-alive\r\n\r\n`],
  [
    "HTTP/1.0 that is kept, with a length",
    `POST /post HTTP/1.0\r\n${host}Connection: Keep-Alive\r\nContent-Length: 4\r\n\r\nbody`,
  ],
  ["HTTP/1.0 that is kept, with a response in parts", `GET /parts HTTP/1.0\r\n${host}Connection: keep-alive\r\n\r\n`],
];

const sample = ([name, message]: Taken): Sample => ({ name, message });

/** Requests with others behind them. */
export const samples: readonly Sample[] = [
  ...[...taken, ...kept].map(sample),
  ...refused.map(([name, refused, message]): Sample => ({ name, message, refused })),
];

/** Requests with which their connection ends. */
export const lastSamples: readonly Sample[] = old.map(sample);

const MIB = 1024 * 1024;

/** Too large to be cut everywhere, and past what any reader should take. */
export const largeSamples: readonly Sample[] = [
  { name: "an extension of 1 MiB", message: chunked(`4;a=${"b".repeat(MIB)}\r\nbody\r\n${last}`) },
  { name: "a quoted extension of 1 MiB", message: chunked(`4;a="${"b".repeat(MIB)}"\r\nbody\r\n${last}`) },
  { name: "extensions of 1 MiB for few bytes", message: chunked(`${`1;${"a".repeat(1000)}\r\nx\r\n`.repeat(1024)}${last}`) },
  { name: "a trailer of 1 MiB", message: chunked(`4\r\nbody\r\n0\r\nX: ${"y".repeat(MIB)}\r\n\r\n`) },
  { name: "trailers of 1 MiB", message: chunked(`4\r\nbody\r\n0\r\n${`X: ${"y".repeat(100)}\r\n`.repeat(10_000)}\r\n`) },
  { name: "a value of 1 MiB", message: get("GET /get HTTP/1.1", `X: ${"y".repeat(MIB)}\r\n`) },
];

/** A request that ends its connection. */
const closing = `GET /closing HTTP/1.1\r\n${host}Connection: close\r\n\r\n`;

/**
 * Has whoever reads a message come to an end, whatever they make of it: bodies that are still missing are filled, and the
 * first request behind them ends the connection.
 */
export const finish = get("GET /next HTTP/1.1") + closing.repeat(8);
