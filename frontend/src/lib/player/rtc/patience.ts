import type { Inbound } from "./stats";

/** Share of the packets that are asked for again from which on it is worth waiting for them. */
const WORTH_IT = 0.02;
/** Seconds that a packet takes which is missed, asked for and sent again: there and back, and what overtakes it. */
const ROUND_TRIPS = 2;
const SPARE_MS = 80;
const MOST_MS = 800;
/** Smaller changes are not worth the picture's going faster or slower. */
const STEP_MS = 60;
/** So long nothing must be missed until the picture is as near to the present as it can be again. */
const CALM_MS = 30_000;

type Receiver = Pick<RTCRtpReceiver, "track"> & { jitterBufferTarget?: number | null };

/**
 * Has the browser wait for packets that get lost and are sent again. By itself it does not know how long that takes, as
 * it sends nothing of its own: the picture would stop with each loss, and go on with the next keyframe.
 */
export class Patience {
  #target: number | null = null;
  #roundTrip = 0;
  #missedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly receivers: () => readonly Receiver[]) {}

  /** Called again and again with the counters of some seconds and the last time there and back, in seconds. */
  look(now: number, before: Inbound | null, video: Inbound | null, roundTrip: number | null): void {
    if (!video) return;
    // Browsers tell nothing of a picture of which nothing has come yet.
    const asked = video.nackCount - (before?.nackCount ?? 0);
    const came = video.packetsReceived - (before?.packetsReceived ?? 0);
    if (came > 0 && asked / came > WORTH_IT) this.#missedAt = now;
    // Single figures vary by as much as the network jitters.
    if (roundTrip !== null) this.#roundTrip += (this.#roundTrip ? 0.25 : 1) * (roundTrip - this.#roundTrip);
    if (now - this.#missedAt > CALM_MS) this.#set(null);
    else if (this.#missedAt === now) {
      const wanted = Math.min(Math.round(1000 * ROUND_TRIPS * this.#roundTrip) + SPARE_MS, MOST_MS);
      if (this.#target === null || Math.abs(wanted - this.#target) >= STEP_MS) this.#set(wanted);
    }
  }

  #set(target: number | null): void {
    if (target === this.#target) return;
    this.#target = target;
    // The sound, too: the browser keeps both together.
    for (const receiver of this.receivers()) {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = target;
    }
  }
}
