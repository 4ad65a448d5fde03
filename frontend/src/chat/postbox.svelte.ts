import { drop, enqueue, mark, type Outbox, type Post, postMessage } from "./outbox";
import type { ClientMessage, Quote, Refusal } from "./protocol";

export interface PostboxOptions {
  /** False when there is no connection. */
  send(message: ClientMessage): boolean;
  /** Whether anything may be said at the moment. */
  open(): boolean;
  /** A refusal has been sat out. */
  onPatience(): void;
}

/** What a person may have waiting at most; further lines stay in the field. */
export const MOST_WAITING = 5;
/** A refusal that passes within this many seconds is sat out, and the message goes out by itself. */
const PATIENCE_S = 15;
const BUSY_S = 2;
const PASSING: ReadonlySet<string> = new Set(["busy", "too_fast", "slow_mode"]);

/** Brings what is said to the server: in order, again after a broken line, patiently when the server wants a pause. */
export class Postbox {
  posts = $state.raw<Outbox>([]);
  readonly #options: PostboxOptions;
  /** Set while a refusal is sat out. */
  #pause: ReturnType<typeof setTimeout> | undefined;
  #careful = false;

  constructor(options: PostboxOptions) {
    this.#options = options;
  }

  /** Something was handed over, and whether it is stored is not known. */
  get unclear(): boolean {
    return this.posts.some((post) => post.state === "sent");
  }

  get pausing(): boolean {
    return this.#pause !== undefined;
  }

  /** False when too much waits already. */
  post(text: string, reply: Quote | null, emote = false): boolean {
    const waiting = this.posts.filter((post) => post.state === "waiting" || post.state === "sent");
    if (waiting.length >= MOST_WAITING) return false;
    this.posts = enqueue(this.posts, text, reply, emote);
    this.flush();
    return true;
  }

  retry(txn: string): void {
    this.posts = mark(this.posts, txn, "waiting");
    this.flush();
  }

  discard(txn: string): void {
    this.posts = drop(this.posts, txn);
  }

  /** There is a connection again. What was sent before may be stored: under its old name it is stored once. */
  resume(): void {
    this.#endPause();
    for (const post of this.posts) {
      if (post.state === "sent" && !this.#options.send(postMessage(post))) return;
    }
    this.flush();
  }

  flush(): void {
    if (!this.#options.open() || this.pausing) return;
    for (const post of this.posts) {
      if (post.state !== "waiting") continue;
      // Once something had to wait, one after the other: else a later message might slip through before it.
      if (this.#careful && this.unclear) return;
      if (!this.#options.send(postMessage(post))) return;
      this.posts = mark(this.posts, post.txn, "sent");
    }
    this.#careful &&= this.posts.length > 0;
  }

  /** It waits for a moderator. */
  hold(txn: string): void {
    this.posts = mark(this.posts, txn, "held");
    this.flush();
  }

  /** A moderator has let it through: it is among the messages now. */
  released(text: string): void {
    const post = this.posts.find((candidate) => candidate.state === "held" && candidate.text === text);
    if (post) this.posts = drop(this.posts, post.txn);
  }

  /** It is stored; undefined when this page did not send it. */
  acknowledge(txn: string): Post | undefined {
    const post = this.#find(txn);
    if (!post) return undefined;
    this.posts = drop(this.posts, txn);
    this.flush();
    return post;
  }

  /** False when the refusal is about something else. */
  refuse(refusal: Refusal): boolean {
    const post = this.#find(refusal.txn);
    if (!post) return false;
    const wait = refusal.retryAfter ?? (refusal.code === "busy" ? BUSY_S : null);
    const passes = PASSING.has(refusal.code) && wait !== null;
    if (refusal.code === "name_needed") {
      this.posts = mark(this.posts, post.txn, "waiting", refusal);
    } else if (passes && wait <= PATIENCE_S) {
      this.posts = mark(this.posts, post.txn, "waiting", refusal);
      this.#wait(wait);
    } else {
      this.posts = mark(this.posts, post.txn, "failed", refusal);
    }
    this.flush();
    return true;
  }

  failAll(): void {
    for (const post of this.posts) {
      if (post.state !== "held") this.posts = mark(this.posts, post.txn, "failed");
    }
  }

  close(): void {
    this.#endPause();
  }

  #wait(seconds: number): void {
    this.#careful = true;
    this.#endPause();
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#options.onPatience();
      this.flush();
    }, seconds * 1_000);
  }

  #endPause(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
  }

  #find(txn: string | null): Post | undefined {
    return this.posts.find((post) => post.txn === txn);
  }
}
