/** Sites of which nothing is there but what `init` has written. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { ask } from "../support/http.ts";
import { accepting, freePort, program, type Running, start, until } from "../support/program.ts";
import { makeFolder, makeOpenFolder, needs, type RunningWebServer, startWebServer } from "../support/servers.ts";
import { putProgram } from "./site.ts";

const timeout = 180_000;
const compiled = program().name === "binary";
/** The runtime under test is the one that a shell finds. */
const withRuntime = { ...process.env, PATH: `${dirname(program().command[0])}:${process.env.PATH}` };

const withPhp = existsSync("/usr/bin/php-cgi") ? "/usr/bin/php-cgi" : undefined;

async function init(...words: string[]) {
  const running = start([...program().command, "init", ...words]);
  const { code } = await running.exit;
  return { code, stdout: running.stdout(), stderr: running.stderr() };
}

/** What the site answers at its pages. */
async function checkPages(port: number, mount = ""): Promise<void> {
  const home = await ask(port, `${mount}/`);
  assert.equal(home.status, 200, home.text);
  assert.match(home.text, /You come from 127\.0\.0\.1/);
  const [, action] = /action="([^"]+)"/.exec(home.text)!;
  assert.equal(action, `${mount}/greet`);
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const greeted = await ask(port, action, { method: "POST", headers, body: "name=%3Cb%3EJ%C3%BCrgen" });
  assert.match(greeted.text, /Hello &#60;b&#62;Jürgen/);
  const unasked = await ask(port, action);
  assert.equal(unasked.status, 303);
  assert.equal(unasked.headers.location, `http://127.0.0.1:${port}${mount}/`);
  assert.ok(Math.abs(Date.parse(JSON.parse((await ask(port, `${mount}/time`)).text).now) - Date.now()) < 60_000);
  assert.equal((await ask(port, `${mount}/none`)).status, 404);
}

describe("init", () => {
  const folder = makeFolder();
  const left: { running: Running }[] = [];
  after(async () => {
    await Promise.all(left.map(({ running }) => running.stop()));
    folder.remove();
  });

  test("writes an application that is served, and says how", { timeout }, async () => {
    const site = join(folder.path, "alone");
    const { code, stdout, stderr } = await init(site);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    assert.deepEqual(readdirSync(site), ["app.ts"]);
    assert.ok(stdout.startsWith(`wrote  ${site}/app.ts\n\nNext\n`), stdout);
    const [, command] = / {2}Look at it +(.* preview=)8000\n/.exec(stdout)!;
    const port = await freePort();
    // Exactly the command that is printed, from anywhere.
    const running = start(["sh", "-c", `exec ${command}${port}`], { cwd: "/", env: withRuntime });
    left.push({ running });
    await accepting({ port }, running);
    await checkPages(port);
  });

  test("leaves what is there", async () => {
    const site = join(folder.path, "there");
    mkdirSync(site);
    writeFileSync(join(site, "app.ts"), "mine");
    const { code, stdout } = await init(site, "for=nginx");
    assert.equal(code, 0);
    assert.ok(stdout.startsWith(`left   ${site}/app.ts\nwrote  ${site}/nginx.conf\n`), stdout);
    assert.equal(readFileSync(join(site, "app.ts"), "utf8"), "mine");
  });

  test("writes units for systemd as files of their own", async () => {
    const site = join(folder.path, "units");
    const { code, stdout } = await init(site, "for=systemd");
    assert.equal(code, 0);
    const [service, socket] = ["mysite.service", "mysite.socket"].map((name) => join(site, name));
    assert.match(readFileSync(service, "utf8"), /^\[Unit\]\n[^#]*\nExecStart=\S*\/units\/mysite\.fcgi pidfile=/);
    assert.match(readFileSync(socket, "utf8"), /^\[Unit\]\n[^#]*\nListenStream=\/run\/mysite\.sock\n/);
    assert.ok(stdout.includes(`  cp ${service} ${socket} /etc/systemd/system/\n`), stdout);
  });

  test("keeps the owner's key, and makes a doctor of what is there", async () => {
    const site = join(folder.path, "owner");
    mkdirSync(site);
    // Large files are left.
    for (const name of ["mysite.fcgi", "runfcgi.gz"]) writeFileSync(join(site, name), "");
    writeFileSync(join(site, "doctor-0123456789.php"), "of another key");
    const keys: string[] = [];
    const doctors: string[][] = [];
    for (const text of ["one", "another"]) {
      writeFileSync(join(site, "mysite.fcgi"), text);
      const { code, stdout, stderr } = await init(site, "for=apache-shared");
      assert.equal(code, 0, stderr);
      assert.match(stdout, /Log and doctor +at the address that \.htmysite\.key has/);
      keys.push(readFileSync(join(site, ".htmysite.key"), "utf8"));
      doctors.push(readdirSync(site).filter((name) => name.startsWith("doctor-")));
      const [doctor] = doctors.at(-1)!;
      assert.ok(readFileSync(join(site, doctor), "utf8").includes(`'size' => ${text.length},`));
    }
    assert.equal(keys[0], keys[1]);
    assert.equal(statSync(join(site, ".htmysite.key")).mode & 0o777, 0o600);
    assert.deepEqual([doctors[0].length, doctors[1]], [1, doctors[0]]);
    assert.notEqual(doctors[0][0], "doctor-0123456789.php");
  });

  test("says what to upload, and keeps what is for another folder of the host beside that of the site", async () => {
    for (const [server, more] of Object.entries({ "apache-shared": [".htaccess", "doctor-….php"], passenger: [".htaccess"] })) {
      const site = join(folder.path, `for ${server}`);
      const own = `${site}-program`;
      const { code, stdout, stderr } = await init(site, `for=${server}`, "program=/nowhere/me/app/shop.fcgi", "single=true");
      assert.equal(code, 0, stderr);
      const names = (path: string) => readdirSync(path).sort().map((name) => name.replace(/^doctor-\w+/, "doctor-…"));
      assert.deepEqual(names(site), more);
      const beside = server === "passenger" ? ["Passengerfile.json"] : [".htshop.key"];
      assert.deepEqual(names(own), [...beside, ...compiled ? ["shop.fcgi"] : [], "shop.ts"]);
      assert.ok(stdout.includes(`  what is in ${own} into /nowhere/me/app, in binary mode, shop.fcgi with mode 755,\n`), stdout);
      assert.match(readFileSync(join(site, ".htaccess"), "utf8"), server === "passenger" ? /Passenger/ : /Wrapper \/nowhere\/me/);
      assert.equal(existsSync("/nowhere"), false);
    }
    const { stdout } = await init(join(folder.path, "to upload"), "for=apache-shared", "single=true");
    const [doctor] = readdirSync(join(folder.path, "to upload")).filter((name) => name.startsWith("doctor-"));
    assert.match(stdout, new RegExp(` {2}Upload +these files but ${doctor}, if this is not the host, `));
  });

  test("writes an image and what runs it, and leaves what is there", async () => {
    for (const [name, files] of Object.entries({ container: ["nginx.conf", "compose.yaml"], kubernetes: ["kubernetes.yaml"] })) {
      const site = join(folder.path, name);
      const { code, stdout, stderr } = await init(site, `for=${name}`);
      assert.equal(code, 0, stderr);
      for (const file of ["app/app.ts", "Dockerfile", ...files]) assert.ok(existsSync(join(site, file)), stdout);
      assert.match(readFileSync(join(site, files.at(-1)!), "utf8"), new RegExp(`\\bname: ${name}\\b|^ {2}${name}:$`, "m"));
      assert.equal(existsSync(join(site, "runfcgi")), process.env.RUNFCGI_PROGRAM !== undefined);
    }
  });

  test("writes nothing if its arguments are invalid", async () => {
    const site = join(folder.path, "wrong");
    const wrong = [
      ["for=iis"],
      ["for=nginx", "protocol=ajp"],
      ["port=3033"],
      ["for=passenger"],
      ["for=apache-shared", "port=1"],
      ["more"],
    ];
    for (const words of wrong) {
      const { code, stdout, stderr } = await init(site, ...words);
      assert.deepEqual({ code, stdout }, { code: 2, stdout: "" });
      assert.match(stderr, /^runfcgi: .*\n$/);
    }
    assert.equal(existsSync(site), false);
  });

  test("writes for Passenger the file beside the program, too", async () => {
    const [site, app] = [join(folder.path, "passenger", "public"), join(folder.path, "passenger")];
    const { code, stdout, stderr } = await init(site, "for=passenger", `program=${app}/mysite.fcgi`);
    assert.equal(code, 0, stderr);
    for (const file of [`${site}/.htaccess`, `${app}/Passengerfile.json`, `${app}/mysite.ts`]) {
      assert.ok(stdout.includes(`wrote  ${file}\n`) && existsSync(file), stdout);
    }
    const { app_start_command: command } = JSON.parse(readFileSync(join(app, "Passengerfile.json"), "utf8"));
    assert.equal(command, `${app}/mysite.fcgi protocol=http trust=127.0.0.1 port=$PORT`);
  });

  test("says in one line what cannot be written", async () => {
    writeFileSync(join(folder.path, "file"), "");
    const { code, stderr } = await init(join(folder.path, "file", "site"));
    assert.equal(code, 1);
    assert.match(stderr, /^runfcgi: cannot write ".*app\.ts": .*\n$/);
  });

  for (const [server, file] of [["nginx", "nginx.conf"], ["apache", "apache.conf"], ["caddy", "Caddyfile"]] as const) {
    test(`writes a site for ${server}`, { skip: needs(server), timeout }, async () => {
      const site = makeOpenFolder(join(folder.path, server));
      const [port, own] = [await freePort(), await freePort()];
      const { code, stdout } = await init(site, `for=${server}`, `listen=127.0.0.1:${port}`, `port=${own}`);
      assert.equal(code, 0);
      const config = readFileSync(join(site, file), "utf8");
      assert.match(stdout, new RegExp(`Put in place +c\\S+ ${site}/${file} `));
      const [, command] = / {2}Start the site +(.*)\n/.exec(stdout)!;
      assert.ok(config.includes(command));
      const running = start(["sh", "-c", `exec ${command}`], { cwd: "/", env: withRuntime });
      left.push({ running });
      await accepting({ port: own }, running);
      left.push(await startWebServer(server, { folder: site, port }, config));
      await checkPages(port);
    });
  }
});

describe("init for=apache-shared", { skip: needs("apache") }, () => {
  const folder = makeFolder();
  const root = makeOpenFolder(join(folder.path, "public"));
  const app = makeOpenFolder(join(folder.path, "app"));
  let web: RunningWebServer;
  let port = 0;
  const told: string[] = [];

  before(async () => {
    port = await freePort();
    makeOpenFolder(join(folder.path, "ipc"));
    for (const words of [[root], [join(root, "below")], [join(root, "safe"), `program=${app}/shop.fcgi`]]) {
      const { code, stdout, stderr } = await init(...words, "for=apache-shared");
      assert.equal(code, 0, stderr);
      told.push(stdout);
    }
    // From source, it says how to make this file.
    if (!compiled) {
      for (const path of [join(root, "mysite"), join(root, "below/mysite"), join(app, "shop")]) {
        putProgram(`${path}.fcgi`, `${path}.ts`);
      }
    }
    web = await startWebServer(
      "apache",
      { folder: folder.path, port },
      `
      FcgidInitialEnv TMPDIR "${folder.path}/ipc"
      DocumentRoot "${root}"
      ${withPhp ? `<FilesMatch "\\.php$">\nSetHandler fcgid-script\nFcgidWrapper ${withPhp} .php\n</FilesMatch>` : ""}
      <Directory "${root}">
        AllowOverride All
        Require all granted
      </Directory>`,
    );
  }, { timeout });

  after(async () => {
    await web?.running.stop();
    folder.remove();
  }, { timeout });

  for (const mount of ["", "/below", "/safe"]) {
    test(`is served ${mount ? `below ${mount}` : "at the root"}`, { timeout }, async () => {
      try {
        await checkPages(port, mount);
      } catch (error) {
        throw new Error(web.errors().slice(-3000), { cause: error });
      }
    });
  }

  test("gives nothing away", { timeout }, async () => {
    for (const path of ["/mysite.ts", "/below/mysite.ts"]) {
      const { status, text } = await ask(port, path);
      assert.ok(status === 404 || status === 403, `${path} is ${status}`);
      assert.doesNotMatch(text, /export default/);
    }
    for (const path of ["/.htmysite.key", "/below/.htmysite.key"]) {
      const { status, text } = await ask(port, path);
      assert.ok(status === 404 || status === 403, `${path} is ${status}`);
      assert.doesNotMatch(text, /^key/m);
    }
    assert.deepEqual(readdirSync(join(root, "safe")).sort().map((name) => name.replace(/-\w+\./, "-….")), [
      ".htaccess",
      "doctor-….php",
    ]);
  });

  test("brings the program, or says how to make it", () => {
    for (const file of [join(root, "mysite.fcgi"), join(app, "shop.fcgi")]) {
      if (compiled) assert.equal(statSync(file).mode & 0o777, 0o755);
      else assert.ok(told.some((text) => new RegExp(`deno task compile\\n +cp dist/runfcgi-\\S+ ${file}\\n`).test(text)));
    }
  });

  for (const [mount, keyFile] of [["", "mysite"], ["/safe", "shop"]]) {
    test(`shows its owner what goes on ${mount ? `below ${mount}` : "at the root"}`, { timeout }, async () => {
      const file = join(mount ? app : root, `.ht${keyFile}.key`);
      // As FTP servers leave it: started by root, Apache is another user.
      chmodSync(file, 0o644);
      const text = readFileSync(file, "utf8");
      const [, address, key] = /^address (\S+)\nkey +(\S+)$/m.exec(text)!;
      const page = `${mount}/.runfcgi`;
      assert.equal((await ask(port, page)).status, 404);
      assert.match((await ask(port, mount + address)).text, /<input id="key"/);
      const post = (path: string, form: Record<string, string>, more: Record<string, string> = {}) => {
        const headers = { "content-type": "application/x-www-form-urlencoded", ...more };
        return ask(port, path, { method: "POST", headers, body: String(new URLSearchParams(form)) });
      };
      const { status, headers } = await post(mount + address, { key });
      assert.deepEqual([status, headers.location], [303, page]);
      const [set] = headers["set-cookie"]!;
      assert.match(set, new RegExp(`; Path=${page}; `));
      const [cookie] = set.split(";");
      const shown = await ask(port, page, { headers: { cookie } });
      assert.equal(shown.status, 200, shown.text);
      assert.match(shown.text, /The site is up\.[^]*SERVER_SOFTWARE/);
      const token = /name="token" value="([^"]+)"/.exec(shown.text)![1];
      const press = (action: string) => post(page, { token, action }, { cookie });
      assert.equal((await press("down")).headers.location, `${page}?done=down`);
      await until("visitors get the page for maintenance", async () => (await ask(port, `${mount}/`)).status === 503);
      await press("up");
      await until("visitors get the site", async () => (await ask(port, `${mount}/`)).status === 200);
      // What it finds is the same elsewhere, and takes its time.
      if (mount) return;
      const doctor = await press("visit");
      assert.match(
        doctor.text,
        /<b>ok<\/b> application: [^]*<b>ok<\/b> web server: http:\/\/127\.0\.0\.1:\d+[^<]* is answered with 200/,
      );
      assert.doesNotMatch(doctor.text, /doctor: because/);
    });
  }

  test("has a doctor in PHP that finds nothing wrong", { timeout, skip: withPhp ? false : "php-cgi is missing" }, async () => {
    const [, key] = /^key +(\S+)$/m.exec(readFileSync(join(root, ".htmysite.key"), "utf8"))!;
    const name = readdirSync(root).find((name) => name.startsWith("doctor-"))!;
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const entered = await ask(port, `/${name}`, { method: "POST", headers, body: String(new URLSearchParams({ key })) });
    assert.equal(entered.status, 303, entered.text);
    const [cookie] = entered.headers["set-cookie"]![0].split(";");
    const { text } = await ask(port, `/${name}`, { headers: { cookie } });
    assert.match(text, /<b>ok<\/b> web server: http:\/\/127\.0\.0\.1:\d+\/ is answered by the program/);
    assert.match(text, /<b>ok<\/b> start: GET \/ was answered with 200/);
    assert.match(text, /<b>ok<\/b> handlers: Apache[^<]* has mod_fcgid/);
    if (compiled) assert.match(text, /<b>ok<\/b> runfcgi\.gz: [^<]* is as init wrote it/);
  });

  test("is served again when it is changed", { timeout }, async () => {
    const file = join(root, "mysite.ts");
    writeFileSync(file, readFileSync(file, "utf8").replace("It works", "It is another"));
    await until("the new one answers", async () => (await ask(port, "/")).text.includes("It is another"));
  });
});
