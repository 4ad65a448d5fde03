import "./said.css";
import { linkify } from "./linkify";
import { type Marked, mark } from "./marks";
import type { Emote } from "./protocol";
import { inline, onlyEmoji } from "./text";

export interface TextOptions {
  /** The room's own pictures, by their codes. */
  emotes?: ReadonlyMap<string, Emote> | undefined;
  /** The name of the person at this page, which is marked where somebody calls them. */
  you?: string | undefined;
  /** Without links, where nothing can be pressed. */
  still?: boolean;
}

/**
 * Puts what a stranger wrote into an element, in place of what was in it: text, safe links and pictures of this
 * server, never markup.
 */
export function putText(host: HTMLElement, text: string, { emotes, you, still }: TextOptions): void {
  const pieces = mark(still ? [{ kind: "text", text }] : linkify(text), emotes, you);
  const [first] = pieces;
  if (first?.kind === "text" && pieces.length === 1) host.textContent = first.text;
  else host.replaceChildren(...pieces.map(toNode));
}

/** The classes of an element that has such a text and stands behind its author's name. */
export function textClass(text: string): string {
  return `said pieces${inline(text) ? "" : " block"}${onlyEmoji(text) ? " emoji" : ""}`;
}

function toNode(piece: Marked): Node | string {
  switch (piece.kind) {
    case "link": {
      const link = document.createElement("a");
      link.href = piece.href;
      link.title = piece.href;
      link.dir = "ltr";
      link.target = "_blank";
      link.rel = "nofollow noopener noreferrer ugc";
      link.textContent = piece.label;
      return link;
    }
    case "emote": {
      const picture = document.createElement("img");
      // Before its address: else it would be loaded at once.
      picture.loading = "lazy";
      picture.decoding = "async";
      picture.alt = piece.code;
      picture.title = piece.code;
      picture.src = piece.url;
      return picture;
    }
    case "you": {
      const name = document.createElement("mark");
      name.textContent = piece.text;
      return name;
    }
    case "text":
      return piece.text;
  }
}
