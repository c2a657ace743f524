/**
 * Bounds on what peers can make the server hold or wait for.
 *
 * @module
 */
import { type CodecLimits, defaultCodecLimits } from "../protocol/protocol.ts";

/** Limits of a server. Sizes are in bytes, times in seconds. */
export interface Limits extends CodecLimits {
  /**
   * Connections at once; the limit of open files may allow fewer. The longest idle ones are closed for new ones, which wait
   * in the kernel, or are refused with 503 where a listener cannot pause (it can on an inherited descriptor).
   */
  maxConnections: number;
  /** Body bytes of a connection that wait for the application; above it the connection is not read. */
  maxUnread: number;
  /** Body bytes that are read and dropped after an early response; above it the connection is reset. */
  maxDiscard: number;
  /**
   * Body bytes of a request that wait in a file while its response waits for them or is not taken; all requests of a
   * process may have four times as many. Above it the request is refused or cut.
   */
  maxSpool: number;
  /** The head of a request, from its first byte to its last. */
  headTimeout: number;
  /** A peer that sends nothing in the middle of a request. */
  readTimeout: number;
  /** A peer that takes nothing of a response. */
  writeTimeout: number;
  /** A connection without a request. */
  idleTimeout: number;
  /** A connection whose response is complete and whose peer does not close it. */
  lingerTimeout: number;
}

/**
 * Defaults of {@linkcode Limits}. Web servers give up sooner (60 s, mostly), so the timeouts only clean up after them.
 *
 * @example
 * ```ts
 * import { defaultLimits, serve } from "runfcgi";
 *
 * const limits = { maxParamsBytes: 2 * defaultLimits.maxParamsBytes };
 * await using server = await serve({ port: 0, limits }, () => new Response("Hello\n"));
 * ```
 */
export const defaultLimits: Limits = {
  ...defaultCodecLimits,
  maxConnections: 4096,
  maxUnread: 256 * 1024,
  maxDiscard: 256 * 1024 * 1024,
  maxSpool: 256 * 1024 * 1024,
  headTimeout: 60,
  readTimeout: 300,
  writeTimeout: 300,
  idleTimeout: 3600,
  lingerTimeout: 30,
};
