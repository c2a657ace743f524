/**
 * The preview for a browser on this machine, and what the terminal shows of its requests.
 *
 * @module
 */
import process from "node:process";
import { type Screen, screenOf, styled } from "../options/terminal.ts";
import type { Options } from "../options/options.ts";
import type { Address } from "../runtime/socket.ts";
import { outliveReader } from "../runtime/stderr.ts";
import { lineText } from "../server/log_text.ts";
import { type Preview, preview } from "../server/preview.ts";

/** Ports that are tried when the one that was asked for is taken. */
const MORE_PORTS = 20;

/**
 * Answers HTTP on this machine, by asking the endpoint like a web server; on the next free port if another program has
 * that one.
 *
 * @throws {Error} when there is no port
 */
export async function showPreview(
  port: number,
  address: Address,
  { protocol = "fcgi", secret, packetsize }: Options,
  { before, showsRequests }: { before?: () => Promise<void>; showsRequests: boolean },
): Promise<Preview> {
  outliveReader();
  const screen = screenOf(process.stderr);
  const options = {
    address,
    protocol: protocol === "auto" ? "fcgi" as const : protocol,
    secret,
    packetSize: packetsize,
    before,
    onEnded: (method: string, url: string, status: number, milliseconds: number) => {
      if (showsRequests) process.stderr.write(`${requestText(method, url, status, milliseconds, screen)}\n`);
    },
  };
  for (let tried = port;; tried++) {
    try {
      return await preview(tried, options);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "EADDRINUSE" && tried < Math.min(port + MORE_PORTS, 65535)) continue;
      const reason = code === "EADDRINUSE"
        ? `other programs listen there and on the next ${MORE_PORTS}. Choose another port, or preview=0 for any free one`
        : message;
      throw new Error(`Cannot preview on port ${port}: ${reason}`);
    }
  }
}

/** A request in a line, such as `GET /shop 200 3.1 ms`, no wider than the terminal. */
export function requestText(
  method: string,
  url: string,
  status: number,
  milliseconds: number,
  screen: Screen = { width: Infinity, color: false },
): string {
  const time = milliseconds < 9.95
    ? `${milliseconds.toFixed(1)} ms`
    : milliseconds < 9995
    ? `${milliseconds.toFixed(0)} ms`
    : `${(milliseconds / 1000).toFixed(1)} s`;
  const how = status === 0 ? "left" : String(status);
  const room = Math.max(screen.width - method.length - how.length - time.length - 3, 8);
  const path = lineText(url);
  const shown = path.length > room ? `${path.slice(0, room - 1)}…` : path;
  const style = status >= 500 ? "red" : status >= 400 || status === 0 ? "yellow" : status >= 300 ? "cyan" : "green";
  return `${method} ${shown} ${styled(how, style, screen)} ${time}`;
}
