import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { page } from "../../src/cli/commands/config.ts";
import { configText, servers } from "../../src/config/servers.ts";
import { cacheVariable } from "../../src/runtime/compile_cache.ts";
import { ownOptions } from "../../src/config/options.ts";
import { commandPage, pageText } from "../../src/options/usage.ts";
import { documents } from "../support/manual.ts";
import { program, start } from "../support/program.ts";
import { UsageError } from "../../src/options/arguments.ts";

/** What the text says to do, by label. */
function stepsOf(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/^# {3}(\S.*?) {2,}(.*)$/gm)].map(([, label, value]) => [label, value]));
}

/** The words that start the program. */
const startOf = (...words: string[]) => stepsOf(configText(words))["Start the site"].replace(/^.*?(?:mod\.ts|runfcgi\S*) /, "");

describe("config alone", () => {
  const text = pageText(commandPage(page), { width: 80, color: false });
  for (const name of [...Object.keys(servers), ...ownOptions]) {
    test(`lists ${name}`, () => assert.match(text, new RegExp(`^ {2}${name} +\\S`, "m")));
  }
});

describe("what config prints", () => {
  for (const name of Object.keys(servers)) {
    test(`says for ${name} what it is and what to do with it`, () => {
      const text = configText([name, ...name === "logrotate" ? ["errlog=/var/log/mysite.log"] : []]);
      const [title, ...others] = text.split("\n");
      assert.match(title, /^# (?:mysite|Logs of mysite)\b/);
      assert.ok(Object.keys(stepsOf(text)).length > 1, text);
      assert.ok(others.some((line) => line !== "" && !line.startsWith("#")));
      assert.doesNotMatch(text, /undefined|null|false,|\[object|\n\n\n| \n/);
    });
  }

  const starts: [words: string[], start: string][] = [
    [["nginx"], "socket=/run/mysite.sock mode=666"],
    [["nginx", "shop.ts"], "shop.ts socket=/run/shop.sock mode=666"],
    [
      ["nginx", "app.ts", "socket=/run/a.sock", "mode=660", "group=www-data"],
      "app.ts mode=660 group=www-data socket=/run/a.sock",
    ],
    [["nginx", "port=3033"], "port=3033"],
    [["nginx", "host=10.0.0.1", "port=3033"], "host=10.0.0.1 port=3033"],
    [["nginx", "host=::", "port=3033", "protocol=scgi"], "protocol=scgi host=:: port=3033"],
    [["nginx", "port=3033", "protocol=http"], "protocol=http trust=127.0.0.1 port=3033"],
    [["nginx", "protocol=auto"], "protocol=auto socket=/run/mysite.sock mode=666"],
    [["mod_jk", "secret=s3cret"], "protocol=ajp secret=s3cret port=3033"],
    [["nginx", "scriptname=/shop"], "socket=/run/mysite.sock mode=666"],
    [["apache", "scriptname=/shop", "protocol=ajp"], "protocol=ajp scriptname=/shop socket=/run/mysite.sock mode=666"],
    [["nginx", "static=/media/=/srv/media"], "socket=/run/mysite.sock mode=666"],
    [["nginx", "static=/=/srv/public"], "static=/=/srv/public socket=/run/mysite.sock mode=666"],
    [["haproxy", "static=/media/=/srv/my media"], "'static=/media/=/srv/my media' socket=/run/mysite.sock mode=666"],
    [
      ["nginx", "method=prefork", "errlog=/var/log/it's.log"],
      "method=prefork 'errlog=/var/log/it'\\''s.log' socket=/run/mysite.sock mode=666",
    ],
    [["nginx", "upload=1m", "listen=8080", "name=shop", "servername=a.org"], "socket=/run/shop.sock mode=666"],
  ];
  for (const [words, expected] of starts) {
    test(`starts the program of ${words.join(" ")}`, () => assert.equal(startOf(...words), expected));
  }

  test("starts the program on each of several machines", () => {
    const steps = stepsOf(configText(["haproxy", "hosts=10.0.0.1:3033,[2001:db8::2]:3034"]));
    assert.match(steps["Start on 10.0.0.1"], / host=10\.0\.0\.1 port=3033$/);
    assert.match(steps["Start on [2001:db8::2]"], / host=2001:db8::2 port=3034$/);
  });

  const words = ["socket=/run/a.sock", "user=me", "mode=660", "backlog=50", "workdir=/srv/a", "grace=60", "maxage=9"];

  test("systemd sees to the account, the socket and the folder itself", () => {
    const text = configText(["systemd", ...words, "program=/srv/a.fcgi"]);
    assert.match(text, /^ExecStart=\/srv\/a\.fcgi grace=60 maxage=9 pidfile=\/run\/a\/a\.pid daemonize=false$/m);
    assert.match(text, /^User=me\nWorkingDirectory=\/srv\/a$/m);
    assert.match(text, /^TimeoutStopSec=70$/m);
    assert.match(text, /^ListenStream=\/run\/a\.sock\nBacklog=50\nSocketUser=me\nSocketMode=0660$/m);
  });

  test("systemd starts the application that is named, in its folder", () => {
    const text = configText(["systemd", "/srv/my site/app.ts", "protocol=scgi"]);
    assert.match(
      text,
      new RegExp(`^ExecStart=${process.execPath} .*"/srv/my site/app\\.ts" protocol=scgi pidfile=\\S+ daemonize=false$`, "m"),
    );
    assert.match(text, /^User=www-data\nGroup=www-data\nWorkingDirectory=\/srv\/my site$/m);
  });

  test("systemd gives a runtime a folder for what it has compiled, unless that is inside the program", () => {
    const variable = cacheVariable();
    const text = configText(["systemd", "/srv/a/app.ts"]);
    const lines = `CacheDirectory=mysite\nCacheDirectoryMode=0700\nEnvironment=${variable}=%C/mysite\n`;
    assert.equal(text.includes(lines), variable !== undefined);
    assert.doesNotMatch(configText(["systemd", "/srv/a/app.ts", "program=/usr/bin/runfcgi"]), /CacheDirectory/);
  });

  test("systemd starts nothing at first for a site that may sleep", () => {
    assert.match(stepsOf(configText(["systemd"]))["Start"], / mysite\.socket mysite\.service$/);
    assert.match(stepsOf(configText(["systemd", "idleexit=60"]))["Start"], / mysite\.socket$/);
    assert.match(stepsOf(configText(["systemd", "method=prefork", "minspare=0"]))["Start"], / mysite\.socket$/);
  });

  test("systemd has units for many sites", () => {
    const text = configText(["systemd", "name=site@", "program=/usr/bin/runfcgi", "user=me", "workdir=/home", "maxage=9"]);
    const run = "pidfile=/run/site/%i/%i.pid daemonize=false";
    assert.ok(text.includes(`\nExecStart=/usr/bin/runfcgi maxage=9 ${run}\n`), text);
    assert.match(text, /^WorkingDirectory=\/home\/%i$/m);
    assert.match(text, /^ListenStream=\/run\/site\/%i\.sock$/m);
    assert.equal(stepsOf(text)["Start"], "systemctl enable --now site@NAME.socket site@NAME.service");
  });

  test("an image has the folder of the application and its options", () => {
    const text = configText(["container", "src/main.ts", "protocol=scgi", "grace=50", "ping=/alive", "name=shop"]);
    assert.match(text, /^COPY src \/srv\/shop$/m);
    assert.match(
      text,
      /^CMD \["main\.ts", "watch=false", "protocol=scgi", "grace=50", "ping=\/alive", "socket=\/run\/shop\/shop\.sock"\]$/m,
    );
    assert.match(text, /^ {4}stop_grace_period: 60s$/m);
  });

  test("spawn-fcgi sees to the same", () => {
    assert.equal(
      configText(["spawn-fcgi", ...words, "group=www-data"]).trimEnd().split("\n").at(-1),
      "spawn-fcgi -d /srv/a -s /run/a.sock -M 0660 -b 50 -u me -g www-data -P /run/a.pid -- /srv/a/a.fcgi grace=60 maxage=9",
    );
  });

  test("divides the path at a mount, whatever the visitor encodes in it", () => {
    const nginx = (protocol: string) => configText(["nginx", `protocol=${protocol}`, "scriptname=/my.shop"]);
    // "set" would encode it again, and without (?s) a line end would not be a part of it.
    for (const protocol of ["scgi", "uwsgi"]) {
      assert.ok(nginx(protocol).includes("if ($uri ~ (?s)^/my\\.shop(?<path_info>(?:/.*)?)$) {}\n"), protocol);
    }
    assert.ok(nginx("fcgi").includes("fastcgi_split_path_info (?s)^(/my\\.shop)(/.*)$;\n"));
  });

  test("has the application say who may see a path, and the files in it", () => {
    const words = [
      "auth=/private/=/auth",
      "auth=/media/own/=/auth",
      "static=/private/files/=/srv/files",
      "static=/media/=/srv/media",
    ];
    const nginx = configText(["nginx", ...words]).replaceAll(/\s+/g, " ");
    for (const path of ["/private/", "/private/files/", "/media/own/"]) {
      assert.ok(nginx.includes(`location ${path} { auth_request /auth;`), nginx);
    }
    assert.ok(nginx.includes("location /media/own/ { auth_request /auth; alias /srv/media/own/;"), nginx);
    assert.ok(nginx.includes("location /media/ { alias /srv/media/;"), nginx);
    assert.equal(nginx.split("location = /auth { internal;").length, 2);
    assert.match(nginx, /fastcgi_param REQUEST_URI \/auth;/);
    assert.match(nginx, /# The application responds to \/auth with 200 to 299 for visitors who may see \/private\/,/);
    assert.ok(nginx.includes("location = /private { auth_request /auth; include fastcgi_params;"), nginx);
    const whole = configText(["nginx", "auth=/=/auth"]).replaceAll(/\s+/g, " ");
    assert.equal(whole.split("location / {").length, 2);
    assert.ok(whole.includes("location / { auth_request /auth;"), whole);
    // nginx takes no location twice.
    const own = configText(["nginx", "auth=/private/=/private"]);
    assert.equal(own.split("location = /private {").length, 2);
    const caddy = configText(["caddy", ...words]);
    assert.match(
      caddy,
      /^ {2}@guarded0 path \/private \/private\/\*\n {2}forward_auth @guarded0 unix\/\/run\/mysite\.sock \{\n {4}uri \/auth$/m,
    );
    assert.match(caddy, /^ {6}env REQUEST_URI \/auth$/m);
  });

  test("passes WebSockets on, with what each web server needs for them", () => {
    const config = (server: string, ...words: string[]) => configText([server, "protocol=http", "websocket=true", ...words]);
    const nginx = config("nginx", "name=my-site");
    assert.match(nginx, /^map \$http_upgrade \$my_site_connection \{\n {2}default close;\n {2}~\*\^websocket\$ upgrade;\n\}$/m);
    assert.match(nginx, /^ {4}proxy_set_header Upgrade \$http_upgrade;\n {4}proxy_set_header Connection \$my_site_connection;$/m);
    assert.match(config("nginx", "keepalive=8"), /^ {2}default "";$/m);
    assert.doesNotMatch(config("nginx", "keepalive=8"), /Connection ""/);
    assert.match(config("apache"), /^ {2}ProxyPass .* upgrade=websocket nocanon$/m);
    assert.match(config("apache", "hosts=127.0.0.1:1,127.0.0.1:2"), /^ {4}BalancerMember .* upgrade=websocket /m);
    assert.match(config("lighttpd"), /^proxy\.header = \( "upgrade" => "enable" \)$/m);
    assert.match(config("haproxy"), /^ {2}timeout tunnel 1h$/m);
    assert.match(config("caddy"), /^# WebSockets pass, as they do without websocket=true\.$/m);
  });

  test("says what web servers of which Debian has no package need", () => {
    const fastCgi = stepsOf(configText(["mod_fastcgi", "https=/a.pem"]));
    assert.deepEqual([fastCgi["Enable modules"], fastCgi.Create], ["a2enmod alias ssl", "mkdir -p /srv/mysite"]);
    assert.deepEqual(stepsOf(configText(["mod_scgi"]))["Enable modules"], undefined);
    const cherokee = configText(["cherokee", "https=/a.pem", "static=/media/=/srv/media"]);
    assert.match(cherokee, /^vserver!50!match = wildcard\nvserver!50!match!domain!1 = \*\nserver!tls = libssl$/m);
    const [, hidden] = /^vserver!50!rule!600!match!request = \(\?i\)(.*)$/m.exec(cherokee)!;
    const paths = ["/media/.env", "/media/a/.git/config", "/media/A.TS", "/media/.well-known/security.txt", "/media/a.js"];
    assert.deepEqual(paths.map((path) => new RegExp(hidden, "i").test(path)), [true, true, true, false, false]);
    assert.match(cherokee, /^vserver!50!rule!600!handler!error = 404$/m);
  });

  test("tells a program that the web server starts what it is to know", () => {
    const text = configText(["apache-shared", "program=/home/me/app/shop.fcgi", "errlog=/home/me/shop.log"]);
    assert.match(text, /^FcgidWrapper "\/home\/me\/app\/shop\.fcgi errlog=\/home\/me\/shop\.log" \.fcgi virtual$/m);
    const passenger = configText(["passenger", "program=/home/me/app/shop.fcgi", "scriptname=/shop", "errlog=/home/me/my log"]);
    const [, file, json] = /^# +And this into +(\S+)\n# +(\{.*\})$/m.exec(passenger)!;
    assert.equal(file, "/home/me/app/Passengerfile.json");
    assert.equal(
      JSON.parse(json).app_start_command,
      "/home/me/app/shop.fcgi protocol=http trust=127.0.0.1 scriptname=/shop 'errlog=/home/me/my log' port=$PORT",
    );
  });
});

describe("config refuses", () => {
  const wrong: [words: string, message: RegExp][] = [
    ["iis", /^there is no web server "iis", expected one of nginx, /],
    ["ngnix", /^there is no web server "ngnix", did you mean "nginx"\?$/],
    ["nginx a.ts b.ts", /^there are two applications, "a\.ts" and "b\.ts": give one$/],
    ["nginx servrname=a.org", /^there is no option "servrname", did you mean "servername"\?$/],
    ["nginx protocol=ajp", /^protocol is "ajp", which nginx does not speak: it speaks fcgi, scgi, uwsgi, http$/],
    ["nginx fd=3", /^a web server cannot connect to a descriptor/],
    ["nginx socket=/a.sock port=3033", /^give one of socket and port$/],
    ["nginx port=3033 hosts=10.0.0.1:3033", /^give one of port and hosts$/],
    ["nginx host=10.0.0.1", /^host is "10\.0\.0\.1" but there is no port/],
    ["nginx secret=s3cret", /^secret belongs to AJP, not to fcgi/],
    ["apache packetsize=65536", /^packetsize belongs to AJP/],
    ["nginx protocol=scgi keepalive=8", /^keepalive does not apply to scgi/],
    ["nginx keepalive=8 method=prefork", /^keepalive does not go with method=prefork/],
    ["apache protocol=ajp hosts=10.0.0.1:3033", /^over AJP, other machines could forge the visitor's identity: give secret=WORD/],
    ["lighttpd protocol=ajp hosts=10.0.0.1:3033", /^over AJP, .* choose another protocol, since lighttpd sends no secret$/],
    ["lighttpd protocol=ajp program=/srv/a.fcgi", /^program does not go with ajp/],
    [
      "nginx protocol=http host=10.0.0.1 port=3033",
      /^over HTTP, the program needs to know which proxy to trust: give the address .* such as trust=/,
    ],
    ["nginx program=/srv/a.fcgi", /^program does not apply to nginx: it does not start programs/],
    ["apache auth=/private/=/auth", /^auth does not apply to apache: only nginx and Caddy ask the application first$/],
    ["nginx auth=/private=/auth", /^auth is "\/private=\/auth", expected a path that begins and ends with a slash/],
    ["nginx auth=/private/", /^auth is "\/private\/", expected/],
    ["nginx auth=/private/=/a;b", /^auth is /],
    ["nginx websocket=true", /^a WebSocket cannot pass over FastCGI: add protocol=http$/],
    ["mod_jk websocket=true", /^websocket does not apply to mod_jk, which does not speak HTTP with the program$/],
    ["passenger websocket=true", /^websocket does not apply to passenger: Passenger passes none on inside Apache/],
    ["systemd websocket=true", /^websocket does not apply to systemd: it belongs to the web server: /],
    ["caddy keepalive=8", /^keepalive does not apply to caddy: /],
    ["mod_jk socket=/a.sock", /^socket does not apply to mod_jk: it connects over TCP only/],
    ["apache-shared socket=/a.sock", /^socket does not apply to apache-shared: the web server starts the program/],
    ["passenger port=3033", /^port does not apply to passenger: Passenger chooses a port/],
    ["apache-shared upload=1m", /^upload does not apply to apache-shared: ask the host for FcgidMaxRequestLen/],
    ["apache-shared debug=true", /^a program in the folder of the site is told nothing, not debug=true: /],
    ["haproxy https=/a.pem,/a.key", /^https has two files, but HAProxy needs one/],
    ["spawn-fcgi pidfile=/run/a.pid", /^pidfile does not apply to spawn-fcgi: spawn-fcgi writes it, see -P$/],
    ["systemd daemonize=true", /^daemonize does not apply to systemd: /],
    ["spawn-fcgi listen=80", /^listen does not apply to spawn-fcgi: it belongs to the web server: /],
    ["logrotate", /^logrotate needs the logs: give errlog=/],
    ["nginx listen=0", /^listen is "0", expected a port/],
    ["nginx hosts=3033", /^hosts is "3033", expected addresses with ports, separated by commas/],
    ["nginx upload=big", /^upload is "big", expected a number of bytes/],
    ["container port=3033", /^port does not apply to container: the image says that$/],
    ["container app.ts", /^the image gets the whole folder of "app\.ts": put it into one below this, such as app\/app\.ts$/],
    ["kubernetes ../a/app.ts", /^the image gets the whole folder of /],
    ["kubernetes protocol=ajp", /^protocol is "ajp", which kubernetes does not speak/],
    ["nginx name=site@", /^name is "site@", and @ is for systemd alone: leave it out$/],
    ["systemd name=site@ port=3033", /^each of many sites has a socket of its own, \/run\/site\/NAME\.sock: give no endpoint$/],
    ["nginx scriptname=/shop/", /^scriptname is "\/shop\/", expected a path that begins with a slash and does not end with one/],
    ["nginx https=a.pem", /^https is "a\.pem"/],
    ["nginx servername=a.org;", /^servername is "a\.org;"/],
    ["nginx socket=/a;b", /^socket is "\/a;b"/],
    ['nginx secret=a"b', /^secret is "a"b"/],
    ["nginx static=/media/=/srv/a;b", /^static has the folder "\/srv\/a;b": in a configuration/],
  ];
  for (const [words, message] of wrong) {
    test(words, () => {
      assert.throws(() => configText(words.split(" ")), (error: unknown) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, message);
        return true;
      });
    });
  }
});

test("Cherokee's configuration sets nothing twice, and has one rule for the private files of a folder", () => {
  const lines = configText(["cherokee", "static=/media/=/srv/media", "static=/media/b/=/srv/b"]).split("\n");
  const keys = lines.filter((line) => line.includes(" = ") && !line.startsWith("#")).map((line) => line.split(" = ")[0]);
  assert.deepEqual(keys.filter((key, i) => keys.indexOf(key) !== i), []);
  assert.equal(lines.filter((line) => line.includes("node_modules")).length, 2);
});

describe("the manual", () => {
  const texts = documents.map(({ text }) => text).join("\n");
  const pairs = [...texts.matchAll(/```sh\nrunfcgi config (.*)\n```\n\n```\w+\n([^]*?)```/g)];
  // Each runtime and the compiled program start it with words of their own.
  const common = (text: string) => text.replace(/(Start.*? {2,}).*?(?:mod\.ts|runfcgi\S*) /g, "$1");
  for (const [, words, shown] of pairs) {
    test(`shows what config ${words} prints`, () => {
      const text = common(configText(words.split(" ")));
      // With the heading or without.
      assert.equal(common(shown), text.startsWith(common(shown)) ? text : text.replace(/^[^]*?\n\n/, ""));
    });
  }

  test("shows some", () => assert.ok(pairs.length > 10));
});

describe("the program", () => {
  async function run(...words: string[]) {
    const running = start([...program().command, ...words]);
    const { code } = await running.exit;
    return { code, stdout: running.stdout(), stderr: running.stderr() };
  }

  test("prints the configuration and nothing else", async () => {
    const { code, stdout, stderr } = await run("config", "caddy", "app.ts", "port=3033");
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    const withoutStart = (text: string) => text.replace(/Start the site.*?app\.ts/, "");
    assert.equal(withoutStart(stdout), withoutStart(configText(["caddy", "app.ts", "port=3033"])));
  });

  test("says what is wrong in one line", async () => {
    const { code, stdout, stderr } = await run("config", "caddy", "protocol=ajp");
    assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
    assert.equal(stderr, 'runfcgi: protocol is "ajp", which caddy does not speak: it speaks fcgi, http\n');
  });
});
