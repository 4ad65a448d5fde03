/** How the chat is shown over a picture, as asked for in the address of `/overlay/{stream}`. */
export interface OverlayOptions {
  /** Height of the letters in pixels. */
  size: number;
  /** Seconds after which a message goes; 0 keeps it until newer ones need its place. */
  fade: number;
  /** Whether it is said who says something. */
  names: boolean;
  /** Whether pictures and stickers are shown; else the words that describe them: strangers choose them. */
  pictures: boolean;
  align: "left" | "right";
}

const SIZE = { standard: 28, least: 10, most: 120 };
const LONGEST_FADE_S = 3_600;

export function overlayOptions(search: string): OverlayOptions {
  const query = new URLSearchParams(search);
  return {
    size: within(query.get("size"), SIZE.least, SIZE.most) ?? SIZE.standard,
    fade: within(query.get("fade"), 0, LONGEST_FADE_S) ?? 0,
    names: query.get("names") !== "off",
    pictures: query.get("pictures") === "on",
    align: query.get("align") === "right" ? "right" : "left",
  };
}

/** A number in its limits; null for what is none. */
function within(value: string | null, least: number, most: number): number | null {
  const number = value === null || value.trim() === "" ? Number.NaN : Number(value);
  return Number.isFinite(number) ? Math.min(most, Math.max(least, number)) : null;
}
