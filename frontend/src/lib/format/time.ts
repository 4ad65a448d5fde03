/** As the reader writes the time: "9:05 AM", but "09:05". */
export function timeOfDay(locale?: string): Intl.DateTimeFormatOptions {
  const { hour12 } = new Intl.DateTimeFormat(locale, { hour: "numeric" }).resolvedOptions();
  return { hour: hour12 ? "numeric" : "2-digit", minute: "2-digit" };
}

/** The wall-clock time at which a broadcast began, with the day when that was not today. */
export function sinceText(iso: string, now: Date, locale?: string): string {
  const since = new Date(iso);
  if (Number.isNaN(since.getTime())) return "";
  const time = timeOfDay(locale);
  const sameDay = since.toDateString() === now.toDateString();
  const options = sameDay
    ? time
    : { ...time, weekday: "short" as const, day: "numeric" as const, month: "short" as const };
  return new Intl.DateTimeFormat(locale, options).format(since);
}

/** "12 seconds", "2 minutes", "3 hours", "4 days": rounded up, because nobody minds being early. */
export function durationText(seconds: number, locale = "en"): string {
  const units = [
    ["day", 86_400],
    ["hour", 3_600],
    ["minute", 60],
  ] as const;
  const [unit, size] = units.find(([, length]) => seconds >= length) ?? (["second", 1] as const);
  const value = Math.max(1, Math.ceil(seconds / size));
  return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).format(value);
}
