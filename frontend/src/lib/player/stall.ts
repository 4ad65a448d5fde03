import type { Sample } from "./engine";

/** Tells how long the picture has stood still though it should move. */
export class StallMeter {
  #time: number | null = null;
  #since = 0;

  /** Milliseconds without progress; 0 while it moves or is paused by the viewer. */
  observe(sample: Sample, now: number): number {
    if (sample.time !== this.#time || (sample.paused && !sample.ended)) {
      this.#time = sample.time;
      this.#since = now;
    }
    return now - this.#since;
  }

  /** Starts counting anew, as when the page was hidden or the broadcast came back. */
  reset(now: number): void {
    this.#since = now;
  }
}
