/** More than this between two looks at the clock, and the page did not get to look: it was kept waiting, or slept. */
const LONGEST_STEP_MS = 500;

/**
 * Time as the page lives it. Where a limit is up only because the page itself stood still (a busy phone, a laptop that
 * was closed), nothing is known yet of what was waited for: such time counts no more than half a second.
 */
export class LivedTime {
  readonly #clock: () => number;
  #at: number;
  #lived = 0;

  constructor(clock: () => number) {
    this.#clock = clock;
    this.#at = clock();
  }

  /** Milliseconds since the beginning. To be called several times a second. */
  now(): number {
    const at = this.#clock();
    this.#lived += Math.min(Math.max(at - this.#at, 0), LONGEST_STEP_MS);
    this.#at = at;
    return this.#lived;
  }
}
