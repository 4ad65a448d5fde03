import type { PictureClock } from "../lib/player/clock";
import type { ChatMessage } from "./protocol";
import type { Timeline } from "./timeline";

/**
 * Shows what was said when the viewer's picture reaches the moment at which it was said: otherwise the chat cheers at a
 * goal that a viewer three seconds behind has not seen.
 *
 * Where the picture has dates (LL-HLS, DASH), a message waits until the picture reaches its `at`; both are of the server's
 * clock, and no message comes with a date after it. WebRTC has none, so there a message waits for the picture's delay from when it came. Without a picture nothing
 * waits. What was shown stays, also when the source changes or stalls; only who winds back takes it away again.
 */

/** Further back than this is winding back, and not another source or a jump of a library. */
const WOUND_BACK_MS = 8_000;
/** WebRTC's delay is measured; one that is longer than this is no delay but a fault. */
const LONGEST_DELAY_S = 10;
/** More than a page keeps of messages. */
const REMEMBERED = 4_000;

interface Arrival {
  /** Milliseconds of the monotonic clock. */
  seen: number;
  /** When it is due on the picture's clock, in milliseconds since 1970. */
  due: number;
}

export class Alignment {
  /** The person's switch. */
  on = true;
  /** Messages up to this number were there before this page was; they wait for no delay. Null while nobody has said. */
  history: number | null = null;
  /** The picture was here: what is dated until then is shown. Milliseconds since 1970. */
  #horizon = Number.NEGATIVE_INFINITY;
  /** The newest date of a message that was shown. */
  #shown = Number.NEGATIVE_INFINITY;
  /** How far back the picture is, in seconds. */
  #behind = 0;
  /** There was a picture at the last look. */
  #followed = false;
  readonly #arrivals = new Map<number, Arrival>();
  /** The last list whose arrivals were noted. */
  #noted: Timeline = [];
  /** The newest date in it. */
  #newest = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly clock: Pick<PictureClock, "read">,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Seconds by which the picture is behind, as of the last look; 0 without one. */
  get behind(): number {
    return this.#behind;
  }

  /** There is no picture, and was none at the last look: time alone changes nothing of what is to be seen. */
  get idle(): boolean {
    return !this.#followed && this.clock.read() === null;
  }

  /** What of `messages` is to be seen now; the same list when it is all of them. `own` messages never wait. */
  visible(messages: Timeline, own: (message: ChatMessage) => boolean): Timeline {
    const picture = this.clock.read();
    const now = this.now();
    this.#behind = picture?.behind ?? 0;
    this.#followed = picture !== null;
    if (messages !== this.#noted) this.#note(messages, now);
    if (!this.on || picture === null) {
      this.#shown = Math.max(this.#shown, this.#newest);
      this.#horizon = Math.max(this.#horizon, this.#shown);
      return messages;
    }
    let reached: (message: ChatMessage) => boolean;
    if (picture.at !== null) {
      this.#horizon =
        picture.at < this.#horizon - WOUND_BACK_MS ? picture.at : Math.max(picture.at, this.#horizon);
      reached = (message) => this.#due(message) <= this.#horizon;
    } else {
      const delay = Math.min(picture.behind ?? 0, LONGEST_DELAY_S) * 1000;
      reached = (message) => now - (this.#arrivals.get(message.id)?.seen ?? 0) >= delay;
    }
    const visible = messages.filter((message) => reached(message) || own(message));
    if (picture.at === null) {
      // For the change to a source that has dates: what is on the screen stays there.
      for (const message of visible) this.#horizon = Math.max(this.#horizon, this.#due(message));
    }
    return visible.length === messages.length ? messages : visible;
  }

  #due(message: ChatMessage): number {
    return this.#arrivals.get(message.id)?.due ?? Number.NEGATIVE_INFINITY;
  }

  #note(messages: Timeline, now: number): void {
    const { history } = this;
    this.#noted = messages;
    this.#newest = Number.NEGATIVE_INFINITY;
    for (const message of messages) {
      const known = this.#arrivals.get(message.id);
      if (known) {
        this.#newest = Math.max(this.#newest, known.due);
        continue;
      }
      const old = history === null || message.id <= history;
      const seen = old ? Number.NEGATIVE_INFINITY : now;
      const due = Date.parse(message.at);
      // Of a date that makes no sense nothing follows: it is shown at once.
      const arrival = { seen, due: Number.isNaN(due) ? Number.NEGATIVE_INFINITY : due };
      this.#arrivals.set(message.id, arrival);
      this.#newest = Math.max(this.#newest, arrival.due);
    }
    for (const id of this.#arrivals.keys()) {
      if (this.#arrivals.size <= REMEMBERED) break;
      this.#arrivals.delete(id);
    }
  }
}
