import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { helpText } from "../../src/cli/help.ts";
import { parseCommandLine } from "../../src/cli/command_line.ts";
import { environmentOptions, exportedOptions, optionTable } from "../../src/options/options.ts";
import { Service } from "../support/processes.ts";
import { UsageError } from "../../src/options/arguments.ts";

describe("parseCommandLine()", () => {
  const spellings: [name: string, words: string[]][] = [
    ["name=value", ["app.ts", "socket=/run/a.sock", "maxparams=7"]],
    ["--name=value", ["app.ts", "--socket=/run/a.sock", "--maxparams=7"]],
    ["--name value", ["app.ts", "--socket", "/run/a.sock", "--maxparams", "7"]],
    ["options before the application", ["socket=/run/a.sock", "--maxparams", "7", "app.ts"]],
  ];
  for (const [name, words] of spellings) {
    test(`takes ${name}`, () => {
      const expected = { command: "serve", app: "app.ts", options: { socket: "/run/a.sock", maxparams: 7 } };
      assert.deepEqual(parseCommandLine(words), expected);
    });
  }

  test("keeps an equals sign in a value", () => {
    assert.equal(parseCommandLine(["socket=/tmp/a=b.sock"]).options.socket, "/tmp/a=b.sock");
  });

  test("takes no second value for what has one", () => {
    assert.throws(() => parseCommandLine(["socket=/a", "port=1", "--socket", "/b"]), {
      name: "UsageError",
      message: "socket=/a and socket=/b are both given: socket takes one value",
    });
    assert.throws(
      () => parseCommandLine(["daemonize=true", "daemonize=false"]),
      /^UsageError: daemonize=true and daemonize=false are/,
    );
    assert.equal(parseCommandLine(["port=1", "port=1"]).options.port, 1);
  });

  test("takes a server's name that is close to a command's for what it is", () => {
    for (const command of ["status", "reload", "stop"]) {
      assert.deepEqual(parseCommandLine([command, "shop"]), { command, app: "shop", options: {} });
    }
    assert.throws(() => parseCommandLine(["restart", "shop"]), /there is no command "shop", did you mean "stop"/);
  });

  test("takes ports with and without an address, and paths", () => {
    const { options: { statuslisten, inspect } } = parseCommandLine(["statuslisten=9100", "inspect=9229"]);
    assert.deepEqual([statuslisten, inspect], [
      { host: "127.0.0.1", port: 9100 },
      { host: "127.0.0.1", port: 9229, wait: false },
    ]);
    assert.deepEqual(parseCommandLine(["statuslisten=0.0.0.0:9100"]).options.statuslisten, { host: "0.0.0.0", port: 9100 });
    assert.deepEqual(parseCommandLine(["statuslisten=[::1]:9100"]).options.statuslisten, { host: "::1", port: 9100 });
    assert.deepEqual(parseCommandLine(["statuslisten=./s"]).options.statuslisten, { socket: "./s" });
    assert.deepEqual(parseCommandLine(["inspect=0.0.0.0:1,wait"]).options.inspect, { host: "0.0.0.0", port: 1, wait: true });
  });

  test("keeps all of what can be repeated", () => {
    const { options } = parseCommandLine(["static=/media/=./media", "--static", "/=./a=b", "sendfile=x-accel-redirect=/in/"]);
    assert.deepEqual(options, {
      static: [{ prefix: "/media/", folder: "./media" }, { prefix: "/", folder: "./a=b" }],
      sendfile: { header: "x-accel-redirect", prefix: "/in/" },
    });
    assert.deepEqual(parseCommandLine(["static=/a/=a"]).options, { static: [{ prefix: "/a/", folder: "a" }] });
  });

  for (const word of ["1", "t", "T", "true", "True", "TRUE", "y", "yes", "on", "On"]) {
    test(`understands Django's ${word} as true`, () => {
      assert.equal(parseCommandLine([`daemonize=${word}`]).options.daemonize, true);
    });
  }

  for (const word of ["0", "f", "F", "false", "False", "FALSE", "n", "no", "off", "Off"]) {
    test(`understands Django's ${word} as false`, () => {
      assert.equal(parseCommandLine([`daemonize=${word}`]).options.daemonize, false);
    });
  }

  test("understands Django's names of methods", () => {
    const methods = ["prefork", "fork", "threaded", "thread"].map((word) => parseCommandLine([`method=${word}`]).options.method);
    assert.deepEqual(methods, ["prefork", "prefork", "threaded", "threaded"]);
  });

  test("keeps all of what can be repeated, in their order", () => {
    assert.deepEqual(parseCommandLine(["env=A=1", "--env", "B=2=3", "env=A="]).options.env, ["A=1", "B=2=3", "A="]);
  });

  for (const words of [["help"], ["--help"], ["-h"], ["app.ts", "help"]]) {
    test(`understands ${words.join(" ")}`, () => assert.equal(parseCommandLine(words).command, "help"));
  }

  test("reads permissions as octal and roles as a list", () => {
    const { options } = parseCommandLine(["mode=0660", "roles=responder,filter"]);
    assert.deepEqual(options, { mode: 0o660, roles: ["responder", "filter"] });
  });

  test("reads scriptname as a path, and as none", () => {
    for (const [text, path] of [["", ""], ["/", ""], ["/app", "/app"], ["/a/b/", "/a/b"]]) {
      assert.equal(parseCommandLine([`scriptname=${text}`]).options.scriptname, path);
    }
  });

  test("reads trustheaders as a list", () => {
    assert.deepEqual(parseCommandLine(["trustheaders=host,prefix"]).options.trustheaders, ["host", "prefix"]);
  });

  test("reads trust as a list", () => {
    assert.deepEqual(parseCommandLine(["trust=loopback,10.0.0.0/8,::1"]).options.trust, ["loopback", "10.0.0.0/8", "::1"]);
  });

  const wrong: [words: string[], message: RegExp][] = [
    [["sockt=/a"], /^there is no option "sockt", did you mean "socket"\?$/],
    [["--quux=1"], /^there is no option "quux": help lists them$/],
    [["port=65536"], /^port is "65536", expected a port from 0 to 65535, such as port=3033$/],
    [["port=80a"], /^port is "80a"/],
    [["port=-1"], /^port is "-1"/],
    [["port="], /^port is ""/],
    [["--port"], /^port is without a value/],
    [["socket="], /^socket is "", expected a path/],
    [["mode=999"], /^mode is "999", expected octal permissions/],
    [["scriptname=app"], /^scriptname is "app", expected a path such as \/app, or nothing for the root of the host, such as /],
    [["protocol=gopher"], /^protocol is "gopher", expected fcgi/],
    [["roles=responder,king"], /^roles is "responder,king"/],
    [["daemonize=maybe"], /^daemonize is "maybe", expected true or false, such as daemonize=true$/],
    [["daemonize="], /^daemonize is "", expected true or false/],
    [["method=forked"], /^method is "forked", expected threaded or prefork/],
    [["umask=28"], /^umask is "28", expected an octal mask such as 027/],
    [["env=1A=2"], /^env is "1A=2", expected NAME=VALUE/],
    [["env=A"], /^env is "A", expected NAME=VALUE/],
    [["status=status"], /^status is "status", expected a path that begins with a slash/],
    [["maxrequests=-1"], /^maxrequests is "-1", expected a whole number/],
    [["minspare=-1"], /^minspare is "-1", expected a whole number/],
    [["timeout=1s"], /^timeout is "1s", expected a number of seconds/],
    [["accessformat=common"], /^accessformat is "common", expected combined, json, or a pattern/],
    [["accessformat=jsno"], /^accessformat is "jsno", .*: did you mean "json"\?$/],
    [["accessformat=%h %y"], /^accessformat is "%h %y", in which "%y" is unknown, expected %% %a .* %\{NAME\}e$/],
    [["accessformat=%{a}h"], /"%\{a\}h" is unknown/],
    [["accessformat=50%"], /"%" is unknown/],
    [["logskip=ping"], /^logskip is "ping", expected a path that begins with a slash/],
    [["statuslisten=status"], /^statuslisten is "status", expected a port, an address and a port, or the path/],
    [["statuslisten=70000"], /^statuslisten is "70000"/],
    [["inspect=0"], /^inspect is "0", expected a port such as 9229/],
    [["inspect=9229,now"], /^inspect is "9229,now"/],
    [["maxparams=0"], /^maxparams is "0", expected a whole number above 0/],
    [
      ["trust=loopback,10.0.0.0/33"],
      /^trust is "loopback,10\.0\.0\.0\/33", of which "10\.0\.0\.0\/33" is neither an address nor a network: /,
    ],
    [["spooldir=/nowhere/at/all"], /^Cannot use the folder "\/nowhere\/at\/all" \(spooldir\) .*: it does not exist$/],
    [["spooldir=tmp"], /spooldir is "tmp", expected the absolute path of a folder/],
    [["trust="], /^trust is "", of which "" is neither an address nor a network/],
    [["grace=soon"], /^grace is "soon", expected a number of seconds/],
    [
      ["static=./media"],
      /^static is ".\/media", expected a path that begins and ends with a slash, .* such as static=\/media\/=\.\/media$/,
    ],
    [["static=/media=./media"], /^static is "\/media=\.\/media"/],
    [["static=/media/="], /^static is "\/media\/="/],
    [["static=/a%20b/=./media"], /^static is /],
    [["sendfile=yes"], /^sendfile is "yes", expected x-sendfile, or x-accel-redirect= and a path/],
    [["sendfile=x-accel-redirect"], /^sendfile is /],
    [["sendfile=x-accel-redirect=/internal"], /^sendfile is /],
    [["a.ts", "b.ts"], /^there are two applications, "a\.ts" and "b\.ts": give one$/],
  ];
  for (const [words, message] of wrong) {
    test(`refuses ${words.join(" ")}`, () => {
      assert.throws(() => parseCommandLine(words), (error: unknown) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, message);
        return true;
      });
    });
  }
});

describe("environmentOptions()", () => {
  test("reads every option from a variable of its name", () => {
    for (const [name, { example }] of Object.entries(optionTable)) {
      const value = example.slice(example.indexOf("=") + 1).replace(/^"(.*)"$/, "$1").replace(/^@.*/, `@${secretFile}`);
      const expected = parseCommandLine([`${name}=${value}`]).options;
      assert.deepEqual(environmentOptions({ [`RUNFCGI_${name.toUpperCase()}`]: value, RUNFCGI_OTHER: "x", PORT: "1" }), expected);
    }
  });

  test("takes one a line of what can be repeated", () => {
    assert.deepEqual(environmentOptions({ RUNFCGI_ENV: "A=1\nB=2", RUNFCGI_STATIC: "/m/=./m" }), {
      env: ["A=1", "B=2"],
      static: [{ prefix: "/m/", folder: "./m" }],
    });
  });

  test("names the variable that is wrong", () => {
    assert.throws(() => environmentOptions({ RUNFCGI_PORT: "x" }), {
      name: "UsageError",
      message: 'port is "x", expected a port from 0 to 65535, such as port=3033 (RUNFCGI_PORT)',
    });
  });
});

describe("exportedOptions()", () => {
  test("reads texts, numbers, booleans and lists", () => {
    assert.deepEqual(
      exportedOptions({ app: "node", maxrequests: 1000, timeout: 1.5, watch: false, ping: "/ping", env: ["A=1", "B=2"] }),
      { maxrequests: 1000, timeout: 1.5, watch: false, ping: "/ping", env: ["A=1", "B=2"] },
    );
  });

  for (const nothing of [undefined, null, 7, "port=1", {}]) {
    test(`finds none in ${JSON.stringify(nothing)}`, () => assert.deepEqual(exportedOptions(nothing), {}));
  }

  const wrong: [exported: Record<string, unknown>, message: string][] = [
    [{ maxrequest: 1 }, 'there is no option "maxrequest", did you mean "maxrequests"? (maxrequest in'],
    [{ timeout: "soon" }, 'timeout is "soon", expected a number of seconds, such as timeout=60 (timeout in'],
    [{ maxrequests: null }, 'maxrequests is "null", expected a whole number, such as maxrequests=1000 (maxrequests in'],
    [{ __proto__: null, constructor: 1 }, 'there is no option "constructor": help lists them (constructor in'],
  ];
  for (const [exported, message] of wrong) {
    test(`refuses ${JSON.stringify(exported)}`, () => {
      assert.throws(() => exportedOptions(exported), {
        name: "UsageError",
        message: `${message} the application's export runfcgi)`,
      });
    });
  }
});

test("the command line counts more than the environment, and that more than what the application exports", async () => {
  const app = `import process from "node:process";
export const runfcgi = { ping: "/exported", status: "/exported-status", env: "WORD=exported", grace: 1 };
export default () => new Response("app " + process.env.WORD);
`;
  const env = { RUNFCGI_PING: "/environment", RUNFCGI_STATUS: "/environment-status" };
  await using service = await Service.start({ "app.ts": app }, ["ping=/words"], { env });
  assert.equal((await service.ask("/words")).text, "pong\n");
  for (const path of ["/exported", "/environment", "/exported-status"]) {
    assert.equal((await service.ask(path)).text, "app exported");
  }
  assert.match((await service.ask("/environment-status")).text, /^application: /);
});

const folder = mkdtempSync(join(tmpdir(), "runfcgi-"));
after(() => rmSync(folder, { recursive: true, force: true }));
/** For the example that names one. */
const secretFile = join(folder, "secret");
writeFileSync(secretFile, "s3cret", { mode: 0o600 });

describe("the help", () => {
  const text = helpText("runfcgi", { width: 80, color: false });

  for (const [name, { example, default: value }] of Object.entries(optionTable)) {
    test(`shows ${name} with its default and an example that works`, () => {
      assert.match(text, new RegExp(`^ {2}${name} `, "m"));
      const words = text.replace(/\s+/g, " ");
      assert.ok(words.includes(`Default: ${value}. Example: ${example}`));
      assert.ok(Object.hasOwn(parseCommandLine([example.replace(/@.*/, `@${secretFile}`)]).options, name));
    });
  }
});
