/**
 * CGI/1.1 (RFC 3875): a process for one request, with the params in its environment, the body on standard input and the
 * response on standard output.
 *
 * @module
 */
import { cgiHead } from "./cgi_response.ts";
import { Params } from "./params.ts";
import type { ResponseHead } from "./protocol.ts";
import { type SingleRequestOptions, SingleRequestServer } from "./single.ts";

/** The server half of CGI for the one request of a process. */
export class CgiServer extends SingleRequestServer {
  readonly protocol = "cgi";

  /** @param environment the variables that the web server set, section 4.1 */
  constructor(environment: Iterable<readonly [name: string, value: string]>, options: SingleRequestOptions) {
    super(options);
    this.begin(Params.from(environment));
  }

  /** The head was there before the first byte. */
  protected readHead(): never {
    throw new Error("unreachable");
  }

  /** Apache passes on a body in chunks, without the chunks and without a length. */
  protected override endless(params: Params): boolean {
    return !params.get("CONTENT_LENGTH") && !!params.get("HTTP_TRANSFER_ENCODING");
  }

  protected headText(head: ResponseHead): string {
    return cgiHead(head);
  }
}
