/**
 * How many workers there should be: a pure function of how many there are and what they do.
 *
 * @module
 */

/** Bounds of a pool of child processes. */
export interface PoolBounds {
  /** Idle workers that are kept ready for the next requests. */
  minSpare: number;
  /** Idle workers above this number are ended. */
  maxSpare: number;
  /** Workers at most. */
  maxChildren: number;
}

/** The workers that are not ending. */
export interface PoolState {
  idle: number;
  busy: number;
  starting: number;
}

/** Milliseconds between two looks at the pool. */
export const POOL_TICK_MS = 250;

/** Ticks for which there have to be too many idle workers before one is ended, so that a lull between requests does not. */
const PATIENT_TICKS = 8;
/** Workers started at one tick at most. */
const MAX_RATE = 16;

/** Decides, tick by tick, how a pool grows and shrinks. */
export class Scaler {
  readonly bounds: PoolBounds;
  /** Workers to start at the next tick: doubles as long as there are too few, so that a sudden crowd is served soon. */
  #rate = 1;
  #surplusTicks = 0;

  constructor(bounds: PoolBounds) {
    this.bounds = bounds;
  }

  /** Workers to start (positive) or to end (negative, idle ones). */
  tick({ idle, busy, starting }: PoolState): number {
    const { minSpare, maxSpare, maxChildren } = this.bounds;
    const ready = idle + starting;
    if (ready < minSpare) {
      this.#surplusTicks = 0;
      const wanted = Math.min(minSpare - ready, maxChildren - ready - busy, this.#rate);
      this.#rate = Math.min(this.#rate * 2, MAX_RATE);
      return Math.max(wanted, 0);
    }
    this.#rate = 1;
    if (idle <= maxSpare && idle + busy + starting <= maxChildren) {
      this.#surplusTicks = 0;
      return 0;
    }
    return ++this.#surplusTicks > PATIENT_TICKS && idle > 0 ? -1 : 0;
  }
}
