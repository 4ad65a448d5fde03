/** The wall-clock time at which a broadcast began, with the day when that was not today. */
export function sinceText(iso: string, now: Date, locale?: string): string {
  const since = new Date(iso);
  if (Number.isNaN(since.getTime())) return "";
  const time: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit" };
  const sameDay = since.toDateString() === now.toDateString();
  const options = sameDay
    ? time
    : { ...time, weekday: "short" as const, day: "numeric" as const, month: "short" as const };
  return new Intl.DateTimeFormat(locale, options).format(since);
}
