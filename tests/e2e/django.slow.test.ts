/** Django, which had runfcgi once: a site with the admin, sessions and forms, run by gunicorn. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, test } from "node:test";
import type { Question } from "../support/http.ts";
import { type Inner, innerPrograms } from "../support/inner_programs.ts";
import { isRunning, until } from "../support/program.ts";
import { makeFolder, needs } from "../support/servers.ts";
import { fcgidRow } from "./fcgid.ts";
import { checkProtocols, multipart, urlencoded, type Visitor } from "./protocols.ts";
import { startRow } from "./site.ts";

/** Debian's, which finds the packages of Debian. */
const python = "/usr/bin/python3";
const gunicorn = "/usr/bin/gunicorn";
const missing = [gunicorn, "/usr/lib/python3/dist-packages/django"].find((file) => !existsSync(file));

const files: Record<string, string> = {
  "mysite/__init__.py": "",
  "mysite/settings.py": `
import os
BASE = os.path.dirname(os.path.dirname(__file__))
SECRET_KEY = "for a test"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    "django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
    "django.contrib.sessions", "django.contrib.messages", "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "mysite.urls"
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "APP_DIRS": True,
    "OPTIONS": {"context_processors": [
        "django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages",
    ]},
}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.path.join(BASE, "db.sqlite3")}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
STATIC_URL = "/static/"
STATIC_ROOT = os.path.join(BASE, "static")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
`,
  "mysite/urls.py": `
import hashlib, json
from django.contrib import admin
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.urls import path, reverse

def where(request):
    return JsonResponse({
        "url": request.build_absolute_uri(),
        "visitor": request.META.get("HTTP_X_FORWARDED_FOR"),
        "admin": reverse("admin:index"),
    })

def visits(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))

def form(request):
    return JsonResponse({"token": get_token(request), **request.POST.dict()})

def upload(request):
    file = request.FILES["file"]
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return JsonResponse({"title": request.POST["title"], "name": file.name, "size": file.size, "hash": digest.hexdigest()})

def numbers(request):
    return StreamingHttpResponse("%d\\n" % i for i in range(10000))

def fail(request):
    raise ValueError("raised for a test")

urlpatterns = [
    path("admin/", admin.site.urls),
    path("where", where), path("visits", visits), path("form", form), path("upload", upload),
    path("old", lambda request: redirect("/new?a=1")), path("numbers", numbers), path("fail", fail),
]
`,
  "mysite/wsgi.py": `
import os
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
`,
  "prepare.py": `
import mysite.wsgi
from django.contrib.auth.models import User
from django.core.management import call_command
call_command("migrate", verbosity=0)
call_command("collectstatic", verbosity=0)
User.objects.create_superuser("django", "", "reinhardt")
`,
};

let project = "";

/** Makes the project, with its database, a user and the files of the admin. */
function makeProject(folder: string): void {
  project = join(folder, "project");
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(project, name, ".."), { recursive: true });
    writeFileSync(join(project, name), text);
  }
  execFileSync(python, ["prepare.py"], { cwd: project });
}

/** A browser as far as cookies go. */
class Browser {
  readonly #visitor: Visitor;
  readonly #cookies = new Map<string, string>();

  constructor(visitor: Visitor) {
    this.#visitor = visitor;
  }

  async visit(path: string, question?: Question) {
    const cookie = [...this.#cookies].map((pair) => pair.join("=")).join("; ");
    const answer = await this.#visitor.visit(path, { ...question, headers: { cookie, ...question?.headers } });
    for (const line of answer.headers["set-cookie"] ?? []) {
      const [name, value] = line.split(";")[0].split("=");
      this.#cookies.set(name, value);
    }
    return answer;
  }
}

checkProtocols("Django", ["django"], {
  skip: missing !== undefined && process.env.CI !== "true" && `${missing} is not installed`,
  words(folder) {
    makeProject(folder);
    const exec = `exec=${gunicorn} mysite.wsgi --bind unix:{socket} --workers 2 --chdir ${project}`;
    return { django: [exec, `static=/static/=${project}/static`] };
  },
  async check({ host, protocol, ...visitor }) {
    const browser = new Browser({ host, protocol, ...visitor });
    const where = JSON.parse((await browser.visit("/where?a=%20b")).text);
    assert.deepEqual(where, { url: `http://${host}/where?a=%20b`, visitor: "127.0.0.1", admin: "/admin/" });

    for (const visits of ["1", "2"]) assert.equal((await browser.visit("/visits")).text, visits);

    assert.equal((await browser.visit("/form", urlencoded({ name: "no token" }))).status, 403);
    const { token } = JSON.parse((await browser.visit("/form")).text);
    const form = await browser.visit("/form", urlencoded({ csrfmiddlewaretoken: token, name: "Jürgen M" }));
    assert.equal(JSON.parse(form.text).name, "Jürgen M", form.text);

    // Django puts into a file what is longer than 2.5 MiB.
    const text = "0123456789abcdef".repeat(200_000);
    const upload = await browser.visit(
      "/upload",
      multipart({ csrfmiddlewaretoken: token, title: "A title" }, { name: "a.txt", text }),
    );
    const hash = createHash("sha256").update(text).digest("hex");
    assert.deepEqual(JSON.parse(upload.text), { title: "A title", name: "a.txt", size: text.length, hash });

    const { status, headers } = await browser.visit("/old");
    assert.deepEqual({ status, location: headers.location }, { status: 302, location: "/new?a=1" });

    const numbers = Array.from({ length: 10_000 }, (_, i) => `${i}\n`).join("");
    assert.equal((await browser.visit("/numbers")).text, numbers);
    assert.equal((await browser.visit("/fail")).status, 500);
    assert.equal((await browser.visit("/nowhere")).status, 404);

    await logIn(browser, "");
    await checkFiles(browser, "");
    if (protocol !== "fcgi") return;
    const mounted = JSON.parse((await browser.visit("/mounted/where")).text);
    assert.deepEqual([mounted.url, mounted.admin], [`http://${host}/mounted/where`, "/mounted/admin/"]);
    await logIn(new Browser({ host, protocol, ...visitor }), "/mounted");
    await checkFiles(browser, "/mounted");
  },
});

describe("Django, started by mod_fcgid", {
  skip: process.env.RUNFCGI_WHOLE !== "true" && "only with --whole" || needs("apache") ||
    missing !== undefined && process.env.CI !== "true" && `${missing} is not installed`,
}, () => {
  test("8 visitors at once log in to the admin of one program", { timeout: 120_000 }, async () => {
    const folder = makeFolder();
    const mark = `SITE_MARK=${crypto.randomUUID()}`;
    try {
      makeProject(folder.path);
      // Of the user as whom Apache starts the program.
      execFileSync("chmod", ["-R", "a+rwX", folder.path]);
      const exec = `exec=${gunicorn} mysite.wsgi --bind unix:{socket} --threads 8 --chdir ${project}`;
      const words = [exec, `static=/static/=${project}/static`, `env=${mark}`];
      const { site, stop } = await startRow({ ...fcgidRow, words, app: () => [] });
      let inner: Inner[] = [];
      try {
        const visit: Visitor["visit"] = (path, question) => site.ask(path, question);
        const host = `127.0.0.1:${site.port}`;
        const browsers = Array.from({ length: 8 }, () => new Browser({ host, protocol: "fcgi", visit }));
        await Promise.all(browsers.map((browser) => logIn(browser, "")));
        await checkFiles(browsers[0], "");
        inner = innerPrograms(mark);
        assert.equal(inner.length, 1);
      } catch (error) {
        throw new Error(`The error log ends with:\n${site.errors.slice(-4000)}`, { cause: error });
      } finally {
        await stop();
      }
      await until("the program has ended with its web server", () => inner.every(({ pid }) => !isRunning(pid)));
    } finally {
      folder.remove();
    }
  });
});

/** Goes to the admin, is sent to the login, and comes back. */
async function logIn(browser: Browser, mount: string): Promise<void> {
  const { status, headers } = await browser.visit(`${mount}/admin/`);
  assert.deepEqual([status, headers.location], [302, `${mount}/admin/login/?next=${mount}/admin/`]);
  const page = await browser.visit(headers.location!);
  const token = /name="csrfmiddlewaretoken" value="(\w+)"/.exec(page.text)![1];
  const next = `${mount}/admin/`;
  const login = urlencoded({ csrfmiddlewaretoken: token, username: "django", password: "reinhardt", next });
  const sent = await browser.visit(`${mount}/admin/login/?next=${next}`, login);
  assert.deepEqual([sent.status, sent.headers.location], [302, next]);
  const index = await browser.visit(next);
  assert.equal(index.status, 200);
  assert.match(index.text, /Site administration/);
}

const types: Record<string, string> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
  woff: "font/woff",
};

/** Gets all that the page of the admin is made of, which Django itself does not serve. */
async function checkFiles(browser: Browser, mount: string): Promise<void> {
  const page = await browser.visit("/admin/auth/user/add/");
  const paths = new Set([...page.text.matchAll(/(?:href|src)="(\/static\/[^"]+)"/g)].map(([, path]) => path));
  const [style] = paths;
  const found = new Set<string>();
  // A set tells also of what is added meanwhile.
  for (const path of paths) {
    const file = readFileSync(join(project, path));
    const { status, headers, text } = await browser.visit(mount + path);
    const ending = path.slice(path.lastIndexOf(".") + 1);
    found.add(ending);
    assert.deepEqual([path, status, headers["content-type"]], [path, 200, types[ending]]);
    assert.equal(text, file.toString());
    if (ending === "css") {
      const urls = text.matchAll(/(?:url\(|@import )["']?(?!url)([^"')]+)/g);
      for (const [, url] of urls) paths.add(new URL(url, `http://localhost${path}`).pathname);
    }
    const again = await browser.visit(mount + path, { headers: { "if-none-match": headers.etag! } });
    assert.deepEqual([again.status, again.text], [304, ""]);
  }
  assert.deepEqual([...found].sort(), Object.keys(types).sort());

  const part = await browser.visit(mount + style, { headers: { range: "bytes=3-9" } });
  assert.deepEqual([part.status, part.text], [206, readFileSync(join(project, style), "latin1").slice(3, 10)]);
  const head = await browser.visit(mount + style, { method: "HEAD" });
  assert.deepEqual([head.status, head.text], [200, ""]);
  assert.equal((await browser.visit(mount + style, { method: "POST", body: "x" })).status, 405);
  const elsewhere = "mysite/settings.py";
  for (const path of ["admin/css/none.css", "", `../${elsewhere}`, `%2e%2e/${elsewhere}`, `..%2f${elsewhere}`]) {
    const { status, text } = await browser.visit(`${mount}/static/${path}`);
    assert.ok(status === 404 || status === 400, `${path} is ${status}`);
    assert.ok(!text.includes("SECRET_KEY"));
  }
}
