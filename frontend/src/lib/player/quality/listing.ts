import type { Offer } from "./offers";

const FIRST_DELAY_MS = 1_000;
const LAST_DELAY_MS = 15_000;

/** Asks what the server offers until it is told, ever more slowly. What is asked last counts. */
export class Listing {
  #round = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param ask null when the server could not be asked
   * @param wanted whether an answer is still of interest, before the server is asked again
   */
  constructor(
    private readonly ask: () => Promise<Offer[] | null>,
    private readonly told: (offers: Offer[]) => void,
    private readonly wanted: () => boolean,
  ) {}

  /** There may be something new. */
  start(): void {
    this.stop();
    void this.#attempt(this.#round, FIRST_DELAY_MS);
  }

  /** The network is back: do not sit out the rest of a long delay. */
  hurry(): void {
    if (this.#retry !== undefined) this.start();
  }

  stop(): void {
    this.#round += 1;
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }

  async #attempt(round: number, delay: number): Promise<void> {
    const offers = await this.ask();
    if (round !== this.#round) return;
    if (offers) {
      this.told(offers);
      return;
    }
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      if (this.wanted()) void this.#attempt(round, Math.min(delay * 2, LAST_DELAY_MS));
    }, delay);
  }
}
