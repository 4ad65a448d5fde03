import type { ChatMessage } from "./protocol";
import type { Timeline } from "./timeline";

/** A message that was taken away while it was to be seen: who said it, and nothing else. */
export interface Mark {
  id: number;
  name: string;
}

/** What a list draws: messages, and one line for what was taken away between two of them. */
export type Row =
  | { key: number; message: ChatMessage }
  | { key: number; message: null; name: string; count: number };

/** A message has one row as long as it is the same: so only what is new is drawn. */
const known = new WeakMap<ChatMessage, Row>();

function rowOf(message: ChatMessage): Row {
  let row = known.get(message);
  if (!row) {
    row = { key: message.id, message };
    known.set(message, row);
  }
  return row;
}

/** Both are in the order of their ids. */
export function rows(messages: Timeline, marks: readonly Mark[]): Row[] {
  if (marks.length === 0) return messages.map(rowOf);
  const found: Row[] = [];
  let next = 0;
  const markUntil = (id: number) => {
    for (let mark = marks[next]; mark && mark.id < id; mark = marks[next]) {
      const last = found.at(-1);
      if (last && last.message === null) {
        last.count += 1;
        if (last.name !== mark.name) last.name = "";
      } else found.push({ key: mark.id, message: null, name: mark.name, count: 1 });
      next += 1;
    }
  };
  for (const message of messages) {
    markUntil(message.id);
    found.push(rowOf(message));
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
