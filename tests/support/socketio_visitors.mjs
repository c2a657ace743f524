/**
 * Visitors of a Socket.IO server, in a process of Node: `socketio_visitors.mjs FOLDER URL COUNT`. Each says one number after the
 * other, and hears news. On standard output comes each version that has answered all of them, and on SIGTERM what they have seen,
 * as JSON: for each the close codes, the news, how much he said and what came in the wrong order.
 */
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";

const [folder, url, count] = process.argv.slice(2);
const { io } = createRequire(join(folder, "package.json"))("socket.io-client");

class Visitor {
  codes = [];
  news = [];
  said = 0;
  wrong = 0;
  version = "";
  #over = false;
  #socket = io(url, {
    transports: ["websocket"],
    forceNew: true,
    reconnectionDelay: 20,
    reconnectionDelayMax: 500,
    timeout: 60_000,
    // What is not answered is said again after a reconnection.
    retries: 1000,
    ackTimeout: 60_000,
    auth: (tell) => tell({ at: this.news.length }),
  });

  constructor() {
    this.#socket.on("news", (number, text) => number === this.news.length ? this.news.push(text) : this.wrong++);
    this.#socket.on("disconnect", (reason, details) => this.#over || this.codes.push(details?.context?.code ?? reason));
  }

  async talk() {
    while (!this.#over) {
      const [version, number] = (await this.#socket.emitWithAck("say", this.said)).split(" ");
      if (Number(number) !== this.said++) this.wrong++;
      this.version = version;
      await delay(50);
    }
  }

  stop() {
    this.#over = true;
  }

  leave() {
    this.#socket.disconnect();
  }
}

const visitors = Array.from({ length: Number(count) }, () => new Visitor());
const talks = visitors.map((visitor) => visitor.talk());
let told = "";
const look = setInterval(() => {
  const [{ version }] = visitors;
  if (version === told || visitors.some((visitor) => visitor.version !== version)) return;
  console.log(`all ${told = version}`);
}, 20);
process.once("SIGTERM", async () => {
  clearInterval(look);
  for (const visitor of visitors) visitor.stop();
  await Promise.all(talks);
  for (const visitor of visitors) visitor.leave();
  console.log(JSON.stringify(visitors.map(({ codes, news, said, wrong }) => ({ codes, news, said, wrong }))));
});
