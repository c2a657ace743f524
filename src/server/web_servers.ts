/**
 * FCGI_WEB_SERVER_ADDRS: who may connect to a FastCGI application over TCP (FastCGI 1.0, section 3.2).
 *
 * @module
 */
import { plainAddress, Trust } from "../protocol/http/forwarded.ts";
import { isIP } from "../protocol/ip.ts";
import type { Connection } from "../runtime/socket.ts";

/** Refused addresses that are logged; further ones are refused silently. */
const MAX_NAMED = 100;

/** The web servers that the variable lists. */
export class WebServers {
  readonly #addresses: Trust;
  readonly #named = new Set<string>();

  /**
   * @param list IP addresses, joined by commas
   * @throws {TypeError} for anything else
   */
  constructor(list: string) {
    const addresses = list.split(",").map((address) => address.trim());
    const wrong = addresses.find((address) => isIP(address) === 0 || address.includes("%"));
    if (wrong !== undefined) {
      throw new TypeError(
        `FCGI_WEB_SERVER_ADDRS has "${wrong}", expected IP addresses joined by commas, such as 127.0.0.1,10.0.0.5`,
      );
    }
    this.#addresses = new Trust(addresses);
  }

  /** Whether a connection over TCP is refused. `log` is called the first time that an address is. */
  refuses({ addresses }: Connection, log: (text: string) => void): boolean {
    // A connection that has closed has no address any more.
    const peer = addresses === undefined ? "" : plainAddress(addresses.remoteAddress);
    if (peer !== "" && this.#addresses.has(peer)) return false;
    if (peer !== "" && !this.#named.has(peer) && this.#named.size < MAX_NAMED) {
      this.#named.add(peer);
      log(`Refused a connection from ${peer}, which FCGI_WEB_SERVER_ADDRS does not list`);
    }
    return true;
  }
}
