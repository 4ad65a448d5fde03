import { HttpError } from "../../lib/http";
import { t } from "../../lib/i18n";
import { errorText } from "../words";
import type { CaptureError } from "./capture";
import type { SentReading } from "./outbound";
import { NoWayError } from "./publisher";

/** Why something cannot be captured, and what to do. */
export function problemText({ problem, kind }: CaptureError): string {
  switch (problem) {
    case "insecure":
      return t("golive.insecure");
    case "unsupported":
      return t("golive.problem.unsupported");
    case "unknown":
      return t("golive.problem.unknown");
    default:
      return t(`golive.problem.${problem}.${kind}`);
  }
}

/** Why a broadcast could not begin, or could not go on. */
export function failureText(error: unknown): string {
  if (error instanceof NoWayError) return t("golive.failed.noWay");
  if (error instanceof HttpError) return error.status === 409 ? t("golive.failed.taken") : errorText(error);
  return t("golive.failed.browser", { reason: error instanceof Error ? error.message : String(error) });
}

/** "0:07", "12:30", "1:02:03". */
export function clockText(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number) => String(value).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

export interface Fact {
  name: "size" | "bitrate" | "dropped" | "loss" | "roundTrip" | "transport";
  label: string;
  value: string;
}

/** How it is sent, line by line; what is not known is left out. */
export function sentFacts(stats: SentReading, bitrateText: (rate: number) => string): Fact[] {
  const facts: Fact[] = [];
  const add = (name: Fact["name"], value: string) =>
    facts.push({ name, label: t(`golive.stat.${name}`), value });
  const { width, height, frameRate, bitrate, dropped, loss, roundTrip, transport } = stats;
  if (width && height) {
    const size = t("tracks.size", { width, height });
    const rate = frameRate === null ? "" : `, ${t("tracks.fps", { rate: Math.round(frameRate) })}`;
    add("size", `${size}${rate}`);
  }
  if (bitrate !== null) add("bitrate", bitrateText(bitrate));
  if (height) add("dropped", String(dropped));
  if (loss !== null) add("loss", t("golive.percent", { share: Number((loss * 100).toFixed(1)) }));
  if (roundTrip !== null) add("roundTrip", t("golive.ms", { count: Math.round(roundTrip * 1000) }));
  if (transport !== null) add("transport", transport === "relay" ? "TURN" : transport.toUpperCase());
  return facts;
}
