import { durationText } from "../lib/format/time";
import { HttpError } from "../lib/http";
import { t } from "../lib/i18n";

/** A failure as a sentence that says what to do. The server's own sentence comes first. */
export function errorText(error: unknown): string {
  if (!(error instanceof HttpError)) return t("studio.error.unexpected");
  if (error.status === 0) return t("studio.error.network");
  if (error.status === 429 && error.retryAfter !== null) {
    return t("studio.error.wait", { time: durationText(error.retryAfter) });
  }
  return error.detail || t("studio.error.status", { status: error.status });
}

/** "2.5 Mb/s", "128 kb/s". */
export function bitrateText(bitrate: number): string {
  const megabits = bitrate / 1_000_000;
  if (megabits < 1) return t("studio.kilobits", { rate: Math.round(bitrate / 1000) });
  return t("tracks.bitrate", { rate: megabits < 10 ? megabits.toFixed(1) : megabits.toFixed(0) });
}

/** "2 s", "8.3 s", "0.03 s": two digits that count. */
export function secondsText(seconds: number): string {
  const digits = seconds < 1 ? 2 : seconds < 10 ? 1 : 0;
  return t("studio.s", { count: Number(seconds.toFixed(digits)) });
}

/** A day and a time, as the reader's language writes them. */
export function momentText(iso: string, locale?: string): string {
  const moment = new Date(iso);
  if (Number.isNaN(moment.getTime())) return "";
  return new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(moment);
}
