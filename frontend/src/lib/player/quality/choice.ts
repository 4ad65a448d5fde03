import { browserStore, type Store } from "../../store";

/** What the viewer has chosen: by itself, sound alone, the broadcaster's own picture, or a level's name. */
export type Choice =
  | { kind: "auto" }
  | { kind: "audio" }
  | { kind: "source" }
  | { kind: "level"; name: string };

const KEY = "ghostlive.quality";
/** Longer than a server lets names be. */
const MAX_LENGTH = 80;

export const AUTO: Choice = { kind: "auto" };

export function sameChoice(a: Choice, b: Choice): boolean {
  return a.kind === b.kind && (a.kind !== "level" || b.kind !== "level" || a.name === b.name);
}

/** Remembers the choice for all streams in this browser; without storage, for as long as the page is open. */
export class ChoiceMemory {
  constructor(private readonly store: Store | null = browserStore()) {}

  recall(): Choice {
    try {
      const value = this.store?.getItem(KEY) ?? "";
      if (value === "audio" || value === "source") return { kind: value };
      return value && value.length <= MAX_LENGTH ? { kind: "level", name: value } : AUTO;
    } catch {
      return AUTO;
    }
  }

  remember(choice: Choice): void {
    try {
      const value = choice.kind === "level" ? choice.name : choice.kind;
      const misread = choice.kind === "level" && (value === "audio" || value === "source");
      if (choice.kind === "auto" || misread) this.store?.removeItem(KEY);
      else this.store?.setItem(KEY, value);
    } catch {
      // Storage may be full or forbidden: only a convenience is lost.
    }
  }
}
