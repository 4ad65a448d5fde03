import { t } from "../lib/i18n";
import type { Rendition, TranscodeWarning } from "./api";

/** Parts of FFmpeg's encoder names, as people call them. */
const ENCODERS: ReadonlyArray<[part: string, name: string]> = [
  ["nvenc", "NVENC"],
  ["qsv", "Quick Sync"],
  ["vaapi", "VAAPI"],
  ["amf", "AMF"],
  ["v4l2m2m", "V4L2"],
  ["videotoolbox", "VideoToolbox"],
  ["libx264", "x264"],
  ["libsvtav1", "SVT-AV1"],
  ["libvpx", "libvpx"],
  ["libopus", "Opus"],
  ["aac", "AAC"],
];

export function encoderName(encoder: string): string {
  return ENCODERS.find(([part]) => encoder.includes(part))?.[1] ?? encoder;
}

const STATES: Record<string, () => string> = {
  source: () => t("studio.rendition.state.source"),
  idle: () => t("studio.rendition.state.idle"),
  starting: () => t("studio.rendition.state.starting"),
  running: () => t("studio.rendition.state.running"),
  lingering: () => t("studio.rendition.state.lingering"),
  refused: () => t("studio.rendition.state.refused"),
};

export function stateText({ state }: Pick<Rendition, "state">): string {
  return Object.hasOwn(STATES, state) ? (STATES[state]?.() ?? state) : state;
}

/** "1.5", "0.04": enough to see whether it is little. */
export function coresText(cores: number): string {
  return String(Number(cores.toFixed(cores < 1 ? 2 : 1)));
}

/** What there is to tell of a rendition besides its state. */
export function renditionFacts(rendition: Rendition): string[] {
  const { encoder, hardware, speed, cpu, frames_dropped: dropped, viewers, mode } = rendition;
  const facts: string[] = [];
  if (viewers === 1) facts.push(t("studio.rendition.viewers.one"));
  else if (viewers > 1) facts.push(t("studio.rendition.viewers.many", { count: viewers }));
  if (mode === "always") facts.push(t("studio.rendition.always"));
  if (encoder) {
    const values = { encoder: encoderName(encoder) };
    facts.push(hardware ? t("studio.rendition.hardware", values) : t("studio.rendition.software", values));
  }
  if (speed !== null) facts.push(t("studio.rendition.speed", { speed: speed.toFixed(1) }));
  if (cpu !== null) facts.push(t("studio.rendition.cores", { cores: coresText(cpu) }));
  if (dropped === 1) facts.push(t("studio.rendition.dropped.one"));
  else if (dropped > 1) facts.push(t("studio.rendition.dropped.many", { count: dropped }));
  return facts;
}

export interface WarningWords {
  heading: string;
  text: string;
  fix: string;
}

const WARNINGS: Record<string, (value: (name: string) => string) => WarningWords> = {
  too_slow: (value) => ({
    heading: t("studio.transcode.too_slow"),
    text:
      value("step") === "thinned"
        ? t("studio.transcode.too_slow.thinned", { name: value("name") })
        : t("studio.transcode.too_slow.withdrawn", { name: value("name") }),
    fix: t("studio.transcode.too_slow.fix"),
  }),
  decoder_too_slow: () => ({
    heading: t("studio.transcode.decoder_too_slow"),
    text: t("studio.transcode.decoder_too_slow.text"),
    fix: t("studio.transcode.decoder_too_slow.fix"),
  }),
  budget_spent: (value) => ({
    heading: t("studio.transcode.budget_spent", { name: value("name") }),
    text: t("studio.transcode.budget_spent.text", { reason: value("reason") }),
    fix: t("studio.transcode.budget_spent.fix"),
  }),
  worker_crashed: (value) => ({
    heading: t("studio.transcode.worker_crashed"),
    text: t("studio.transcode.worker_crashed.text", { reason: value("reason") }),
    fix: t("studio.transcode.worker_crashed.fix"),
  }),
  source_broken: (value) => ({
    heading: t("studio.transcode.source_broken"),
    text: t("studio.transcode.source_broken.text", { reason: sentence(value("reason")) }),
    fix: t("studio.transcode.source_broken.fix"),
  }),
  encoder_fell_back: (value) => ({
    heading: t("studio.transcode.encoder_fell_back"),
    text: t("studio.transcode.encoder_fell_back.text", {
      name: value("name"),
      encoder: encoderName(value("encoder")),
      instead: encoderName(value("instead_of")),
    }),
    fix: t("studio.transcode.encoder_fell_back.fix"),
  }),
};

/** A warning in words. A newer server may notice what this page has no words for: then its code is shown. */
export function warningWords({ code, values }: TranscodeWarning): WarningWords {
  const value = (name: string) => {
    const found = values[name];
    const text = typeof found === "string" || typeof found === "number" ? String(found) : "";
    return text.replace(/[.\s]+$/u, "") || t("studio.unknown");
  };
  const words = Object.hasOwn(WARNINGS, code) ? WARNINGS[code]?.(value) : undefined;
  return (
    words ?? { heading: t("studio.transcode.other", { code }), text: t("studio.advice.other.text"), fix: "" }
  );
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
