import { durationText } from "../../lib/format/time";
import { t } from "../../lib/i18n";
import type { GuestRule, Rules, Word } from "./api";

/** What the selects of the rules offer. A value that was set elsewhere, as by a command, is among them too. */

export interface Choice {
  value: number;
  text: string;
}

export const NUMBERS = ["slow", "followers", "duplicates", "caps"] as const;
export const SWITCHES = ["approve", "links", "emotes", "readonly"] as const;
export const GUESTS: readonly GuestRule[] = ["open", "work", "hold", "signin"];

type Numbers = (typeof NUMBERS)[number];

const OFFERED: Record<Numbers, readonly number[]> = {
  slow: [0, 3, 5, 10, 30, 60, 120, 300, 600],
  followers: [0, 1, 5, 10, 30, 60, 24 * 60],
  duplicates: [0, 30, 60, 300, 900],
  caps: [0, 50, 70, 90],
};

const TEXT: Record<Numbers, (value: number) => string> = {
  slow: (seconds) => t("moderation.every", { time: durationText(seconds) }),
  followers: (minutes) => t("moderation.after", { time: durationText(minutes * 60) }),
  duplicates: (seconds) => t("moderation.within", { time: durationText(seconds) }),
  caps: (percent) => t("moderation.percent", { count: percent }),
};

export function choicesOf(rule: Numbers, present: number): Choice[] {
  const values = [...new Set([...OFFERED[rule], present])].sort((a, b) => a - b);
  return values.map((value) => ({ value, text: value === 0 ? t("moderation.off") : TEXT[rule](value) }));
}

export const WORD_MAX = 200;
export const WORDS_MAX = 500;

/** Why the words cannot have this one more; empty when they can. */
export function wordError(words: Rules["words"], word: Word): string {
  if (word.text.trim() === "") return t("moderation.word.empty");
  if (word.text.length > WORD_MAX) return t("moderation.word.long", { count: WORD_MAX });
  if (words.length >= WORDS_MAX) return t("moderation.word.many", { count: WORDS_MAX });
  if (words.some(({ text, kind }) => text === word.text.trim() && kind === word.kind)) {
    return t("moderation.word.there");
  }
  return "";
}

/** What a Matrix ID looks like: `@name:server`, with `*` and `?` where those are allowed. */
export function isMatrixId(text: string, wildcards = false): boolean {
  return (wildcards ? /^@[^\s:]+:[^\s]+$/u : /^@[^\s:*?]+:[^\s*?]+$/u).test(text) && text.length <= 255;
}
