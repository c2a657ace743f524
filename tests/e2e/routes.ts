/**
 * What applications of frameworks and other programs answer in tests.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { ask, open, Question } from "../support/http.ts";
import { multipart, urlencoded } from "./protocols.ts";

export type Visit = (path: string, question?: Question) => ReturnType<typeof ask>;

interface Routes {
  /** Bytes of the file that is uploaded. */
  size?: number;
  /** Where the redirect leads. */
  moved?: string;
}

/**
 * A page, and what {@linkcode checkAnswers} asks.
 *
 * @param host of the URLs that a visitor sees
 */
export async function checkRoutes(visit: Visit, host: string, routes?: Routes): Promise<void> {
  const page = await visit("/");
  assert.equal(page.status, 200);
  assert.match(page.text, /<h1>Hello<\/h1>/);
  assert.match(page.headers["content-type"] as string, /^text\/html/);
  await checkAnswers(visit, host, routes);
}

/** Cookies, a form, an upload, a redirect and errors. */
export async function checkAnswers(
  visit: Visit,
  host: string,
  { size = 300_000, moved = "/new?a=1" }: Routes = {},
): Promise<void> {
  const post = (path: string, question: Question) =>
    visit(path, { ...question, headers: { ...question.headers, origin: `http://${host}` } });
  const first = await visit("/visits");
  assert.equal(first.text, "1");
  const cookie = first.headers["set-cookie"]!.map((line) => line.split(";")[0]).join("; ");
  assert.equal((await visit("/visits", { headers: { cookie } })).text, "2");

  const form = await post("/form", urlencoded({ name: "Jürgen M", empty: "" }));
  assert.deepEqual(JSON.parse(form.text), { name: "Jürgen M", empty: "" });

  const upload = await post("/upload", multipart({ title: "A title" }, { name: "a.txt", text: `${"x".repeat(size - 1)}!` }));
  // Nest has created something.
  assert.ok([200, 201].includes(upload.status), upload.text);
  assert.deepEqual(JSON.parse(upload.text), { title: "A title", name: "a.txt", size, last: "!".charCodeAt(0) });

  const { status, headers } = await visit("/old");
  const { href } = new URL(headers.location!, `http://${host}`);
  assert.deepEqual({ status, href }, { status: 302, href: `http://${host}${moved}` });

  assert.equal((await visit("/throw")).status, 500);
  assert.equal((await visit("/nowhere")).status, 404);
}

/** Events come one by one: the second is sent when the first has come to all of these visitors. */
export async function checkEvents(
  visitors: number,
  start: (path: string) => ReturnType<typeof open>,
  visit: Visit,
): Promise<void> {
  let come = 0;
  const allHaveCome = Promise.withResolvers<void>();
  const ids = Array.from({ length: visitors }, () => crypto.randomUUID());
  await Promise.all(ids.map(async (id) => {
    const { status, headers, body } = await start(`/events?id=${id}`);
    assert.equal(status, 200);
    assert.match(headers["content-type"]!, /^text\/event-stream/);
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of body) {
      text += decoder.decode(bytes, { stream: true });
      if (text !== "data: first\n\n") continue;
      if (++come === visitors) allHaveCome.resolve();
      await allHaveCome.promise;
      await visit(`/events?seen=${id}`);
    }
    assert.equal(text, "data: first\n\ndata: second\n\n");
  }));
}
