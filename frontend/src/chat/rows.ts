import type { ChatMessage } from "./protocol";
import type { Timeline } from "./timeline";

/** A message that was taken away while it was to be seen: who said it, and nothing else. */
export interface Mark {
  id: number;
  name: string;
}

/** One line for what was taken away between two messages. */
export interface Gap {
  /** Of the first message that was taken away. */
  id: number;
  /** Who said all of it; empty when it was not one person. */
  name: string;
  count: number;
}

/** What a list draws, by their ids. */
export type Row = ChatMessage | Gap;

export function isGap(row: Row): row is Gap {
  return "count" in row;
}

/** Both are in the order of their ids. */
export function rows(messages: Timeline, marks: readonly Mark[]): readonly Row[] {
  if (marks.length === 0) return messages;
  const found: Row[] = [];
  let next = 0;
  const markUntil = (id: number) => {
    for (let mark = marks[next]; mark && mark.id < id; mark = marks[next]) {
      const last = found.at(-1);
      if (last && isGap(last)) {
        last.count += 1;
        if (last.name !== mark.name) last.name = "";
      } else found.push({ id: mark.id, name: mark.name, count: 1 });
      next += 1;
    }
  };
  for (const message of messages) {
    markUntil(message.id);
    found.push(message);
  }
  markUntil(Number.POSITIVE_INFINITY);
  return found;
}

/** With more marks; those that are older than all messages that are kept go, and the oldest when there are many. */
export function addMarks(
  marks: readonly Mark[],
  added: readonly Mark[],
  oldest: number,
  limit: number,
): Mark[] {
  return [...marks, ...added]
    .filter((mark) => mark.id > oldest)
    .sort((a, b) => a.id - b.id)
    .slice(-limit);
}
