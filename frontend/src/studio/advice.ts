import { frameRate } from "../lib/format/tracks";
import { t } from "../lib/i18n";
import type { AdviceItem } from "./api";
import { bitrateText, secondsText } from "./words";

/** What the server noticed, in words: what it is, what viewers notice of it, and what to change in OBS. */
export interface AdviceWords {
  heading: string;
  text: string;
  /** Empty when there is nothing that one could change. */
  fix: string;
}

/** The server's codec names as people write them. */
const CODECS: Record<string, string> = {
  h264: "H.264",
  h265: "H.265 (HEVC)",
  av1: "AV1",
  vp8: "VP8",
  vp9: "VP9",
  aac: "AAC",
  opus: "Opus",
  flac: "FLAC",
  ac3: "Dolby Digital",
  eac3: "Dolby Digital Plus",
  mp3: "MP3",
};

const RANK: Record<string, number> = { problem: 0, warning: 1, hint: 2 };

/** The worst first; the server's order within. */
export function sortAdvice(items: readonly AdviceItem[]): AdviceItem[] {
  return [...items].sort((a, b) => (RANK[a.severity] ?? 2) - (RANK[b.severity] ?? 2));
}

/** A newer server may notice what this page has no words for: then its code is shown rather than nothing. */
export function adviceWords({ code, values }: Pick<AdviceItem, "code" | "values">): AdviceWords {
  const known = Object.hasOwn(WORDS, code) ? WORDS[code] : undefined;
  if (known) return known(new Values(values));
  return {
    heading: t("studio.advice.other", { code }),
    text: t("studio.advice.other.text"),
    fix: "",
  };
}

/** Numbers that the server sent, as text; a missing one leaves a gap that reads, not "undefined". */
class Values {
  constructor(private readonly values: Record<string, unknown>) {}

  /** How long; which of two is the later one is no help to who reads it. */
  seconds(name: string): string {
    return this.#number(name, (value) => secondsText(Math.abs(value)));
  }

  bitrate(name: string): string {
    return this.#number(name, bitrateText);
  }

  rate(name: string): string {
    return this.#number(name, (value) => t("tracks.fps", { rate: frameRate(value) }));
  }

  text(name: string): string {
    const value = this.values[name];
    return typeof value === "string" || typeof value === "number" ? String(value) : t("studio.unknown");
  }

  codec(name: string): string {
    const text = this.text(name);
    return CODECS[text] ?? text;
  }

  #number(name: string, format: (value: number) => string): string {
    const value = Number(this.values[name] ?? Number.NaN);
    return Number.isFinite(value) ? format(value) : t("studio.unknown");
  }
}

const WORDS: Record<string, (values: Values) => AdviceWords> = {
  no_audio: () => ({
    heading: t("studio.advice.no_audio"),
    text: t("studio.advice.no_audio.text"),
    fix: t("studio.advice.no_audio.fix"),
  }),
  no_video: () => ({
    heading: t("studio.advice.no_video"),
    text: t("studio.advice.no_video.text"),
    fix: t("studio.advice.no_video.fix"),
  }),
  keyframes_rare: (values) => ({
    heading: t("studio.advice.keyframes_rare"),
    text: t("studio.advice.keyframes_rare.text", { interval: values.seconds("interval") }),
    fix: t("studio.advice.keyframes.fix"),
  }),
  keyframes_irregular: (values) => ({
    heading: t("studio.advice.keyframes_irregular"),
    text: t("studio.advice.keyframes_irregular.text", {
      shortest: values.seconds("shortest"),
      longest: values.seconds("longest"),
    }),
    fix: t("studio.advice.keyframes_irregular.fix"),
  }),
  b_frames: () => ({
    heading: t("studio.advice.b_frames"),
    text: t("studio.advice.b_frames.text"),
    fix: t("studio.advice.b_frames.fix"),
  }),
  frame_rate_low: (values) => ({
    heading: t("studio.advice.frame_rate_low"),
    text: t("studio.advice.frame_rate_low.text", {
      measured: values.rate("measured"),
      nominal: values.rate("nominal"),
    }),
    fix: t("studio.advice.overload.fix"),
  }),
  bitrate_low: (values) => ({
    heading: t("studio.advice.bitrate_low"),
    text: t("studio.advice.bitrate_low.text", { bitrate: values.bitrate("bitrate") }),
    fix: t("studio.advice.bitrate_low.fix", { suggested: values.bitrate("suggested") }),
  }),
  bitrate_high: (values) => ({
    heading: t("studio.advice.bitrate_high"),
    text: t("studio.advice.bitrate_high.text", { bitrate: values.bitrate("bitrate") }),
    fix: t("studio.advice.bitrate_high.fix", { suggested: values.bitrate("suggested") }),
  }),
  uneven_arrival: (values) => ({
    heading: t("studio.advice.uneven_arrival"),
    text: t("studio.advice.uneven_arrival.text", { seconds: values.seconds("seconds") }),
    fix: t("studio.advice.uneven_arrival.fix"),
  }),
  behind: (values) => ({
    heading: t("studio.advice.behind"),
    text: t("studio.advice.behind.text", { seconds: values.seconds("seconds") }),
    fix: t("studio.advice.behind.fix"),
  }),
  codec_limited: (values) => ({
    heading: t("studio.advice.codec_limited", { codec: values.codec("codec") }),
    text: t("studio.advice.codec_limited.text", { browsers: values.text("browsers") }),
    fix: t("studio.advice.codec_limited.fix"),
  }),
  chroma_unsupported: (values) => ({
    heading: t("studio.advice.chroma_unsupported"),
    text: t("studio.advice.chroma_unsupported.text", { format: values.text("format") }),
    fix: t("studio.advice.chroma_unsupported.fix"),
  }),
  source_remade: (values) => ({
    heading: t("studio.advice.source_remade", { codec: values.codec("codec") }),
    text: t("studio.advice.source_remade.text"),
    fix: t("studio.advice.source_remade.fix"),
  }),
  odd_size: (values) => ({
    heading: t("studio.advice.odd_size"),
    text: t("studio.advice.odd_size.text", { width: values.text("width"), height: values.text("height") }),
    fix: t("studio.advice.odd_size.fix"),
  }),
  variable_frame_rate: () => ({
    heading: t("studio.advice.variable_frame_rate"),
    text: t("studio.advice.variable_frame_rate.text"),
    fix: t("studio.advice.variable_frame_rate.fix"),
  }),
  av_drift: (values) => ({
    heading: t("studio.advice.av_drift"),
    text: t("studio.advice.av_drift.text", { seconds: values.seconds("seconds") }),
    fix: t("studio.advice.av_drift.fix"),
  }),
};
