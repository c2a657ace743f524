/** What the doctor makes of a site's answers: above all, what it does not take for wrong. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";
import { describe, test } from "node:test";
import { doctorReply } from "../../src/app/doctor_reply.ts";
import { configText } from "../../src/config/servers.ts";
import type { Finding } from "../../src/doctor/finding.ts";
import type { Place } from "../../src/doctor/htaccess.ts";
import { visit } from "../../src/doctor/visit.ts";
import { workplace } from "../support/words.ts";

const { site } = workplace();
const source = "export default () => new Response();\n";
const folder = site({ ".htaccess": configText(["apache-shared"]), "mysite.ts": source });
const place = {
  htaccess: { path: join(folder, ".htaccess"), text: configText(["apache-shared"]) },
  program: join(folder, "mysite.fcgi"),
  app: join(folder, "mysite.ts"),
};

type Answers = (message: IncomingMessage, response: ServerResponse) => void;

/** What is found at a site that answers like this, and where this program answers the doctor. */
function found(answer: Answers, at: Place = place, refusesBodies = false): Promise<Record<string, Finding>> {
  return foundAt((message, response) => {
    const [, nonce] = /\/runfcgi-doctor\/([0-9a-f]{32})$/.exec(message.url!) ?? [];
    if (nonce === undefined || refusesBodies && message.headers["content-length"]) answer(message, response);
    else response.end(doctorReply(nonce));
  }, at);
}

/** What is found at a site where somebody else answers. */
async function foundAt(answer: Answers, at: Place = place, who = ""): Promise<Record<string, Finding>> {
  const server = createServer((message, response) => {
    message.resume();
    message.on("end", () => answer(message, response));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as { port: number };
    const findings = await visit(new URL(`http://${who}127.0.0.1:${port}/`), at);
    return Object.fromEntries(findings.map((finding) => [finding.check, finding]));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const states = (findings: Record<string, Finding>) => Object.values(findings).map(({ check, state }) => `${check}: ${state}`);

describe("a visit finds nothing wrong", () => {
  const fine = ["web server: ok", "private files: ok", "uploads: ok"];
  for (
    const [name, status, headers] of [
      ["where the application knows no page", 404, {}],
      ["where the application wants to know who comes", 401, { "www-authenticate": "Basic" }],
      ["where the application lets nobody in", 403, {}],
      ["where the application leads to another page", 303, { location: "/login" }],
      ["where it leads to another page by its URL", 303, { location: "http://HOST/login" }],
    ] as const
  ) {
    test(name, async () => {
      const findings = await found(({ headers: { host } }, response) => {
        const own = Object.entries(headers).map(([key, value]) => [key, value.replace("HOST", host!)]);
        response.writeHead(status, Object.fromEntries(own)).end("text");
      });
      assert.deepEqual(states(findings), fine);
    });
  }

  test("where there is no .htaccess, and the application knows no page", async () => {
    const findings = await found((_message, response) => response.writeHead(404).end("text"), { htaccess: { path: "/none" } });
    assert.deepEqual(states(findings), ["web server: ok", "uploads: ok"]);
  });

  test("where a page never ends", async () => {
    const findings = await found((_message, response) => {
      response.on("error", () => {});
      const more = () => void (!response.destroyed && response.write("x".repeat(16_384), () => setTimeout(more, 1)));
      more();
    });
    assert.deepEqual(states(findings), fine);
  });

  test("where somebody between takes no GET with a body, but says that it was not seen", async () => {
    const findings = await found(
      (message, response) => response.writeHead(message.headers["content-length"] ? 403 : 200).end(),
      place,
      true,
    );
    assert.deepEqual(states(findings), ["web server: ok", "private files: ok", "uploads: not checked"]);
  });
});

describe("a visit finds", () => {
  test("a site that leads elsewhere, and says where", async () => {
    const findings = await found((_message, response) => response.writeHead(301, { location: "https://example.org/" }).end());
    assert.deepEqual(states(findings), ["web server: note", "private files: ok"]);
    assert.match(findings["web server"].fix!, /url=https:\/\/example\.org\/$/);
  });

  test("a source that is shown", async () => {
    const findings = await found((message, response) => response.end(message.url === "/mysite.ts" ? source : "text"));
    assert.deepEqual(states(findings), ["web server: ok", "private files: problem", "uploads: ok"]);
  });

  test("a site that nobody answers for", async () => {
    const [finding] = await visit(new URL("http://127.0.0.1:9/"), place);
    assert.match(finding.text, /does not answer/);
  });

  const elsewhere: [what: string, answer: Answers, text: RegExp, fix: RegExp][] = [
    [
      "a folder with a password",
      (_message, response) => response.writeHead(401, { "www-authenticate": "Basic" }).end(),
      /asks for a password before the program is asked/,
      /url=http:\/\/USER:PASSWORD@127\.0\.0\.1:\d+\/\n.*remove AuthType/,
    ],
    [
      "a WordPress",
      (_message, response) => response.end('<link href="/wp-content/themes/x.css">'),
      /200 by a WordPress/,
      /into the folder of this site/,
    ],
    [
      "the default page of a web server",
      (_message, response) => response.end("<title>Apache2 Debian Default Page: It works</title>"),
      /the web server's own page/,
      /ServerName, DocumentRoot/,
    ],
    [
      "a maintenance page",
      (_message, response) => response.writeHead(503, { "retry-after": "600" }).end("<h1>Maintenance</h1>"),
      /503 by a maintenance page/,
      /Switch it off/,
    ],
    [
      "a PHP program",
      (_message, response) => response.setHeader("x-powered-by", "PHP/8.3").end("shop"),
      /by a PHP program \(PHP\/8\.3\)/,
      /index\.php/,
    ],
    [
      "a subfolder without .htaccess",
      (message, response) =>
        message.url === "/"
          ? response.end("an index page")
          : response.writeHead(404).end("The requested URL was not found on this server"),
      /404 by Apache: it does not lead visitors to the program/,
      /AllowOverride All/,
    ],
    [
      "another site",
      (_message, response) => response.end("a shop"),
      /is answered with 200, but not by this program/,
      /which folder/,
    ],
  ];
  for (const [what, answer, text, fix] of elsewhere) {
    for (const at of [place, { remote: true }]) {
      test(`${what}${at === place ? "" : ", from another computer"}`, async () => {
        const { "web server": finding } = await foundAt(answer, at);
        assert.equal(finding.state, "problem");
        assert.match(finding.text, text);
        assert.match(finding.fix!, fix);
      });
    }
  }

  test("the user and the password of the URL, which are sent and not shown", async () => {
    const asksFor: Answers = (message, response) => {
      if (message.headers.authorization !== `Basic ${btoa("me:a b")}`) return void response.writeHead(401).end();
      const [, nonce] = /\/([0-9a-f]{32})$/.exec(message.url!) ?? [];
      response.end(nonce ? doctorReply(nonce) : "text");
    };
    const right = await foundAt(asksFor, place, "me:a%20b@");
    assert.equal(right["web server"].state, "ok");
    assert.doesNotMatch(right["web server"].text, /me:/);
    const refused = await foundAt(asksFor, place, "me:wrong@");
    assert.match(refused["web server"].text, /refuses the user and the password/);
  });

  test("a PHP program on the first page of a site whose other pages are the program's", async () => {
    const { "web server": finding } = await found((message, response) => {
      response.setHeader("x-powered-by", message.url === "/" ? "PHP/8.3" : "").end("shop");
    });
    assert.equal(finding.state, "note");
    assert.match(finding.text, /with 200 by a PHP program \(PHP\/8\.3\)$/);
  });

  test("Cloudflare and LiteSpeed in front", async () => {
    const findings = await found((_message, response) =>
      response.setHeader("cf-ray", "1").setHeader("server", "LiteSpeed").end()
    );
    assert.deepEqual([findings.Cloudflare.state, findings.LiteSpeed.state], ["note", "note"]);
  });

  test("files that are private, by what is in them, and not a page that answers all paths", async () => {
    const all: Answers = (message, response) =>
      response.end(message.url === "/.env" ? "DB_PASSWORD=x\n" : "<!doctype html>const export [core]");
    const { "private files": finding } = await found(all, { remote: true });
    assert.match(finding.text, /^visitors can read "\/\.env"$/);
    assert.match(finding.fix!, /^Put these lines into the \.htaccess/);
    const none = await found((_message, response) => response.end("<!doctype html>const export [core]"), { remote: true });
    assert.equal(none["private files"].state, "ok");
  });

  test("that nginx gives files away by their endings, although the .htaccess is right", async () => {
    const folder = site({ ".htaccess": place.htaccess.text, "mysite.ts": source, "backup.zip": "PK all of it" });
    const at = { htaccess: { path: join(folder, ".htaccess"), text: place.htaccess.text } };
    const { "private files": finding } = await found((message, response) => {
      response.setHeader("server", "nginx").end(message.url === "/backup.zip" ? "PK all of it" : "text");
    }, at);
    assert.match(finding.text, /^visitors can read "\/backup\.zip"$/);
    assert.match(finding.fix!, /never reads the \.htaccess. In Plesk/);
  });
});
