/**
 * What the doctor finds, as one of its processes tells it to another.
 *
 * @module
 */

/** The result of one check. */
export interface Finding {
  /** What was looked at. */
  check: string;
  /** A note is of something that is as it is by default, and may be too little for some sites. */
  state: "ok" | "note" | "problem" | "not checked";
  /** What was found, or why nothing was. */
  text: string;
  /** Of a problem or a note: what to do, with the exact lines to paste or to send. */
  fix?: string;
}
