import type { ChatMessage } from "./protocol";

/** Between two announcements: a screen reader finishes a sentence in it. */
export const PAUSE_MS = 3_000;
/** Read out of one announcement; of more only how many. */
export const READ_OUT = 3;
/** Of one message, in characters. */
const LONGEST = 140;

export interface AnnouncerOptions {
  /** The text for the live region. */
  say(text: string): void;
  /** One message as a sentence. */
  line(message: ChatMessage): string;
  /** "and 12 more messages" */
  more(count: number): string;
}

/**
 * Reads a chat out at the pace of a listener: at once what comes after a silence, what speaks to the person before the
 * rest, and of a flood only the newest and how many there were.
 */
export class Announcer {
  readonly #options: AnnouncerOptions;
  #waiting: ChatMessage[] = [];
  #urgent: ChatMessage[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: AnnouncerOptions) {
    this.#options = options;
  }

  add(messages: readonly ChatMessage[], concerns: (message: ChatMessage) => boolean): void {
    for (const message of messages) (concerns(message) ? this.#urgent : this.#waiting).push(message);
    if (this.#timer === undefined) this.#speak();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#waiting = [];
    this.#urgent = [];
  }

  #speak(): void {
    const count = this.#urgent.length + this.#waiting.length;
    if (count === 0) return;
    // What speaks to the person, then the newest of the rest, in the order in which they were said.
    const urgent = this.#urgent.slice(-READ_OUT);
    const room = READ_OUT - urgent.length;
    const chosen = [...urgent, ...(room > 0 ? this.#waiting.slice(-room) : [])].sort((a, b) => a.id - b.id);
    this.#waiting = [];
    this.#urgent = [];
    const lines = chosen.map((message) => cut(this.#options.line(message)));
    if (count > chosen.length) lines.push(this.#options.more(count - chosen.length));
    this.#options.say(lines.join("\n"));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#speak();
    }, PAUSE_MS);
  }
}

function cut(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
