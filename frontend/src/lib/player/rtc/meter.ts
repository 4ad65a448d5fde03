import { Patience } from "./patience";
import { moved, type RtcReading, reading, type Snapshot, snapshot } from "./stats";

const LOOK_MS = 500;
/** What is told is of about so long: of a single half second, loss would jump. */
const WINDOW = 8;
/** Frames may be this far apart in a quiet picture, as of a screen that is shared. */
const FROZEN_MS = 1_400;

/** Watches a peer connection that receives, and has it wait for what gets lost. */
export class RtcMeter {
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #history: Snapshot[] = [];
  readonly #patience: Patience;
  #movedAt: number | null = null;
  #asking = false;

  constructor(
    readonly connection: Pick<RTCPeerConnection, "getStats" | "connectionState" | "getReceivers">,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#patience = new Patience(() => connection.getReceivers());
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  /** Null until something is known. */
  get reading(): RtcReading | null {
    const last = this.#history.at(-1);
    if (!last) return null;
    const whole = reading(last, this.#history[0] === last ? null : (this.#history[0] ?? null));
    // What is seen at once should be told at once.
    const newest = reading(last, this.#history.at(-3) ?? this.#history[0] ?? null);
    return { ...whole, delay: newest.delay ?? whole.delay };
  }

  /**
   * Nothing comes any more. Some browsers go on counting the time of a video that shows a peer connection's stream, so
   * a picture that stands is not seen there.
   */
  get frozen(): boolean {
    return this.#movedAt !== null && this.now() - this.#movedAt > FROZEN_MS;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#asking || this.connection.connectionState === "closed") return;
    this.#asking = true;
    try {
      const report = (await this.connection.getStats()) as unknown as Iterable<[string, unknown]>;
      const found = snapshot(report, this.now());
      const before = this.#history.at(-1);
      if (before && moved(found, before)) this.#movedAt = this.now();
      this.#patience.look(found.time, this.#history[0]?.video ?? null, found.video, found.roundTrip);
      this.#history.push(found);
      if (this.#history.length > WINDOW) this.#history.shift();
    } catch {
      // Closed while it was asked.
    } finally {
      this.#asking = false;
    }
  }
}
