/**
 * Django, which had runfcgi once: a site with the admin, sessions and forms, run by gunicorn.
 *
 * @module
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Question } from "../support/http.ts";
import { urlencoded } from "./protocols.ts";
import type { Visit } from "./routes.ts";

/** Debian's, which finds the packages of Debian. */
const python = "/usr/bin/python3";
export const gunicorn = "/usr/bin/gunicorn";
export const missing = [gunicorn, "/usr/lib/python3/dist-packages/django"].find((file) => !existsSync(file));

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
STATIC_URL = os.environ.get("SITE_BASE", "") + "/static/"
STATIC_ROOT = os.path.join(BASE, "static")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
`,
  "mysite/urls.py": `
import hashlib, json, threading
from django.contrib import admin
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.urls import path, reverse
from django.views.decorators.csrf import csrf_exempt

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

# What is tested of every program.
def page(request):
    return HttpResponse("<h1>Hello</h1>")

@csrf_exempt
def plain_form(request):
    return JsonResponse(request.POST.dict())

@csrf_exempt
def plain_upload(request):
    file = request.FILES["file"]
    content = file.read()
    return JsonResponse({"title": request.POST["title"], "name": file.name, "size": len(content), "last": content[-1]})

waiting = {}

def events(request):
    if "seen" in request.GET:
        waiting[request.GET["seen"]].set()
        return HttpResponse("seen")
    event = waiting[request.GET["id"]] = threading.Event()
    def stream():
        yield "data: first\\n\\n"
        event.wait(60)
        yield "data: second\\n\\n"
    return StreamingHttpResponse(stream(), content_type="text/event-stream")

def fail(request):
    raise ValueError("raised for a test")

urlpatterns = [
    path("admin/", admin.site.urls),
    path("where", where), path("visits", visits), path("safe/form", form), path("safe/upload", upload),
    path("old", lambda request: redirect("/new?a=1")), path("numbers", numbers), path("throw", fail),
    path("", page), path("form", plain_form), path("upload", plain_upload), path("events", events),
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

/** Makes the project, with its database, a user and the files of the admin, and gives its folder. */
export function makeProject(folder: string): string {
  const project = join(folder, "project");
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(project, name, ".."), { recursive: true });
    writeFileSync(join(project, name), text);
  }
  execFileSync(python, ["prepare.py"], { cwd: project });
  // A web server may start it as its own user.
  execFileSync("chmod", ["-R", "a+rwX", project]);
  return project;
}

/** A browser as far as cookies go. */
export class Browser {
  readonly #visit: Visit;
  readonly #cookies = new Map<string, string>();

  constructor(visit: Visit) {
    this.#visit = visit;
  }

  async visit(path: string, question?: Question) {
    const cookie = [...this.#cookies].map((pair) => pair.join("=")).join("; ");
    const answer = await this.#visit(path, { ...question, headers: { cookie, ...question?.headers } });
    for (const line of answer.headers["set-cookie"] ?? []) {
      const [name, value] = line.split(";")[0].split("=");
      this.#cookies.set(name, value);
    }
    return answer;
  }
}

/** Goes to the admin, is sent to the login, and comes back. */
export async function logIn(browser: Browser, mount: string): Promise<void> {
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

/**
 * Gets all that the page of the admin is made of, which Django itself does not serve.
 *
 * @param linked where Django believes to be, by which it makes links to its files
 */
export async function checkFiles(browser: Browser, project: string, mount: string, linked = mount): Promise<void> {
  const page = await browser.visit(`${mount}/admin/auth/user/add/`);
  const links = page.text.matchAll(/(?:href|src)="([^"]*\/static\/[^"]+)"/g);
  const paths = new Set([...links].map(([, path]) => {
    assert.ok(path.startsWith(`${linked}/static/`), path);
    return path.slice(linked.length);
  }));
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
