import type { Piece } from "./linkify";
import type { Emote } from "./protocol";

/** A message's text in pieces: with the pictures of the room, and the name of who is called. */
export type Marked = Piece | { kind: "emote"; url: string; code: string } | { kind: "you"; text: string };

/** As the server takes codes from packs: of any letters. */
const CODE = /:([^\s:<>"'&\p{Cc}]{1,64}):/gu;

/** Where nothing is to be found, the pieces are given back as they are: nearly always. */
export function mark(
  pieces: readonly Piece[],
  emotes: ReadonlyMap<string, Emote> | undefined,
  you: string | undefined,
): readonly Marked[] {
  let found: readonly Marked[] = pieces;
  if (emotes?.size) {
    found = split(found, CODE, (match) => {
      const emote = emotes.get(match[1] ?? "");
      return emote ? { kind: "emote", url: emote.url, code: match[0] } : null;
    });
  }
  if (you) {
    found = split(found, calling(you), (match) => ({ kind: "you", text: match[0] }));
  }
  return found;
}

let called = { name: "", pattern: /(?!)/u };

/** Somebody's name with an @, not followed by more of a name. For `search` and `matchAll`, which forget where it matched. */
export function calling(name: string): RegExp {
  if (called.name !== name) {
    const written = name.replace(/[.*+?^${}()|[\]\\]/gu, "\\$&");
    called = { name, pattern: new RegExp(`@${written}(?![\\p{L}\\p{N}_])`, "giu") };
  }
  return called.pattern;
}

function split(
  pieces: readonly Marked[],
  pattern: RegExp,
  make: (match: RegExpExecArray) => Marked | null,
): readonly Marked[] {
  if (!pieces.some((piece) => piece.kind === "text" && piece.text.search(pattern) >= 0)) return pieces;
  return pieces.flatMap((piece) => {
    if (piece.kind !== "text") return [piece];
    const parts: Marked[] = [];
    let done = 0;
    for (const match of piece.text.matchAll(pattern)) {
      const made = make(match);
      if (!made) continue;
      if (match.index > done) parts.push({ kind: "text", text: piece.text.slice(done, match.index) });
      parts.push(made);
      done = match.index + match[0].length;
    }
    if (done < piece.text.length) parts.push({ kind: "text", text: piece.text.slice(done) });
    return parts;
  });
}
