/**
 * The states of a connection and of a response, and what moves them. An event that a state does not name leaves it as it
 * is.
 *
 * @module
 */

type Machine<State extends string, Event extends string> = Readonly<Record<State, Partial<Record<Event, State>>>>;

/** The state after an event. */
export function next<State extends string, Event extends string>(
  machine: Machine<State, Event>,
  state: State,
  event: NoInfer<Event>,
): State {
  return machine[state][event] ?? state;
}

/**
 * How far a connection's life has come.
 *
 * - `new`: no response has been completed.
 * - `kept`: one has, and the next request may come.
 * - `expecting`: a last request may come for a moment.
 * - `draining`: requests in flight are finished, then the connection closes.
 * - `lingering`: our side is closed; the peer's is read until it ends, or a reset would destroy the response.
 * - `closed`: it is gone.
 */
export type Life = "new" | "kept" | "expecting" | "draining" | "lingering" | "closed";
type LifeEvent = "served" | "expect" | "drain" | "finish" | "close";
export const life: Machine<Life, LifeEvent> = {
  new: { served: "kept", expect: "expecting", drain: "draining", finish: "lingering", close: "closed" },
  kept: { expect: "expecting", drain: "draining", finish: "lingering", close: "closed" },
  expecting: { served: "draining", drain: "draining", finish: "lingering", close: "closed" },
  draining: { finish: "lingering", close: "closed" },
  lingering: { close: "closed" },
  closed: {},
};

/**
 * What comes from the peer: it `flows`, waits because reading is `paused`, is `dropped` since the peer broke the protocol,
 * or has `ended` (FIN).
 */
export type Input = "flows" | "paused" | "dropped" | "ended";
export const input: Machine<Input, "pause" | "resume" | "break" | "end"> = {
  flows: { pause: "paused", break: "dropped", end: "ended" },
  paused: { resume: "flows", break: "dropped", end: "ended" },
  dropped: { end: "ended" },
  ended: {},
};

/** What goes to the peer: `free`, or `blocked` until it has taken what was written. */
export type Output = "free" | "blocked";
export const output: Machine<Output, "block" | "drain"> = {
  free: { block: "blocked" },
  blocked: { drain: "free" },
};

/**
 * How far a response has come.
 *
 * - `none`: nothing of it has left.
 * - `waiting`: it is being made, and its head waits until the body of the request has been taken in.
 * - `begun`: its head has left.
 * - `ending`: all of it has left but the end, which waits until the body of the request has been taken in.
 * - `over`: it is complete or given up.
 */
export type ResponseState = "none" | "waiting" | "begun" | "ending" | "over";
type ResponseEvent = "wait" | "head" | "complete" | "finish";
export const response: Machine<ResponseState, ResponseEvent> = {
  none: { wait: "waiting", head: "begun", complete: "ending", finish: "over" },
  waiting: { head: "begun", complete: "ending", finish: "over" },
  begun: { complete: "ending", finish: "over" },
  ending: { finish: "over" },
  over: {},
};
