/** Django as it had runfcgi once, over each protocol: with its sessions, its CSRF tokens and its admin. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import process from "node:process";
import { Browser, checkFiles, gunicorn, logIn, makeProject, missing } from "./django.ts";
import { checkProtocols, multipart, urlencoded } from "./protocols.ts";

let project = "";

checkProtocols("Django", ["django"], {
  skip: missing !== undefined && process.env.CI !== "true" && `${missing} is not installed`,
  words(folder) {
    project = makeProject(folder);
    const exec = `exec=${gunicorn} mysite.wsgi --bind unix:{socket} --workers 2 --chdir ${project}`;
    return { django: [exec, `static=/static/=${project}/static`] };
  },
  async check({ host, protocol, visit }) {
    const browser = new Browser(visit);
    const where = JSON.parse((await browser.visit("/where?a=%20b")).text);
    assert.deepEqual(where, { url: `http://${host}/where?a=%20b`, visitor: "127.0.0.1", admin: "/admin/" });

    for (const visits of ["1", "2"]) assert.equal((await browser.visit("/visits")).text, visits);

    assert.equal((await browser.visit("/safe/form", urlencoded({ name: "no token" }))).status, 403);
    const { token } = JSON.parse((await browser.visit("/safe/form")).text);
    const form = await browser.visit("/safe/form", urlencoded({ csrfmiddlewaretoken: token, name: "Jürgen M" }));
    assert.equal(JSON.parse(form.text).name, "Jürgen M", form.text);

    // Django puts into a file what is longer than 2.5 MiB.
    const text = "0123456789abcdef".repeat(200_000);
    const upload = await browser.visit(
      "/safe/upload",
      multipart({ csrfmiddlewaretoken: token, title: "A title" }, { name: "a.txt", text }),
    );
    const hash = createHash("sha256").update(text).digest("hex");
    assert.deepEqual(JSON.parse(upload.text), { title: "A title", name: "a.txt", size: text.length, hash });

    const { status, headers } = await browser.visit("/old");
    assert.deepEqual({ status, location: headers.location }, { status: 302, location: "/new?a=1" });

    const numbers = Array.from({ length: 10_000 }, (_, i) => `${i}\n`).join("");
    assert.equal((await browser.visit("/numbers")).text, numbers);
    assert.equal((await browser.visit("/throw")).status, 500);
    assert.equal((await browser.visit("/nowhere")).status, 404);

    await logIn(browser, "");
    await checkFiles(browser, project, "");
    if (protocol !== "fcgi") return;
    const mounted = JSON.parse((await browser.visit("/mounted/where")).text);
    assert.deepEqual([mounted.url, mounted.admin], [`http://${host}/mounted/where`, "/mounted/admin/"]);
    await logIn(new Browser(visit), "/mounted");
    await checkFiles(browser, project, "/mounted", "");
  },
});
