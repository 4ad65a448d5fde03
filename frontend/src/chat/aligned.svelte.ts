import type { PictureClock } from "../lib/player/clock";
import { browserStore, type Store } from "../lib/store";
import { Alignment } from "./alignment";
import type { ChatMessage } from "./protocol";
import type { Timeline } from "./timeline";

/** What is there to be shown. */
export interface Source {
  readonly messages: Timeline;
  /** Messages up to this number were there before this page was; null while the server has not said. */
  readonly history: number | null;
  isOwn(message: ChatMessage): boolean;
}

const LOOK_MS = 200;
const KEY = "ghostlive.chat.aligned";

/** The messages that the picture has reached, as reactive values. Without a clock it is all of them. */
export class AlignedView {
  readonly #source: Source;
  readonly #alignment: Alignment | null;
  readonly #memory: Store | null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #looks = $state(0);
  #on = $state(true);
  #last: Timeline = [];
  readonly #visible = $derived.by(() => this.#look());

  constructor(source: Source, clock: PictureClock | null, memory: Store | null = browserStore()) {
    this.#source = source;
    this.#alignment = clock && new Alignment(clock);
    this.#memory = memory;
    this.#on = recall(memory);
  }

  /** Looks at the picture from now on. */
  start(): void {
    if (this.#alignment) this.#timer ??= setInterval(() => this.#tick(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  get messages(): Timeline {
    return this.#visible;
  }

  /** How many messages the picture has not reached. */
  get waiting(): number {
    return this.#source.messages.length - this.#visible.length;
  }

  /** Seconds that the picture is behind the broadcast, as far as is known. */
  get behind(): number {
    void this.#looks;
    return this.#alignment?.behind ?? 0;
  }

  /** There is a picture to follow. */
  get possible(): boolean {
    return this.#alignment !== null;
  }

  /** The person's switch; kept in the browser. */
  get on(): boolean {
    return this.#on;
  }

  set on(on: boolean) {
    this.#on = on;
    try {
      if (on) this.#memory?.removeItem(KEY);
      else this.#memory?.setItem(KEY, "off");
    } catch {
      // Storage may be full or forbidden: only a convenience is lost.
    }
  }

  #tick(): void {
    // Nothing to look at, and nothing that winding back could take away: nothing is drawn anew.
    if (this.#source.messages.length > 0 && !this.#alignment?.idle) this.#looks += 1;
  }

  #look(): Timeline {
    void this.#looks;
    const { messages } = this.#source;
    if (!this.#alignment) return messages;
    this.#alignment.on = this.#on;
    this.#alignment.history = this.#source.history;
    const visible = this.#alignment.visible(messages, (message) => this.#source.isOwn(message));
    if (!same(visible, this.#last)) this.#last = visible;
    return this.#last;
  }
}

function same(a: Timeline, b: Timeline): boolean {
  return a === b || (a.length === b.length && a.every((message, index) => message === b[index]));
}

function recall(memory: Store | null): boolean {
  try {
    return memory?.getItem(KEY) !== "off";
  } catch {
    return true;
  }
}
