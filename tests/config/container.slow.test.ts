/** The image of `init for=container`, built by buildah and run as a container would be: another user, nothing to write. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chownSync, copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { IMAGE_USER } from "../../src/config/container.ts";
import { ask, cleanUp, launch, run, site } from "../support/cli.ts";
import { children } from "../support/processes.ts";
import { program, until, whole } from "../support/program.ts";
import { complaintsAbout, needs } from "../support/servers.ts";

cleanUp();

const lacking = !whole
  ? "installing buildah takes long; --whole runs it"
  : program().name !== "binary"
  ? "the image has the compiled program"
  : process.getuid?.() !== 0
  ? "needs root"
  : ["buildah", "unshare"].some((name) => spawnSync(name, ["--version"]).status !== 0) && process.env.CI !== "true" &&
    "buildah and unshare are not installed";

const app = `import { writeFileSync } from "node:fs";
import process from "node:process";
export default async (request: Request) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/slow") await new Promise((resolve) => setTimeout(resolve, 100));
  if (pathname !== "/write") return new Response([process.getuid!(), process.getgid!(), process.cwd()].join(" "));
  try {
    writeFileSync("file", "");
    return new Response("written");
  } catch (error) {
    return new Response((error as { code: string }).code);
  }
};
`;

/** Images, of which none comes from elsewhere. */
class Images {
  readonly #options: string[];
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.#options = ["--root", join(folder, "images"), "--runroot", join(folder, "run"), "--storage-driver=vfs"];
  }

  buildah(...words: string[]): string {
    const { status, stdout, stderr } = spawnSync("buildah", [...this.#options, ...words], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return stdout.trim();
  }

  /** An image in the place of Debian's: what the program needs of this system, and no more. */
  makeBase(name: string, needed: readonly string[]): void {
    const root = join(this.#folder, "base");
    for (const folder of ["usr/bin", "proc", "dev", "tmp", "run"]) mkdirSync(join(root, folder), { recursive: true });
    symlinkSync("usr/bin", join(root, "bin"));
    for (const file of ["sh", "rm", "sleep"]) copyFileSync(`/bin/${file}`, join(root, "usr/bin", file));
    const libraries = needed.flatMap((file) => execFileSync("ldd", [file], { encoding: "utf8" }).match(/\/\S+\.so\S*/g) ?? []);
    for (const file of new Set(libraries)) {
      mkdirSync(dirname(join(root, file)), { recursive: true });
      copyFileSync(file, join(root, file));
    }
    const container = this.buildah("from", "scratch");
    this.buildah("copy", "--quiet", container, root, "/");
    this.buildah("commit", "--quiet", container, name);
  }

  /** Builds an image, and returns the folder with its files and its command. */
  build(name: string, folder: string): { root: string; command: string[]; folder: string; user: string } {
    this.buildah("bud", "--isolation=chroot", "--pull-never", "--quiet", "--tag", name, folder);
    const container = this.buildah("from", "--pull-never", `localhost/${name}`);
    const { config } = JSON.parse(this.buildah("inspect", container)).OCIv1;
    return {
      root: this.buildah("mount", container),
      command: [...config.Entrypoint, ...config.Cmd],
      folder: config.WorkingDir,
      user: config.User,
    };
  }
}

/**
 * Runs a command as a container does: its root is a folder that cannot be written to, it is process 1, and has no network
 * and no privileges. $1 is the root, $2 a folder that becomes $3, $4 the user, $5 the working directory.
 */
const contained = `set -e
root=$1 volume=$2 run=$3 user=$4 folder=$5
shift 5
mkdir -p "$root$run"
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$volume" "$root$run"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" /bin/sh -c 'cd "$1"; shift; exec "$@"' sh "$folder" "$@"
`;

describe("the image of init for=container", { skip: lacking }, () => {
  const place = site();
  const shop = join(place, "shop");
  const volume = join(place, "volume");
  const socket = join(volume, "shop.sock");
  const images = new Images(place);
  let image: ReturnType<Images["build"]>;

  // vfs has a mount to undo for each.
  after(() => {
    if (existsSync(join(place, "images"))) images.buildah("rm", "--all");
    rmSync(join(place, "images"), { recursive: true, force: true });
  });

  /** Runs it and waits until its check is content. */
  const start = async () => {
    const { root, command, folder, user } = image;
    const words = ["sh", "-c", contained, "sh", root, volume, "/run/shop", user, folder, ...command];
    const running = launch(["unshare", "--mount", "--pid", "--fork", "--net", "--kill-child", ...words]);
    await until("it is healthy", async () => {
      assert.ok(children(running.pid).length > 0 || running.stderr() === "", running.stderr());
      return existsSync(socket) && (await run(["get", "timeout=4", "protocol=fcgi", `socket=${socket}`, "/ping"])).code === 0;
    });
    return { running, stop: () => process.kill(children(running.pid)[0], "SIGTERM") };
  };

  before(async () => {
    mkdirSync(volume);
    chownSync(volume, IMAGE_USER, IMAGE_USER);
    mkdirSync(join(shop, "app"), { recursive: true });
    // What is there is left.
    writeFileSync(join(shop, "app/app.ts"), app);
    const { code, stderr } = await run(["init", shop, "for=container", "threads=2"]);
    assert.equal(code, 0, stderr);
    images.makeBase("debian:13-slim", [join(shop, "runfcgi"), "/bin/sh", "/bin/rm", "/bin/sleep"]);
    image = images.build("shop:1", shop);
    assert.equal(image.user, `${IMAGE_USER}:${IMAGE_USER}`);
  });

  test("comes with a configuration that nginx takes", { skip: needs("nginx") }, () => {
    assert.equal(complaintsAbout("nginx", { folder: place, port: 0 }, readFileSync(join(shop, "nginx.conf"), "utf8")), "");
  });

  test("serves as a user without rights, where nothing can be written", async () => {
    const { running, stop } = await start();
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask({ socket })));
    assert.deepEqual([...new Set(answers.map(({ status, text }) => `${status} ${text}`))], [
      `200 ${IMAGE_USER} ${IMAGE_USER} /srv/shop`,
    ]);
    assert.equal((await ask({ socket }, "/write")).text, "EROFS");
    stop();
    assert.deepEqual(await running.exit, { code: 0, signal: null }, running.stderr());
    assert.equal(existsSync(socket), false);
  });

  test("loses no request when it is stopped under load, and starts again on the same volume", async () => {
    for (let i = 0; i < (whole ? 20 : 1); i++) {
      const { running, stop } = await start();
      const failures: string[] = [];
      let [answered, refused, over] = [0, 0, false];
      const visitors = Array.from({ length: 16 }, async (_, visitor) => {
        while (!over) {
          try {
            const { status } = await ask({ socket }, "/slow");
            if (status === 200) answered++;
            else failures.push(String(status));
          } catch (error) {
            // Nobody listens any more: nginx asks another pod then.
            if (!/ENOENT|ECONNREFUSED/.test(String(error))) failures.push(String(error));
            refused++;
            over = true;
          }
          await delay(visitor);
        }
      });
      await until("there is load", () => answered > 50);
      stop();
      assert.deepEqual(await running.exit, { code: 0, signal: null }, running.stderr());
      await Promise.all(visitors);
      assert.deepEqual(failures, [], running.stderr());
      assert.ok(refused > 0);
    }
  });
});
