import { codecName } from "../lib/format/codecs";
import { frameRate } from "../lib/format/tracks";
import { t } from "../lib/i18n";
import type { IngestTrack, IngestVideo } from "./api";
import { bitrateText, secondsText } from "./words";

export interface Fact {
  label: string;
  value: string;
}

/**
 * What an encoder calls itself, for people. Many still say that they are Adobe's encoder of 2007, which old servers
 * wanted to hear.
 */
export function agentName(agent: string): string {
  const inner = /^FMLE\/[\d.]+ \(compatible; (.+)\)$/.exec(agent)?.[1] ?? agent;
  const obs = /\blibobs version ([\w.-]+)/.exec(inner);
  if (obs) return `OBS ${obs[1]}`;
  if (/^FMSc\//.test(inner)) return t("studio.agent.flash");
  return inner.replace(/^Lavf(?=\d)/, "ffmpeg, libavformat ");
}

/** What one track is, as label and value; what is not known is left out. */
export function trackFacts(track: IngestTrack): Fact[] {
  const facts = [fact(t("studio.track.codec"), codecName(track.codec))];
  if (track.kind === "video") facts.push(...videoFacts(track));
  else {
    if (track.sample_rate) {
      const rate = Number((track.sample_rate / 1000).toFixed(1));
      facts.push(fact(t("studio.track.sampleRate"), t("studio.kilohertz", { rate })));
    }
    if (track.channels) facts.push(fact(t("studio.track.channels"), channelsText(track.channels)));
  }
  const bitrate = track.measured_bitrate ?? track.bitrate;
  if (bitrate) facts.push(fact(t("studio.track.bitrate"), bitrateText(bitrate)));
  return facts;
}

function videoFacts(track: IngestVideo): Fact[] {
  const facts: Fact[] = [];
  if (track.width && track.height) {
    const size = t("tracks.size", { width: track.width, height: track.height });
    facts.push(fact(t("studio.track.size"), size));
  }
  const rate = rateText(track.measured_frame_rate, track.frame_rate);
  if (rate) facts.push(fact(t("studio.track.frameRate"), rate));
  if (track.keyframe_interval) {
    const every = t("studio.track.every", { time: secondsText(track.keyframe_interval) });
    facts.push(fact(t("studio.track.keyframes"), every));
  }
  if (typeof track.b_frames === "boolean") {
    facts.push(fact(t("studio.track.bFrames"), t(track.b_frames ? "studio.yes" : "studio.none")));
  }
  return facts;
}

/** What is measured counts; what was announced is added when it is not the same. */
function rateText(measured: number | null | undefined, announced: number | null): string | null {
  if (!measured) return announced ? t("tracks.fps", { rate: frameRate(announced) }) : null;
  const text = t("tracks.fps", { rate: Number(measured.toFixed(1)) });
  if (!announced || Math.abs(measured - announced) <= 0.03 * announced) return text;
  return t("studio.track.rates", { measured: text, announced: frameRate(announced) });
}

function channelsText(count: number): string {
  if (count === 1) return t("tracks.mono");
  return count === 2 ? t("tracks.stereo") : t("tracks.channels", { count });
}

function fact(label: string, value: string): Fact {
  return { label, value };
}
