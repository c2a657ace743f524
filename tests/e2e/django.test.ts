/** Django, which had runfcgi once: a site with the admin, sessions and forms, run by gunicorn. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Question } from "../support/http.ts";
import { checkProtocols, multipart, urlencoded, type Visitor } from "./protocols.ts";

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
    "django.contrib.sessions", "django.contrib.messages",
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
User.objects.create_superuser("django", "", "reinhardt")
`,
};

/** Makes the project, with its database and a user. */
function makeProject(folder: string): string {
  const project = join(folder, "project");
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(project, name, ".."), { recursive: true });
    writeFileSync(join(project, name), text);
  }
  execFileSync(python, ["prepare.py"], { cwd: project });
  return project;
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
  words: (folder) => ({
    django: [`exec=${gunicorn} mysite.wsgi --bind unix:{socket} --workers 2 --chdir ${makeProject(folder)}`],
  }),
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
    if (protocol !== "fcgi") return;
    const mounted = JSON.parse((await browser.visit("/mounted/where")).text);
    assert.deepEqual([mounted.url, mounted.admin], [`http://${host}/mounted/where`, "/mounted/admin/"]);
    await logIn(new Browser({ host, protocol, ...visitor }), "/mounted");
  },
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
