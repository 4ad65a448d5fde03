import { durationText, timeOfDay } from "../lib/format/time";
import { t } from "../lib/i18n";
import type { Post } from "./outbox";
import type { Ban, Refusal } from "./protocol";

/** What a refusal says to the person. Codes that the page does not know bring the server's own words. */
export function refusalText(refusal: Refusal, post?: Post): string {
  const time = refusal.retryAfter === null ? null : durationText(refusal.retryAfter);
  switch (refusal.code) {
    case "too_fast":
      if (time === null) return t("chat.error.tooFast");
      return post?.state === "waiting"
        ? t("chat.error.tooFastWaits", { time })
        : t("chat.error.tooFastFor", { time });
    case "busy":
      return t("chat.error.busy");
    case "too_long":
      return t("chat.error.tooLong");
    case "empty":
      return t("chat.error.empty");
    case "name_taken":
      return t("chat.error.nameTaken");
    case "name_needed":
      return t("chat.error.nameNeeded");
    case "banned":
      return t("chat.error.banned");
    case "not_allowed":
      return t("chat.error.notAllowed");
    case "not_found":
      return t("chat.error.notFound");
    default:
      return refusal.text || t("chat.error.other");
  }
}

export function banText(ban: Ban, now: Date, locale?: string): string {
  if (ban.until === null) return t("chat.banned.forGood");
  const until = new Date(ban.until);
  if (Number.isNaN(until.getTime())) return t("chat.banned.forGood");
  const sameDay = until.toDateString() === now.toDateString();
  const options = timeOfDay(locale);
  if (!sameDay) Object.assign(options, { weekday: "short", day: "numeric", month: "short" });
  return t("chat.banned.until", { time: new Intl.DateTimeFormat(locale, options).format(until) });
}

/** The time of day at which something was said; with the day when that was not today. */
export function saidAt(at: string, now: Date, locale?: string): { short: string; readonly long: string } {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return { short: "", long: "" };
  return {
    short: shortTime(date, now, locale),
    // Seldom looked at, and as costly as the other.
    get long() {
      return format("long", locale).format(date);
    },
  };
}

let last = { key: "", text: "" };

/** To format is costly, and in a lively chat many lines have the same time. */
function shortTime(date: Date, now: Date, locale: string | undefined): string {
  const key = `${minuteOf(date)} ${minuteOf(now)} ${locale}`;
  if (last.key !== key) {
    const sameDay = date.toDateString() === now.toDateString();
    // A narrow column has no room for "PM" in each line; the long form has it.
    const text = format(sameDay ? "time" : "day", locale)
      .formatToParts(date)
      .filter((part, index, parts) => part.type !== "dayPeriod" && parts[index + 1]?.type !== "dayPeriod")
      .map((part) => part.value)
      .join("");
    last = { key, text };
  }
  return last.text;
}

function minuteOf(date: Date): number {
  return Math.floor(date.getTime() / 60_000);
}

const TIME: Intl.DateTimeFormatOptions = { hour: "numeric", minute: "2-digit" };
const FORMATS = {
  time: TIME,
  day: { ...TIME, day: "numeric", month: "short" },
  long: { dateStyle: "medium", timeStyle: "medium" },
} as const satisfies Record<string, Intl.DateTimeFormatOptions>;
const made = new Map<string, Intl.DateTimeFormat>();

/** To make one costs a hundred times what it costs to use it, and there is one use in each line. */
function format(name: keyof typeof FORMATS, locale: string | undefined): Intl.DateTimeFormat {
  const key = `${name} ${locale}`;
  let found = made.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat(locale, FORMATS[name]);
    made.set(key, found);
  }
  return found;
}
