/**
 * The time as HTTP writes it (RFC 9110, 5.6.7).
 *
 * @module
 */

let second = 0;
let text = "";

/** Now, such as `Sun, 06 Nov 1994 08:49:37 GMT`. Written once a second. */
export function date(): string {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) {
    second = now;
    text = new Date(now * 1000).toUTCString();
  }
  return text;
}
