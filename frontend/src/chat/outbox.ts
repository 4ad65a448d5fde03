import type { ClientMessage, Quote, Refusal } from "./protocol";

/**
 * `waiting`: not handed to a socket, or to be handed over again; `sent`: handed over and not acknowledged, so it may be
 * stored or not; `failed`: refused, and the person decides; `held`: a moderator decides.
 */
export type PostState = "waiting" | "sent" | "failed" | "held";

export interface Post {
  readonly txn: string;
  readonly text: string;
  readonly reply: Quote | null;
  /** What its author does: shown after their name. */
  readonly emote: boolean;
  readonly state: PostState;
  readonly refusal: Refusal | null;
}

/** What this page has said and the server has not stored yet, in the order in which it was said. */
export type Outbox = readonly Post[];

export function enqueue(outbox: Outbox, text: string, reply: Quote | null, emote = false): Outbox {
  return [...outbox, { txn: newTxn(), text, reply, emote, state: "waiting", refusal: null }];
}

export function mark(outbox: Outbox, txn: string, state: PostState, refusal: Refusal | null = null): Outbox {
  return outbox.map((post) => (post.txn === txn ? { ...post, state, refusal } : post));
}

export function drop(outbox: Outbox, txn: string): Outbox {
  return outbox.filter((post) => post.txn !== txn);
}

export function postMessage(post: Post): ClientMessage {
  return {
    type: "post",
    txn: post.txn,
    text: post.text,
    ...(post.reply && { reply: post.reply.id }),
    ...(post.emote && { emote: true as const }),
  };
}

/** Unique among all messages of this guest, on whatever page. `randomUUID` would need a secure page. */
function newTxn(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
