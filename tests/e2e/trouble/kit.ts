/**
 * A site in trouble: a web server, perhaps a server of ours, and the doctor.
 *
 * @module
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { type Answer, ask, type Question } from "../../support/http.ts";
import { type Endpoint, freePort, type Running, startServing, until } from "../../support/program.ts";
import { makeFolder, makeOpenFolder, startWebServer, type WebServerName } from "../../support/servers.ts";
import { type Ran, run } from "../../support/words.ts";
import { putProgram } from "../site.ts";

/** Whether files that are closed to other users are closed to the web server. */
export const isRoot = process.getuid?.() === 0;

/** How to bring a site into one trouble, and out of it. */
export interface Case {
  server: WebServerName;
  /** Files that it needs besides. */
  files?: readonly string[];
  /** It needs two users. */
  root?: true;
  run(trouble: Trouble): Promise<void>;
}

/** An application that says hello, and no more. */
export const hello = `export default { fetch: () => new Response("hello") };\n`;

export class Trouble implements AsyncDisposable {
  readonly #place = makeFolder();
  readonly #server: WebServerName;
  #web: Awaited<ReturnType<typeof startWebServer>> | undefined;
  #serving: Running | undefined;
  /** What was tried, for who has to find out why a test fails. */
  #history = "";
  readonly port: number;
  /** What the error logs of all web servers have said. */
  static told = "";

  private constructor(server: WebServerName, port: number) {
    this.#server = server;
    this.port = port;
    mkdirSync(this.folder);
  }

  static async begin(server: WebServerName): Promise<Trouble> {
    return new Trouble(server, await freePort());
  }

  /** The folder of the site, where commands are given. */
  get folder(): string {
    return join(this.#place.path, "www");
  }

  get socket(): string {
    return join(this.folder, "site.sock");
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/`;
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  write(name: string, text: string): void {
    writeFileSync(this.file(name), text);
  }

  append(name: string, text: string): void {
    appendFileSync(this.file(name), `\n${text}\n`);
  }

  remove(name: string): void {
    rmSync(this.file(name));
  }

  read(name: string): string {
    return existsSync(this.file(name)) ? readFileSync(this.file(name), "utf8") : "";
  }

  /** Waits until a log says this. */
  async logged(name: string, pattern: RegExp): Promise<void> {
    await until(`${name} says ${pattern}`, () => pattern.test(this.read(name)));
  }

  /** What the error log of the web server says. */
  get errors(): string {
    return this.#web?.errors() ?? "";
  }

  get history(): string {
    return `${this.#history}\nThe error log ends with:\n${this.errors.slice(-3000)}`;
  }

  /** Starts the web server with this configuration, in the place of one that runs. */
  async configure(config: string): Promise<void> {
    await this.#stopWeb();
    makeOpenFolder(join(this.#place.path, "ipc"));
    this.#web = await startWebServer(this.#server, { folder: this.#place.path, port: this.port }, config);
  }

  /** Starts the program on the socket, in the place of one that runs. */
  serve(...words: string[]): Promise<void> {
    return this.serveAt({ socket: this.socket }, ...words);
  }

  async serveAt(endpoint: Endpoint, ...words: string[]): Promise<void> {
    await this.stop();
    // One thread starts sooner than several.
    const threads = words.some((word) => word.startsWith("threads=")) ? [] : ["threads=1"];
    this.#serving = await startServing(endpoint, [...threads, ...words], { cwd: this.folder });
  }

  async stop(): Promise<void> {
    await this.#serving?.stop();
  }

  async ask(path = "/", question?: Question): Promise<Answer> {
    const answer = await ask(this.port, path, question);
    this.#history += `\n${path} is answered with ${answer.status} ${answer.text.slice(0, 300)}\n`;
    return answer;
  }

  /** Visits a page and expects this status, and this in its text. */
  async expect(status: number, text: RegExp | string, path = "/", question?: Question): Promise<void> {
    const answer = await this.ask(path, question);
    assert.equal(answer.status, status);
    if (typeof text === "string") assert.equal(answer.text, text);
    else assert.match(answer.text, text);
  }

  /** Runs a command of the program in the folder of the site. */
  async run(...words: string[]): Promise<Ran> {
    const ran = await run(words, { cwd: this.folder });
    this.#history += `\n${words.join(" ")}\n${ran.stdout}${ran.stderr}`;
    return ran;
  }

  /**
   * Asks the doctor, who is to find this problem, and returns what is to be done, line by line.
   *
   * @param text what the doctor is to say of it
   */
  async advice(check: string, text: RegExp, ...words: string[]): Promise<string[]> {
    const { code, stdout } = await this.run("doctor", ...words);
    assert.equal(code, 1);
    return below(stdout, "problem", check, text);
  }

  /** The same of what is not wrong, but perhaps too little. */
  async note(check: string, text: RegExp, ...words: string[]): Promise<string[]> {
    return below((await this.healthy(...words)).stdout, "note", check, text);
  }

  /** The doctor finds nothing wrong. */
  async healthy(...words: string[]): Promise<Ran> {
    const ran = await this.run("doctor", ...words);
    assert.doesNotMatch(ran.stdout, /problem/);
    assert.match(ran.stdout, /\nNothing is wrong in what was checked\.\n$/);
    assert.equal(ran.code, 0);
    return ran;
  }

  /** Does in a shell what the advice says. */
  shell(command: string): void {
    this.#history += `\n$ ${command}\n`;
    // From source, it begins with the name of the runtime.
    const PATH = `${dirname(process.execPath)}:${process.env.PATH}`;
    execFileSync("/bin/sh", ["-c", command], { cwd: this.folder, env: { ...process.env, PATH }, stdio: "pipe" });
  }

  async #stopWeb(): Promise<void> {
    await this.#web?.running.stop();
    Trouble.told += this.errors;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stopWeb();
    await this.stop();
    this.#place.remove();
  }

  /** What the owner of a shared host has written, and in the folder what the owner of a site uploads. */
  async share(app: string, allowed = "All", limits = "FcgidMaxRequestLen 1073741824"): Promise<void> {
    this.write("mysite.ts", app);
    if (!existsSync(this.file("mysite.fcgi"))) putProgram(this.file("mysite.fcgi"), this.file("mysite.ts"));
    const { stdout } = await this.run("config", "apache-shared");
    this.write(".htaccess", stdout);
    await this.host(allowed, limits);
  }

  host(allowed = "All", limits = "FcgidMaxRequestLen 1073741824"): Promise<void> {
    return this.configure(`
      ${limits}
      DocumentRoot "${this.folder}"
      <Directory "${this.folder}">
        AllowOverride ${allowed}
        Require all granted
      </Directory>`);
  }
}

/** The lines below a finding. */
function below(output: string, state: string, check: string, text: RegExp): string[] {
  const lines = output.split("\n");
  const start = `${state.padEnd(13)}${check} `;
  const at = lines.findIndex((line) => line.startsWith(start) && text.test(line));
  assert.ok(at >= 0, `The doctor does not say of ${check}: ${text}`);
  const end = lines.findIndex((line, i) => i > at && !line.startsWith(" ".repeat(28)));
  return lines.slice(at + 1, end).map((line) => line.trim());
}
