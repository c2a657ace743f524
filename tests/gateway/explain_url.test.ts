import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { explainUrl } from "../../src/gateway/explain_url.ts";
import { requestMount, requestUrl, type UrlOptions } from "../../src/gateway/url.ts";
import { Params } from "../../src/protocol/params.ts";
import { replay } from "../../src/server/replay.ts";
import { fixture, fixtureNames } from "../support/bytes.ts";

/** Params of all requests in recorded traffic. */
async function recorded(name: string): Promise<Params[]> {
  const found: Params[] = [];
  await replay(fixture(name), {
    handler: () => new Response(null, { status: 204 }),
    onError() {},
    onRequest: ({ params }) => void found.push(params),
  });
  return found;
}

/** The parts by name. */
function parts(params: Record<string, string>, options?: Parameters<typeof explainUrl>[1]): Record<string, string[]> {
  const { parts, ignored } = explainUrl(Params.from(Object.entries(params)), options);
  const found = Object.fromEntries(parts.map(({ part, value, from }) => [part, [value, ...from]]));
  return { ...found, ignored: ignored.map(({ name }) => name) };
}

describe("an explanation", () => {
  test("is of the very URL and mount that the application sees, for all recorded traffic", async () => {
    let count = 0;
    for (const name of (["fcg", "scgi", "uwsgi", "ajp", "jk"] as const).flatMap(fixtureNames)) {
      for (const params of await recorded(name)) {
        if (params.pairs.length === 0) continue;
        count++;
        const { url, mount, parts } = explainUrl(params);
        assert.equal(url, requestUrl(params), name);
        assert.deepEqual(mount, requestMount(params), name);
        const told = Object.fromEntries(parts.map(({ part, value }) => [part, value]));
        // The parts make up the whole URL.
        assert.equal(new URL(`${told.scheme}://${told.host}:${told.port}${told.path}`).href, new URL(url!).href, name);
        assert.equal(told.mount, mount.scriptName || "the root of the host", name);
        for (const { from } of parts) {
          for (const param of from) assert.ok(params.get(param) !== undefined, param);
        }
      }
    }
    assert.ok(count > 140, String(count));
  });

  test("shows where the scheme comes from", () => {
    const scheme = (params: Record<string, string>) => parts(params).scheme;
    assert.deepEqual(scheme({ HTTPS: "ON", REQUEST_SCHEME: "http" }), ["https", "HTTPS"]);
    assert.deepEqual(scheme({ HTTPS: "", REQUEST_SCHEME: "https" }), ["https", "REQUEST_SCHEME"]);
    assert.deepEqual(scheme({}), ["http"]);
    assert.deepEqual(parts({ HTTPS: "on", REQUEST_SCHEME: "http" }).ignored, ["REQUEST_SCHEME"]);
  });

  test("shows where the host and the port come from", () => {
    const host = (params: Record<string, string>) => (({ host, port }) => [host, port])(parts(params));
    assert.deepEqual(host({ HTTP_HOST: "a:81", SERVER_NAME: "b" }), [["a", "HTTP_HOST"], ["81", "HTTP_HOST"]]);
    assert.deepEqual(host({ HTTP_HOST: "[::1]" }), [["[::1]", "HTTP_HOST"], ["80"]]);
    assert.deepEqual(host({ REQUEST_URI: "http://c/x", HTTP_HOST: "a" }), [["c", "REQUEST_URI"], ["80"]]);
    assert.deepEqual(host({ SERVER_NAME: "b", SERVER_PORT: "82" })[1], ["82", "SERVER_NAME", "SERVER_PORT"]);
    assert.deepEqual(host({ HTTP_HOST: "a", SERVER_PORT: "82", SERVER_SOFTWARE: "nginx/1" })[1], [
      "82",
      "HTTP_HOST",
      "SERVER_PORT",
    ]);
    assert.equal(explainUrl(Params.from([["HTTP_HOST", "a/b"]])).url, undefined);
  });

  test("shows where the mount comes from", () => {
    const mount = (params: Record<string, string>) => parts({ REQUEST_URI: "/a/b", ...params }).mount;
    assert.deepEqual(mount({ SCRIPT_NAME: "/a", PATH_INFO: "/b" }), ["/a", "PATH_INFO"]);
    assert.deepEqual(mount({ SCRIPT_NAME: "/x", PATH_INFO: "/else" }), ["/x", "PATH_INFO"]);
    const typed = (params: Record<string, string>) =>
      parts({ REQUEST_URI: "/a/b", ...params }, { urls: { urlFrom: "visitor" } }).mount;
    assert.deepEqual(typed({ SCRIPT_NAME: "/a", PATH_INFO: "/else" }), ["/a", "SCRIPT_NAME"]);
    assert.deepEqual(typed({ SCRIPT_NAME: "/x", PATH_INFO: "/else" }), ["the root of the host"]);
    assert.deepEqual(mount({ SCRIPT_NAME: "/a/b", PATH_INFO: "" }), ["/a/b", "SCRIPT_NAME", "PATH_INFO"]);
    assert.deepEqual(mount({ SCRIPT_NAME: "/a/app.fcgi", REDIRECT_URL: "/a/b" }), ["/a", "SCRIPT_NAME", "REDIRECT_URL"]);
    assert.deepEqual(mount({ REQUEST_URI: "", SCRIPT_NAME: "/a" }), ["/a", "SCRIPT_NAME"]);
  });

  test("shows whose URL it is, and why", () => {
    const path = (params: Record<string, string>, urls?: UrlOptions) => {
      const { parts, ignored } = explainUrl(Params.from(Object.entries({ REQUEST_URI: "/a?x", ...params })), { urls });
      const { value, from, reason } = parts.find(({ part }) => part === "path")!;
      return [value, from.join(" "), reason, ...ignored.map(({ name, reason }) => `${name}: ${reason}`)];
    };
    assert.deepEqual(path({ QUERY_STRING: "x" }), [
      "/a?x",
      "REQUEST_URI",
      "as the visitor typed it",
      "QUERY_STRING: REQUEST_URI has it",
    ]);
    const dots = path({ REQUEST_URI: "/p/..%2fa?x", SCRIPT_NAME: "/a" });
    assert.deepEqual(dots, ["/a?x", "REQUEST_URI", "as the visitor typed it, with its dot segments resolved", ...dots.slice(3)]);
    assert.deepEqual(path({ QUERY_STRING: "y&x" }), [
      "/a?y&x",
      "REQUEST_URI QUERY_STRING",
      "as the visitor typed it, with the query that a rewrite has set",
    ]);
    assert.deepEqual(path({ SCRIPT_NAME: "/app.fcgi" }, { frontControllers: ["/app.fcgi"] }).slice(0, 3), [
      "/a?x",
      "REQUEST_URI",
      "as the visitor typed it: the web server went to the program itself, /app.fcgi",
    ]);
    assert.deepEqual(path({ DOCUMENT_URI: "/auth", QUERY_STRING: "y" }), [
      "/auth?y",
      "DOCUMENT_URI QUERY_STRING",
      "where the web server went, in a subrequest or after an internal redirect",
      "REQUEST_URI: what the visitor typed, in info.visitorUrl; the web server went elsewhere",
    ]);
    assert.deepEqual(path({ PATH_INFO: "/auth", QUERY_STRING: "y" }, { urlFrom: "visitor" }).slice(0, 3), [
      "/a?x",
      "REQUEST_URI",
      "urlfrom=visitor says so",
    ]);
    assert.deepEqual(
      path({ DOCUMENT_URI: "/a", QUERY_STRING: "y" }, { urlFrom: "visitor" }).at(-1),
      "QUERY_STRING: urlfrom=visitor says that REQUEST_URI counts",
    );
    assert.deepEqual(path({ PATH_INFO: "/a" }, { urlFrom: "target" })[2], "urlfrom=target says so");
  });

  test("shows who the visitor is, and which sender is not trusted", () => {
    const forwarded = {
      REMOTE_ADDR: "10.0.0.1",
      HTTP_X_FORWARDED_FOR: "1.2.3.4",
      HTTP_FORWARDED: "for=5.6.7.8",
      HTTP_PROXY: "x",
    };
    assert.deepEqual(parts(forwarded).visitor, ["10.0.0.1", "REMOTE_ADDR"]);
    assert.deepEqual(parts(forwarded).ignored, ["HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_PROXY"]);
    assert.deepEqual(parts(forwarded, { protocol: "http" }).ignored, parts(forwarded).ignored);
    assert.deepEqual(parts(forwarded, { protocol: "http", trusted: true, uses: () => true }).ignored, [
      "HTTP_FORWARDED",
      "HTTP_PROXY",
    ]);
    assert.deepEqual(parts({}).visitor, ["unknown"]);
  });

  test("shows what comes twice", () => {
    const { ignored } = explainUrl(new Params(["HTTP_HOST", "a", "HTTP_HOST", "b"]));
    assert.deepEqual(ignored, [{ name: "HTTP_HOST", value: "a", reason: "it comes twice, and the last counts" }]);
  });
});
