/**
 * The manual: chapters in Markdown, which forges show and `help` prints.
 *
 * @module
 */
/** What each chapter is about, by name, in the order of reading. */
export const chapters: Readonly<Record<string, string>> = {
  "runtimes": "Deno, Bun, Node and the compiled program; download, compile, build, permissions",
  "shared-hosting": "Apache with .htaccess, Passenger, CGI; errors, the owner's page",
  "development": "preview, debugger, requests from tests",
  "web-servers": "your own web server: configurations, mounts, the visitor's URL",
  "nginx": "nginx",
  "apache": "Apache with mod_proxy_fcgi, AJP and its other modules",
  "lighttpd": "lighttpd",
  "caddy": "Caddy",
  "haproxy": "HAProxy, and several machines",
  "protocols": "FastCGI, SCGI, uwsgi, AJP, HTTP, several on one endpoint; uploads",
  "applications": "handlers, frameworks, TypeScript and JSX, settings, own pages, any other program",
  "websockets": "WebSockets, early hints, the PROXY protocol",
  "static-files": "files that the program, or the web server for it, sends",
  "processes": "workers, new code, stopping, the background, systemd",
  "containers": "images, Docker Compose, Kubernetes",
  "logs-and-status": "logs, their rotation, the status page",
  "security": "who can connect, who is trusted, which files are private",
  "troubleshooting": "what to do, by symptom; doctor, get, explain, capture and replay",
  "cookbook": "a form, upload, SQLite, Postgres, MySQL, sessions, mail, own pages, JSX, server-sent events, WebSockets",
  "library": "serve() in your own program",
  "coming-from": "from PHP, Django, Express, uWSGI, Passenger, NGINX Unit",
  "options": "all options of serving, with their defaults",
};

/** Where the Markdown of a chapter is among the texts beside the source. */
export const chapterFile = (name: string): string => `manual/${name}.md`;
