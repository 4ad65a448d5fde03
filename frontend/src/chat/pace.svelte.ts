import type { ChatMessage } from "./protocol";
import type { Timeline } from "./timeline";

/** Messages that are made for one picture: what comes at once does not keep the page from answering. */
export const AT_ONCE = 1;
/** Of many, so many more for each picture that all are there after this many. */
const PICTURES = 30;
/** More than this nobody follows, and most of it would be gone from the screen before it was seen: all at once. */
export const MOST_WAITING = 60;

export interface PaceOptions {
  /** What is there to be drawn, in the order of the ids. */
  messages(): Timeline;
  /** Own messages never wait. */
  own(message: ChatMessage): boolean;
  /** Nothing waits: what comes is not on the screen. */
  hurry(): boolean;
}

/** What of a list that grows in bursts is drawn by now, as a reactive value: a few messages more with each picture. */
export class Pace {
  readonly #options: PaceOptions;
  /** Everything up to this id is drawn; null as long as nothing was. */
  #until: number | null = null;
  /** Since the last picture. */
  #made = 0;
  #frame = 0;
  /** Something is there that is not drawn. */
  #waiting = false;
  #pictures = $state(0);
  readonly #drawn = $derived.by(() => this.#look());

  constructor(options: PaceOptions) {
    this.#options = options;
  }

  get messages(): Timeline {
    return this.#drawn;
  }

  close(): void {
    cancelAnimationFrame(this.#frame);
  }

  #look(): Timeline {
    void this.#pictures;
    const messages = this.#options.messages();
    const newest = messages.at(-1)?.id;
    if (newest === undefined) {
      this.#until = null;
      this.#waiting = false;
      return messages;
    }
    const until = this.#until;
    const waiting: ChatMessage[] = [];
    if (until !== null) {
      for (let index = messages.length - 1; index >= 0; index -= 1) {
        const message = messages[index] as ChatMessage;
        if (message.id <= until) break;
        waiting.push(message);
      }
    }
    const most = Math.max(AT_ONCE, Math.ceil(waiting.length / PICTURES));
    const room = Math.max(most - this.#made, 0);
    // A page that nobody sees gets no pictures.
    const all = this.#options.hurry() || document.visibilityState === "hidden";
    if (all || until === null || waiting.length <= room || waiting.length > MOST_WAITING) {
      this.#until = newest;
      this.#waiting = false;
      this.#note(waiting.length);
      return messages;
    }
    const reached = room > 0 ? (waiting[waiting.length - room] as ChatMessage).id : until;
    this.#until = reached;
    this.#waiting = true;
    this.#note(room);
    this.#next();
    return messages.filter((message) => message.id <= reached || this.#options.own(message));
  }

  #note(made: number): void {
    if (made === 0) return;
    this.#made += made;
    this.#next();
  }

  /** With the next picture there is room again. */
  #next(): void {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.#made = 0;
      if (this.#waiting) this.#pictures += 1;
    });
  }
}
