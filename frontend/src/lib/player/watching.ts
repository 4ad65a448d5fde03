import type { SourceInfo } from "../api";
import { timeOfDay } from "../format/time";
import { t } from "../i18n";
import type { Failure } from "./failure";
import type { Remembered } from "./memory";
import type { Transport } from "./rtc/stats";
import type { Protocol } from "./sources";

/** How the picture comes, as measured; null for what is not known. */
export interface Reading {
  /** Seconds behind the broadcast. */
  delay: number | null;
  frameRate: number | null;
  /** Bits per second. */
  bitrate: number | null;
  /** Share of the packets that did not arrive, 0 to 1; of WebRTC only, as other ways send them again. */
  loss: number | null;
  transport: Transport | null;
}

export interface Fact {
  name: "protocol" | "delay" | "rendition" | "rate" | "bitrate" | "loss";
  label: string;
  value: string;
}

export interface Watching {
  source: Protocol | null;
  reading: Reading;
  /** Name of what is on the screen, as the quality menu has it. */
  rendition: string | null;
  /** It was not the viewer who chose it. */
  auto: boolean;
}

const PROTOCOL_NAMES: Record<Protocol, string> = { webrtc: "WebRTC", llhls: "LL-HLS", dash: "DASH" };
const TRANSPORTS = {
  udp: "watching.over.udp",
  tcp: "watching.over.tcp",
  relay: "watching.over.relay",
} as const;

/** The lines of the panel; what is not known is left out. */
export function watchingFacts({ source, reading, rendition, auto }: Watching): Fact[] {
  if (source === null) return [];
  const { delay, frameRate, bitrate, loss, transport } = reading;
  const facts: Fact[] = [fact("protocol", protocolText(source, transport))];
  if (delay !== null) facts.push(fact("delay", delayText(delay)));
  if (rendition !== null) {
    facts.push(fact("rendition", auto ? t("watching.auto", { name: rendition }) : rendition));
  }
  if (frameRate !== null) facts.push(fact("rate", t("tracks.fps", { rate: Math.round(frameRate) })));
  if (bitrate !== null) facts.push(fact("bitrate", bitrateText(bitrate)));
  if (loss !== null) facts.push(fact("loss", t("watching.percent", { share: shareText(loss) })));
  return facts;
}

function fact(name: Fact["name"], value: string): Fact {
  return { name, label: t(`watching.${name}`), value };
}

function protocolText(source: Protocol, transport: Transport | null): string {
  const name = PROTOCOL_NAMES[source];
  return transport ? t(TRANSPORTS[transport], { name }) : name;
}

function delayText(seconds: number): string {
  if (seconds < 1) return t("watching.ms", { count: Math.round(seconds * 100) * 10 });
  return t("watching.s", { count: Number(seconds.toFixed(1)) });
}

function bitrateText(bitrate: number): string {
  const megabits = bitrate / 1_000_000;
  if (megabits < 1) return t("watching.kilobits", { rate: Math.round(bitrate / 1000) });
  return t("tracks.bitrate", { rate: megabits < 10 ? megabits.toFixed(1) : megabits.toFixed(0) });
}

function shareText(share: number): string {
  const percent = share * 100;
  return String(Number(percent.toFixed(percent < 10 ? 1 : 0)));
}

export interface Circumstances {
  source: Protocol | null;
  /** What the server has for this stream. */
  offered: readonly SourceInfo[];
  /** The viewer listens only. */
  silent: boolean;
  requested: Protocol | null;
  playable: boolean;
  failure: Failure | Remembered | null;
}

const REASONS = {
  network: "watching.why.network",
  signalling: "watching.why.signalling",
  negotiation: "watching.why.negotiation",
  picture: "watching.why.picture",
  lost: "watching.why.lost",
  error: "watching.why.negotiation",
} as const;

/** Why it is not WebRTC that plays, in sentences; empty when it is, or nothing plays. */
export function whyNotWebRtc(at: Circumstances, locale?: string): string {
  const { source, offered, silent, requested, playable, failure } = at;
  if (source === null || source === "webrtc") return "";
  if (silent) return t("watching.why.silent");
  if (!playable) return t("watching.why.browser");
  if (requested !== null && requested !== "webrtc") {
    return t("watching.why.requested", { name: PROTOCOL_NAMES[requested] });
  }
  if (!offered.some(({ type }) => type === "webrtc")) return t("watching.why.offered");
  if (!failure) return "";
  const what =
    failure.reason === "refused"
      ? t("watching.why.refused", { text: failure.detail })
      : t(REASONS[failure.reason]);
  if (!("until" in failure)) return what;
  const time = new Intl.DateTimeFormat(locale, timeOfDay(locale)).format(failure.until);
  return `${what} ${t("watching.again", { time })}`;
}

/** Frames per second from a counter that is looked at now and then. */
export class FrameMeter {
  #last: { frames: number; time: number } | null = null;

  /** @returns null until two looks are far enough apart */
  observe(frames: number | null, time: number): number | null {
    const last = this.#last;
    if (frames === null) {
      this.#last = null;
      return null;
    }
    this.#last = { frames, time };
    // Fewer than before: another source, whose count begins anew.
    if (!last || frames < last.frames || time - last.time < 200) return null;
    return ((frames - last.frames) * 1000) / (time - last.time);
  }
}
