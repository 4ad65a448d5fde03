import type { ChatMessage } from "./protocol";

/** Pure functions on the list of messages: by id, each once. Every change gives a new list. */
export type Timeline = readonly ChatMessage[];

export function add(timeline: Timeline, messages: readonly ChatMessage[]): Timeline {
  if (messages.length === 0) return timeline;
  const newest = timeline.at(-1)?.id ?? Number.NEGATIVE_INFINITY;
  const [first] = messages;
  // Nearly always: one message, newer than all.
  if (messages.length === 1 && first && first.id > newest) return [...timeline, first];
  const byId = new Map([...timeline, ...messages].map((message) => [message.id, message]));
  return [...byId.values()].sort((a, b) => a.id - b.id);
}

/** Without these messages; replies to them keep the name that they answer, not the words. */
export function remove(timeline: Timeline, ids: readonly number[]): Timeline {
  if (ids.length === 0) return timeline;
  const gone = new Set(ids);
  return timeline
    .filter((message) => !gone.has(message.id))
    .map((message) =>
      message.reply && gone.has(message.reply.id)
        ? { ...message, reply: { ...message.reply, text: null } }
        : message,
    );
}

/** With another version of one message; replies to it keep the words that they answered. */
export function replace(
  timeline: Timeline,
  id: number,
  change: (message: ChatMessage) => ChatMessage,
): Timeline {
  return timeline.map((message) => (message.id === id ? change(message) : message));
}

/** Only the newest. */
export function trim(timeline: Timeline, limit: number): Timeline {
  return timeline.length > limit ? timeline.slice(-limit) : timeline;
}
