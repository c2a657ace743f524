/**
 * The facts about a request that the handler gets besides the `Request`, made as they are asked for.
 *
 * @module
 */
import { type Mount, requestMount, requestUrl, type UrlOptions } from "../gateway/url.ts";
import type { Params } from "../protocol/params.ts";
import type { Body } from "./body.ts";
import type { ProtocolName, Role } from "../protocol/protocol.ts";
import { printStderr } from "./output.ts";
import type { ServeInfo } from "./handler.ts";

/** What is told of an exchange. */
interface Source {
  readonly id: number;
  readonly role: Role;
  readonly params: Params;
  readonly data: Body | undefined;
  readonly owner: {
    readonly protocol: ProtocolName;
    readonly urls?: UrlOptions;
    stderr(id: number, text: string): boolean;
  };
  readonly completed: Promise<void>;
  waitUntil(work: Promise<unknown>): void;
}

/** The facts about an exchange, made as they are asked for. */
export class ExchangeInfo implements ServeInfo {
  readonly #exchange: Source;
  #params: Record<string, string> | undefined;
  #mount: Mount | undefined;
  #visitorUrl: string | undefined;
  #data: ReadableStream<Uint8Array<ArrayBuffer>> | undefined;

  constructor(exchange: Source) {
    this.#exchange = exchange;
  }

  get remoteAddr(): ServeInfo["remoteAddr"] {
    const { params } = this.#exchange;
    return { transport: "tcp", hostname: params.get("REMOTE_ADDR") ?? "", port: Number(params.get("REMOTE_PORT")) || 0 };
  }

  get params(): Record<string, string> {
    return this.#params ??= this.#exchange.params.toRecord();
  }

  get protocol(): ProtocolName {
    return this.#exchange.owner.protocol;
  }

  get role(): Role {
    return this.#exchange.role;
  }

  get visitorUrl(): string {
    const { params, owner } = this.#exchange;
    return this.#visitorUrl ??= new URL(requestUrl(params, { ...owner.urls, urlFrom: "visitor" })!).href;
  }

  get scriptName(): string {
    return this.#place.scriptName;
  }

  get pathInfo(): string {
    return this.#place.pathInfo;
  }

  get #place(): Mount {
    return this.#mount ??= requestMount(this.#exchange.params, this.#exchange.owner.urls);
  }

  get data(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    return this.#data ??= this.#exchange.data?.stream() ?? null!;
  }

  stderr(text: string): void {
    const { owner, id } = this.#exchange;
    if (!owner.stderr(id, text)) printStderr(text);
  }

  get completed(): Promise<void> {
    return this.#exchange.completed;
  }

  waitUntil(work: Promise<unknown>): void {
    this.#exchange.waitUntil(work);
  }
}
