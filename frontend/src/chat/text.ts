const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const EMOJI =
  /^(?:[\p{Extended_Pictographic}\u{1f1e6}-\u{1f1ff}\u{1f3fb}-\u{1f3ff}\u{e0020}-\u{e007f}\s]|\u200d|\ufe0f)+$/u;
const A_FEW = 3;

/** Whether a text may run on behind its author's name: one line, written in the direction of the page. */
export function inline(text: string): boolean {
  return !text.includes("\n") && !RIGHT_TO_LEFT.test(text);
}

/** A few emoji and nothing else are shown larger. */
export function onlyEmoji(text: string): boolean {
  // Firefox has it since version 125; without it emoji are as large as letters.
  if (!("Segmenter" in Intl) || !EMOJI.test(text)) return false;
  const clusters = new Intl.Segmenter().segment(text.replace(/\s/gu, ""));
  return [...clusters].length <= A_FEW;
}

/** What somebody does who writes `/me …`, else null. */
export function did(text: string): string | null {
  return /^\/me\s+(\S.*)$/isu.exec(text)?.[1] ?? null;
}

/** As the server counts: code points. */
export function lengthOf(text: string): number {
  return [...text].length;
}

/** The beginning of an emoji's code, a name or a command that somebody writes. */
export interface Word {
  sign: ":" | "@" | "/";
  /** Without its sign. */
  query: string;
  /** Index of the sign. */
  start: number;
}

const STARTED = /(?:^|\s)(?:(:)([\p{L}\p{N}_+-]{2,40})|(@)([^\s@]{0,32}))$|^(\/)([\w-]{0,20})$/u;

/** What could be completed at the end of `text`. */
export function wordAt(text: string): Word | null {
  const match = STARTED.exec(text);
  if (!match) return null;
  const sign = (match[1] ?? match[3] ?? match[5]) as Word["sign"];
  const query = match[2] ?? match[4] ?? match[6] ?? "";
  return { sign, query, start: text.length - query.length - 1 };
}
