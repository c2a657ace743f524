/**
 * The load generator: a process of its own under Bun, whose sockets cost the least. It takes one {@linkcode Job} a line
 * on standard input and answers with one {@linkcode JobResult} a line.
 *
 * @module
 */
import process from "node:process";
import { createInterface } from "node:readline";
import { bodies, type BodyName, type ResponseReader, traffic } from "./traffic.ts";

/** What load to make. */
export interface Job {
  protocol: string;
  /** Path of the server's Unix socket. */
  socket: string;
  body: BodyName;
  /** Whether a connection carries one request after another, or a single one. */
  keep: boolean;
  /** Connections at once, each with a request under way. */
  connections: number;
  seconds: number;
}

/** What came of it: every request that began is complete. */
export type JobResult = { requests: number; seconds: number; error?: undefined } | { error: string };

/** What is used of Bun, so that the source type-checks anywhere. */
interface BunSocket {
  write(bytes: Uint8Array): number;
  end(): void;
  terminate(): void;
}
interface BunSockets {
  connect(options: {
    unix: string;
    socket: {
      open(socket: BunSocket): void;
      data(socket: BunSocket, bytes: Uint8Array): void;
      end(socket: BunSocket): void;
      close(socket: BunSocket): void;
      error(socket: BunSocket, error: Error): void;
    };
  }): Promise<BunSocket>;
}
const { connect } = (globalThis as unknown as { Bun: BunSockets }).Bun;

/** A server that answers nothing at all is given up after this time beyond the job's own. */
const PATIENCE = 10_000;

function run(job: Job): Promise<JobResult> {
  const { promise, resolve } = Promise.withResolvers<JobResult>();
  const bytes = traffic[job.protocol].request(job.body, job.keep);
  const { length } = bodies[job.body];
  const begin = performance.now();
  const until = begin + job.seconds * 1000;
  const open = new Set<BunSocket>();
  let clients = job.connections;
  let requests = 0;
  let over = false;

  const fail = (error: string) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    for (const socket of open) socket.terminate();
    resolve({ error });
  };
  const timer = setTimeout(() => fail("it stopped to answer"), job.seconds * 1000 + PATIENCE);
  const done = () => {
    if (--clients > 0 || over) return;
    over = true;
    clearTimeout(timer);
    resolve({ requests, seconds: (performance.now() - begin) / 1000 });
  };

  const client = (reader: ResponseReader) => {
    let stage: "sent" | "begun" | "complete" = "sent";
    const isComplete = () => stage === "complete";
    const send = (socket: BunSocket) => {
      stage = "sent";
      reader.bodyLength = 0;
      const written = socket.write(bytes);
      // Nothing at all: it has closed the connection, which is reported next.
      if (written > 0 && written < bytes.length) fail("it took a part of a request only");
    };
    /** Calls what may throw, and counts the response if that says that it is complete. */
    const advance = (read: () => boolean) => {
      try {
        if (!read()) return;
      } catch (error) {
        return fail((error as Error).message);
      }
      if (reader.bodyLength !== length) return fail(`it answered with ${reader.bodyLength} bytes instead of ${length}`);
      requests++;
      stage = "complete";
    };
    connect({
      unix: job.socket,
      socket: {
        open: (socket) => {
          open.add(socket);
          send(socket);
        },
        data: (socket, received) => {
          if (stage === "complete") return fail("it answered twice");
          stage = "begun";
          advance(() => reader.receive(received));
          if (!isComplete() || !job.keep) return;
          if (performance.now() < until) send(socket);
          else socket.end();
        },
        end: (socket) => socket.end(),
        close: (socket) => {
          open.delete(socket);
          if (!over && stage === "begun") advance(() => reader.end());
          if (over) return;
          if (stage === "begun") return fail("it closed a connection in the middle of a response");
          if (stage === "sent") return fail(job.keep ? "it keeps no connection" : "it closed a connection without a response");
          // As nginx does it: the end of the connection is what ends the response.
          if (performance.now() < until) client(reader);
          else done();
        },
        error: (_socket, error) => fail(error.message),
      },
    }).catch((error: Error) => fail(error.message));
  };
  for (let i = 0; i < job.connections; i++) client(traffic[job.protocol].reader());
  return promise;
}

if (import.meta.main) {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await run(JSON.parse(line) as Job))}\n`);
  }
}
