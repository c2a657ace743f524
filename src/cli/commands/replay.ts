/**
 * `runfcgi replay`: gives an application the requests in a file.
 *
 * @module
 */
import process from "node:process";
import { dissect } from "../../protocol/dissect.ts";
import type { ClientCodec } from "../../protocol/protocol.ts";
import { detectProtocol } from "../../protocol/auto.ts";
import { type ListeningProtocol, protocols } from "../../protocol/protocols.ts";
import { entryText } from "../../server/log_text.ts";
import { replay } from "../../server/replay.ts";
import { runAsOwner } from "../../process/as_owner.ts";
import { startAsProject } from "../../process/as_project.ts";
import { explain } from "../../app/error_text.ts";
import { chooseApp } from "../../app/application.ts";
import { makeApplication } from "../../app/make_application.ts";
import { Log } from "../../app/log.ts";
import { optionTable } from "../../options/options.ts";
import { isSecret } from "../../app/page.ts";
import { setEnvironment } from "../../app/env_file.ts";
import type { Built } from "../../app/application.ts";
import { endpointOptions } from "./endpoint.ts";
import { readBytes } from "./explain.ts";
import { loadedHere } from "../../process/loaded_here.ts";
import { headText, Timeline, written } from "./output.ts";
import { CommandError, parseArguments, UsageError } from "../../options/arguments.ts";

const table = {
  protocol: { ...endpointOptions.protocol, default: "detected by the first byte", help: "Protocol of the file." },
  packetsize: endpointOptions.packetsize,
  env: { kind: optionTable.env.kind, repeatable: true, help: optionTable.env.help, example: optionTable.env.example },
  verbose: { short: "v", help: "Shows everything that passes, record by record, with the time in milliseconds.", example: "-v" },
} as const;

const usage = `
runfcgi replay FILE [app] [option=value …]

Gives an application the requests in a file, such as capture=1 keeps, and shows the responses: bodies on standard output,
heads and errors on standard error. Secrets in the file are blanked, so nobody is logged in. The exit status is 0 if the
status of each response is below 400.

  runfcgi replay capture-1.bin app.ts -v
`;

export const page = { usage, options: table };

/** Runs the command and resolves with the exit status. */
export async function run(args: readonly string[], { app: embedded }: Built): Promise<number> {
  const { options, plain: [file, app, ...more] } = parseArguments(args, table);
  if (file === undefined || more.length > 0) {
    throw new UsageError("replay what? Give one file, and an application unless it is app.ts");
  }
  const bytes = readBytes(file);
  const protocol = options.protocol ?? protocolOf(file, bytes);
  const chosen = chooseApp({ app }, embedded, true);
  const status = chosen.file === undefined ? undefined : runAsOwner(chosen.file);
  if (status !== undefined) return status;
  await startAsProject(chosen.file);
  setEnvironment(options);
  const application = await makeApplication(chosen.file, {}, embedded, new Log());
  return await loadedHere(application, { name: chosen.name, status: 1 }, async () => {
    const show = options.verbose ? new Timeline() : undefined;
    const [sending, receiving] = (["request", "response"] as const).map((side) => dissect(protocol, side, isSecret));
    const answers = new Answers(protocols[protocol].client({ packetSize: options.packetsize }));
    const { answered, cut } = await replay(bytes, {
      protocol,
      packetSize: options.packetsize,
      handler: application.handler,
      onError: (error, { during }) => void process.stderr.write(`${entryText(`${during}: ${explain(error)}`)}\n`),
      onRequest: ({ id, params }) => answers.expect(id, params),
      onReceived: (piece) => show?.lines(">", sending, piece),
      onSent(sent) {
        show?.lines("<", receiving, sent);
        answers.receive(sent);
      },
    });
    await answers.shown;
    if (cut) process.stderr.write("runfcgi: the file ends within a request\n");
    if (answered === 0) throw new CommandError(`"${file}" contains no complete request`);
    return answers.status < 400 && !cut ? 0 : 1;
  });
}

function protocolOf(file: string, bytes: Uint8Array): ListeningProtocol {
  if (bytes.length === 0) throw new CommandError(`the file "${file}" is empty`);
  try {
    return detectProtocol(bytes[0]);
  } catch (error) {
    throw new CommandError(`"${file}" is not a recorded request: ${(error as Error).message}`);
  }
}

/** Reads responses as a web server would. */
class Answers {
  readonly #codec: ClientCodec;
  /** Settled when everything so far is written, in order. */
  shown: Promise<void> = Promise.resolve();
  /** The highest status. */
  status = 0;

  constructor(codec: ClientCodec) {
    this.#codec = codec;
  }

  expect(...[id, params]: Parameters<ClientCodec["request"]>): void {
    try {
      this.#codec.request(id, params);
    } catch {
      // The request is too long to be sent, which it will not be.
    }
  }

  receive(bytes: Uint8Array): void {
    this.#codec.receive(bytes);
    for (let event = this.#codec.nextEvent(); event !== undefined; event = this.#codec.nextEvent()) {
      if (event.type === "head") {
        this.status = Math.max(this.status, event.head.status);
        const text = headText(event.head);
        this.#then(() => void process.stderr.write(text));
      } else if (event.type === "body") {
        const copy = event.bytes.slice();
        this.#then(() => written(copy));
      } else if (event.type === "stderr") {
        const text = new TextDecoder().decode(event.bytes);
        this.#then(() => void process.stderr.write(`error log: ${text.trimEnd()}\n`));
      }
    }
  }

  #then(write: () => Promise<void> | void): void {
    this.shown = this.shown.then(write);
    this.shown.catch(() => {});
  }
}
