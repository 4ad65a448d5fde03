import type { Author, Emote } from "../protocol";

/** Something that can be put in the place of what was begun. */
export interface Option {
  /** What comes into the text. */
  insert: string;
  label: string;
  hint?: string;
  picture?: string;
}

export const MOST_OPTIONS = 8;

/** Names that begin with `query` first, then those that contain it. */
export function people(authors: Iterable<Author>, query: string, you: string | undefined): Option[] {
  const names = new Map<string, Author>();
  for (const author of authors) if (author.id !== you) names.set(author.name, author);
  return best([...names.values()], query, (author) => author.name).map(({ name, matrix }) => ({
    insert: `@${name}`,
    label: name,
    ...(matrix && { hint: matrix }),
  }));
}

export function emotes(known: Iterable<Emote>, query: string): Option[] {
  return best([...known], query, (emote) => emote.code).map(({ code, url }) => ({
    insert: `:${code}:`,
    label: `:${code}:`,
    picture: url,
  }));
}

export interface Command {
  name: string;
  usage: string;
  /** Only for who moderates. */
  moderators: boolean;
}

export function commands(known: readonly Command[], query: string, moderator: boolean): Option[] {
  const open = known.filter((command) => moderator || !command.moderators);
  return open
    .filter(({ name }) => name.startsWith(query.toLowerCase()))
    .map(({ name, usage }) => ({ insert: `/${name}`, label: `/${name}`, hint: usage }));
}

function best<T>(items: readonly T[], query: string, text: (item: T) => string): T[] {
  const wanted = query.toLowerCase();
  const rank = (item: T) => text(item).toLowerCase().indexOf(wanted);
  return items
    .filter((item) => rank(item) >= 0)
    .sort((a, b) => rank(a) - rank(b) || text(a).localeCompare(text(b)))
    .slice(0, MOST_OPTIONS);
}
