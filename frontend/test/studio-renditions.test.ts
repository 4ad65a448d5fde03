import { mount, unmount } from "svelte";
import { describe, expect, test, vi } from "vitest";
import { en } from "../src/lib/i18n/en";
import { type Rendition, type RenditionSetting, StudioApi } from "../src/studio/api";
import LadderPanel from "../src/studio/LadderPanel.svelte";
import {
  checkRows,
  newRow,
  rowName,
  serverErrors,
  settingText,
  toRow,
  toSetting,
} from "../src/studio/ladder";
import { encoderName, renditionFacts, stateText, warningWords } from "../src/studio/renditions";
import { FakeServer, json } from "./studio-support";

function rendition(change: Partial<Rendition> = {}): Rendition {
  return {
    id: "v0-720p30",
    name: "720p30",
    kind: "video",
    codec: "h264",
    width: 1280,
    height: 720,
    frame_rate: 30,
    bitrate: 2_600_000,
    mode: "demand",
    state: "running",
    encoder: "libx264",
    hardware: false,
    speed: 2.04,
    cpu: 0.456,
    frames_dropped: 0,
    reason: "",
    viewers: 3,
    ...change,
  };
}

const SETTING: RenditionSetting = {
  height: 720,
  frame_rate: 0,
  bitrate: 0,
  codec: "h264",
  mode: "demand",
  name: "",
};

describe("a rendition in words", () => {
  test("tells who watches, and what it costs", () => {
    expect(renditionFacts(rendition())).toEqual([
      "3 viewers",
      "x264, in software",
      "2.0 × real time",
      "0.46 cores",
    ]);
    const busy = {
      encoder: "h264_nvenc",
      hardware: true,
      viewers: 1,
      frames_dropped: 1,
      mode: "always" as const,
    };
    expect(renditionFacts(rendition({ ...busy, cpu: null, speed: null }))).toEqual([
      "1 viewer",
      "always encoded",
      "NVENC, in hardware",
      "1 frame dropped",
    ]);
    expect(renditionFacts(rendition({ frames_dropped: 12 })).at(-1)).toBe("12 frames dropped");
    const idle = { encoder: "", viewers: 0, cpu: null, speed: null };
    expect(renditionFacts(rendition(idle))).toEqual([]);
  });

  test("has a word for each state, and shows one that is new", () => {
    const states = ["source", "idle", "starting", "running", "lingering", "refused"];
    const words = states.map((state) => stateText({ state }));
    expect(new Set(words).size).toBe(states.length);
    expect(words).not.toContain("lingering");
    expect(stateText({ state: "dancing" })).toBe("dancing");
    expect(stateText({ state: "constructor" })).toBe("constructor");
  });

  test.each([
    ["hevc_qsv", "Quick Sync"],
    ["h264_vaapi", "VAAPI"],
    ["libsvtav1", "SVT-AV1"],
    ["h264_new", "h264_new"],
  ])("calls %s %s", (encoder, name) => {
    expect(encoderName(encoder)).toBe(name);
  });
});

describe("warnings in words", () => {
  /** Every code of `transcode/report.py`, with values as the pool sends them. */
  const CODES: Record<string, Record<string, unknown>> = {
    too_slow: { name: "720p60", step: "withdrawn" },
    budget_spent: { name: "720p60", reason: "all 2 cores are taken" },
    worker_crashed: { reason: "was killed by SIGSEGV", count: 2 },
    source_broken: { reason: "an error in the bit stream." },
    encoder_fell_back: { name: "720p60", encoder: "libx264", instead_of: "h264_nvenc" },
    decoder_too_slow: {},
  };

  test.each(Object.entries(CODES))("%s says what viewers notice and what helps", (code, values) => {
    const { heading, text, fix } = warningWords({ code, values });
    for (const words of [heading, text, fix]) {
      expect(words).not.toBe("");
      expect(words).not.toMatch(/[{}]|undefined|NaN|\?$|\.\./);
    }
    expect(heading).not.toContain("noticed");
  });

  test("a machine that cannot keep up is called that", () => {
    const words = (step: string) => warningWords({ code: "too_slow", values: { name: "720p60", step } });
    expect(words("thinned").heading).toBe("This server cannot keep up");
    expect(words("thinned").text).toContain("720p60 has half its frames");
    expect(words("withdrawn").text).toContain("720p60 is not offered");
  });

  test("the catalogue has no warning without a code", () => {
    const codes = Object.keys(en).flatMap((key) => /^studio\.transcode\.([a-z_]+)$/.exec(key)?.[1] ?? []);
    expect(codes.filter((code) => code !== "other").sort()).toEqual(Object.keys(CODES).sort());
  });

  test("one that is new, and a value that is missing, still read", () => {
    expect(warningWords({ code: "sunspots", values: {} }).heading).toContain("sunspots");
    expect(warningWords({ code: "constructor", values: {} }).heading).toContain("constructor");
    expect(warningWords({ code: "budget_spent", values: {} }).text).not.toMatch(/undefined/);
  });
});

describe("the form of a ladder", () => {
  test("gives back what it was given", () => {
    const settings: RenditionSetting[] = [
      SETTING,
      { ...SETTING, frame_rate: 29.97, bitrate: 2_600_000, codec: "av1", mode: "always", name: "small" },
      { ...SETTING, height: 0 },
    ];
    expect(settings.map(toRow).map(toSetting)).toEqual(settings);
  });

  test("calls a row as the menu will", () => {
    expect(rowName(toRow({ ...SETTING, frame_rate: 60 }))).toBe("720p60");
    expect(rowName(toRow(SETTING))).toBe("720p");
    expect(rowName({ ...newRow(), height: " " })).toBe("?p30");
    expect(settingText({ ...SETTING, codec: "av1", mode: "always" })).toBe("720p, AV1, always encoded");
  });

  test.each([
    ["height", "5"],
    ["height", "720.5"],
    ["height", ""],
    ["height", "lots"],
    ["rate", "0.5"],
    ["rate", "300"],
    ["bitrate", "1"],
    ["bitrate", "3M"],
  ])("refuses %s “%s” with the rule, at its field", (field, value) => {
    const errors = checkRows([newRow(), { ...newRow(), [field]: value }]);
    expect(errors).toHaveLength(1);
    expect(errors[0]?.field).toBe(`ladder-1-${field}`);
    expect(errors[0]?.text).toMatch(/^Quality 2: .*number from/);
  });

  test("takes numbers as people write them", () => {
    const row = { ...newRow(), height: " 720 ", rate: "29,97", bitrate: "2500" };
    expect(checkRows([row])).toEqual([]);
    expect(toSetting(row)).toMatchObject({ height: 720, frame_rate: 29.97, bitrate: 2_500_000 });
  });

  test.each([
    ["renditions[1].height: 5 is not accepted; it is a number from 16 to 8640", "ladder-1-height"],
    ["renditions.0.frame_rate: Input should be a valid number", "ladder-0-rate"],
    ["renditions: too many", undefined],
    ["renditions[9].height: 5 is not accepted", undefined],
  ])("puts the server's “%s” where it belongs", (detail, field) => {
    const [error] = serverErrors(detail, 2);
    expect(error?.field).toBe(field);
    expect(error?.text).toContain(field ? detail.replace(/^.*?: /, "") : detail);
  });
});

test("the calls are those of the server", async () => {
  const server = new FakeServer();
  const api = new StudioApi(server.http, () => {});
  const ladder = { renditions: null, default: [SETTING] };
  server.on("GET", "/api/v1/streams/demo/ladder", json(ladder));
  server.on("PUT", "/api/v1/streams/demo/ladder", json(ladder));
  server.on("GET", "/api/v1/streams/demo/renditions", json({ live: false }));
  expect(await api.ladder("demo")).toEqual(ladder);
  expect(await api.renditions("demo")).toEqual({ live: false });
  await api.changeLadder("demo", [SETTING]);
  await api.changeLadder("demo", null);
  expect(server.asked.slice(-2).map(({ body }) => body)).toEqual([
    { renditions: [SETTING] },
    { renditions: null },
  ]);
});

test.each([
  [[SETTING], "studio.ladder.default"],
  [[], "studio.ladder.defaultEmpty"],
] as const)("the panel says what a stream without a list of its own offers", async (fallback, text) => {
  const server = new FakeServer();
  server.on("GET", "/api/v1/streams/demo/ladder", json({ renditions: null, default: fallback }));
  const props = { api: new StudioApi(server.http, () => {}), name: "demo", onchange: () => {} };
  const panel = mount(LadderPanel, { target: document.body, props });
  await vi.waitFor(() => expect(document.body.textContent).toContain(en[text]));
  expect(document.querySelectorAll("ul")).toHaveLength(fallback.length);
  await unmount(panel);
});
