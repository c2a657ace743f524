/**
 * The facts about a request that the handler gets besides the `Request`, made as they are asked for.
 *
 * @module
 */
import { isIP } from "../protocol/ip.ts";
import { type Mount, requestMount, requestUrl, type UrlOptions } from "../gateway/url.ts";
import type { Params } from "../protocol/params.ts";
import type { Body } from "./body.ts";
import type { ProtocolName, Role } from "../protocol/protocol.ts";
import { printStderr } from "./output.ts";
import type { OnError, ServeInfo, UpgradeWebSocketOptions, WebSocketUpgrade } from "./handler.ts";

/** `ServeInfo` of an exchange. */
export interface InfoSource {
  readonly id: number;
  readonly role: Role;
  readonly params: Params;
  readonly data: Body | undefined;
  readonly owner: {
    readonly protocol: ProtocolName;
    readonly urls?: UrlOptions;
    readonly onError: OnError;
    stderr(id: number, text: string): boolean;
  };
  readonly completed: Promise<void>;
  waitUntil(work: Promise<unknown>): void;
  earlyHints(headers: Headers): boolean;
  upgradeWebSocket(options?: UpgradeWebSocketOptions): WebSocketUpgrade;
}

/**
 * It looks like a plain object: frameworks copy it, list it and add properties of their own. Each property
 * is made when it is first looked at.
 */
export function exchangeInfo(source: InfoSource): ServeInfo {
  return new Proxy(new Facts(), new FactsMaker(source)) as unknown as ServeInfo;
}

/** Saved before an application can replace it by one that checks less. */
const PlatformHeaders = globalThis.Headers;

/** How each property is made. */
const properties: { readonly [Name in keyof ServeInfo]: (source: InfoSource) => ServeInfo[Name] } = {
  remoteAddr: ({ params }) => ({ transport: "tcp", hostname: params.get("REMOTE_ADDR") ?? "", port: remotePort(params) }),
  params: ({ params }) => params.toRecord(),
  protocol: ({ owner }) => owner.protocol,
  role: ({ role }) => role,
  visitorUrl: ({ params, owner }) => new URL(requestUrl(params, { ...owner.urls, urlFrom: "visitor" })!).href,
  scriptName: (source) => mountOf(source).scriptName,
  pathInfo: (source) => mountOf(source).pathInfo,
  data: ({ data }) => data?.stream() ?? null,
  completed: ({ completed }) => completed,
  stderr: logOf,
  waitUntil: (source) => (work) => source.waitUntil(work),
  earlyHints: (source) => (headers) => source.earlyHints(new PlatformHeaders(headers)),
  upgradeWebSocket: (source) => (_request, options) => source.upgradeWebSocket(options),
  requestIP: ({ params }) => () => {
    const address = params.get("REMOTE_ADDR") ?? "";
    const family = isIP(address);
    return family === 0 ? null : { address, family: family === 6 ? "IPv6" : "IPv4", port: remotePort(params) };
  },
};
const makers: ReadonlyMap<PropertyKey, (source: InfoSource) => unknown> = new Map(Object.entries(properties));

/** Writes to the web server's error log, or to ours. */
export function logOf({ owner, id }: Pick<InfoSource, "owner" | "id">): (text: string) => void {
  return (text) => {
    if (!owner.stderr(id, text)) printStderr(text);
  };
}

function remotePort(params: Params): number {
  return Number(params.get("REMOTE_PORT")) || 0;
}

function mountOf({ params, owner }: InfoSource): Mount {
  return requestMount(params, owner.urls);
}

/** `inspect.custom` of node:util, which takes much of a start. */
const inspected = Symbol.for("nodejs.util.inspect.custom");

/** What was made so far. */
class Facts {
  [key: string]: unknown;

  /** For `console.log`, which shows the target of a proxy. */
  [inspected](): object {
    return { ...this };
  }
}
Object.defineProperty(Facts.prototype, "constructor", { value: Object });

/** Makes a property before its absence can be observed. */
class FactsMaker implements ProxyHandler<Facts> {
  readonly #source: InfoSource;
  /** Once all are made, one that is missing was deleted. */
  #whole = false;

  constructor(source: InfoSource) {
    this.#source = source;
  }

  #make(facts: Facts, key: PropertyKey): void {
    if (this.#whole) return;
    const make = makers.get(key);
    if (make !== undefined && !Object.hasOwn(facts, key)) facts[key as string] = make(this.#source);
  }

  #makeAll(facts: Facts): void {
    for (const name of makers.keys()) this.#make(facts, name);
    this.#whole = true;
  }

  get(facts: Facts, key: PropertyKey): unknown {
    this.#make(facts, key);
    return facts[key as string];
  }

  has(facts: Facts, key: PropertyKey): boolean {
    this.#make(facts, key);
    return Reflect.has(facts, key);
  }

  getOwnPropertyDescriptor(facts: Facts, key: PropertyKey): PropertyDescriptor | undefined {
    this.#make(facts, key);
    return Reflect.getOwnPropertyDescriptor(facts, key);
  }

  ownKeys(facts: Facts): (string | symbol)[] {
    this.#makeAll(facts);
    return Reflect.ownKeys(facts);
  }

  deleteProperty(facts: Facts, key: PropertyKey): boolean {
    this.#makeAll(facts);
    return Reflect.deleteProperty(facts, key);
  }

  preventExtensions(facts: Facts): boolean {
    this.#makeAll(facts);
    // A proxy of a frozen object has to report its real properties.
    Object.setPrototypeOf(facts, Object.prototype);
    return Reflect.preventExtensions(facts);
  }

  getPrototypeOf(): object {
    return Object.prototype;
  }
}
