import type { Engine } from "../engine";
import { StallMeter } from "../stall";
import type { QualityController } from "./controller";

const LOOK_MS = 250;

/** Tells the qualities how the picture is doing. */
export class Watcher {
  readonly #stall = new StallMeter();
  readonly #timer: ReturnType<typeof setInterval>;
  #moved = false;

  /** @param counts whether a picture that stands is to be held against the connection */
  constructor(engine: Pick<Engine, "sample">, quality: QualityController, counts: () => boolean) {
    this.#timer = setInterval(() => {
      const sample = engine.sample();
      const now = Date.now();
      if (!sample || !counts()) this.#stall.reset(now);
      const still = sample ? this.#stall.observe(sample, now) : 0;
      // Before its first picture it does not stand still, it begins.
      if (!sample) this.#moved = false;
      else if (still === 0 && sample.time > 0) this.#moved = true;
      quality.progress({ still: this.#moved && counts() ? still : 0 });
    }, LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
