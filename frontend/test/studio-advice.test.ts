import { expect, test } from "vitest";
import { en } from "../src/lib/i18n/en";
import { adviceWords, sortAdvice } from "../src/studio/advice";
import type { AdviceItem } from "../src/studio/api";

/** Every code that the server has, with values as it sends them. */
const CODES: Record<string, Record<string, unknown>> = {
  no_audio: {},
  no_video: {},
  keyframes_rare: { interval: 8.33 },
  keyframes_irregular: { shortest: 0.5, longest: 3.9 },
  b_frames: {},
  frame_rate_low: { measured: 22.4, nominal: 29.97 },
  bitrate_low: { bitrate: 300_000, suggested: 2_400_000 },
  bitrate_high: { bitrate: 20_000_000, suggested: 4_500_000 },
  uneven_arrival: { seconds: 1.5 },
  behind: { seconds: 4 },
  codec_limited: { codec: "h265", browsers: "Firefox, Chrome" },
  chroma_unsupported: { codec: "h264", format: "4:4:4" },
  source_remade: { codec: "h265" },
  odd_size: { width: 853, height: 480 },
  variable_frame_rate: { measured: 24.1 },
  av_drift: { seconds: -1.2 },
};

test.each(Object.entries(CODES))("%s is said in words, and what to do", (code, values) => {
  const { heading, text, fix } = adviceWords({ code, values });
  for (const words of [heading, text, fix]) {
    expect(words).not.toBe("");
    expect(words).not.toMatch(/[{}]|undefined|NaN|\?$/);
  }
  expect(heading).not.toContain("noticed");
  expect(fix).toMatch(/OBS/);
});

test("the catalogue has no advice without a code", () => {
  const codes = Object.keys(en)
    .filter((key) => /^studio\.advice\.[a-z]+_[a-z_]+$/.test(key))
    .map((key) => key.split(".")[2]);
  for (const code of codes) expect(CODES).toHaveProperty(code ?? "");
});

test("numbers have units", () => {
  const said = (code: string) => Object.values(adviceWords({ code, values: CODES[code] ?? {} })).join(" ");
  expect(said("keyframes_rare")).toContain("every 8.3 s");
  expect(said("keyframes_rare")).toContain("Keyframe Interval: 2 s");
  expect(said("frame_rate_low")).toContain("22.4 fps arrive of the 29.97 fps");
  expect(said("bitrate_low")).toContain("300 kb/s");
  expect(said("bitrate_high")).toContain("about 4.5 Mb/s");
  expect(said("codec_limited")).toContain("H.265 (HEVC)");
  expect(said("av_drift")).toContain("1.2 s apart");
  expect(said("b_frames")).toContain("bframes=0");
});

test("a value that is missing, and a code that is new, still read", () => {
  expect(adviceWords({ code: "keyframes_rare", values: {} }).text).not.toMatch(/undefined|NaN/);
  expect(adviceWords({ code: "codec_limited", values: { codec: "vvc" } }).heading).toContain("vvc");
  expect(adviceWords({ code: "sunspots", values: {} }).heading).toContain("sunspots");
  // Not a property that every object has.
  expect(adviceWords({ code: "constructor", values: {} }).heading).toContain("constructor");
});

test("the worst comes first", () => {
  const item = (code: string, severity: AdviceItem["severity"]): AdviceItem => ({
    code,
    severity,
    values: {},
  });
  const sorted = sortAdvice([
    item("a", "hint"),
    item("b", "warning"),
    item("c", "problem"),
    item("d", "warning"),
  ]);
  expect(sorted.map(({ code }) => code)).toEqual(["c", "b", "d", "a"]);
});
