import { expect, test } from "vitest";
import type { Track } from "../src/lib/api";
import { codecName } from "../src/lib/format/codecs";
import { sinceText } from "../src/lib/format/time";
import { frameRate, pictureFacts, streamFacts } from "../src/lib/format/tracks";
import { t } from "../src/lib/i18n";
import { streamFromPath } from "../src/lib/page";

const VIDEO: Track = {
  id: "v",
  kind: "video",
  codec: "avc1.64001f",
  width: 1280,
  height: 720,
  frame_rate: 30,
  bitrate: 2_500_000,
};
const AUDIO: Track = {
  id: "a",
  kind: "audio",
  codec: "mp4a.40.2",
  sample_rate: 48_000,
  channels: 2,
  bitrate: 128_000,
};

test.each([
  ["avc1.64001f", "H.264"],
  ["hvc1.1.6.L93.B0", "H.265"],
  ["av01.0.04M.08", "AV1"],
  ["mp4a.40.2", "AAC"],
  ["mp4a.40.34", "MP3"],
  ["Opus", "Opus"],
  ["xyz1", "xyz1"],
])("%s is called %s", (codec, name) => {
  expect(codecName(codec)).toBe(name);
});

test("what is being sent, in words", () => {
  expect(streamFacts([VIDEO, AUDIO])).toEqual(["1280×720", "30 fps", "H.264 + AAC", "2.6 Mb/s", "stereo"]);
  expect(streamFacts([AUDIO])).toEqual(["AAC", "0.1 Mb/s", "stereo"]);
  expect(streamFacts([])).toEqual([]);
});

test("the largest picture is the one spoken of", () => {
  const small: Track = { ...VIDEO, id: "s", width: 640, height: 360 };
  expect(pictureFacts([small, VIDEO, small])).toEqual(["1280×720", "30 fps"]);
});

test("facts that are not known yet are left out", () => {
  const bare: Track = { ...VIDEO, width: null, height: null, frame_rate: null, bitrate: null };
  expect(streamFacts([bare])).toEqual(["H.264"]);
});

test("frame rates read as people write them", () => {
  expect(frameRate(30_000 / 1001)).toBe("29.97");
  expect(frameRate(60)).toBe("60");
});

test("since: the time today, with the day before that, nothing for nonsense", () => {
  const now = new Date(2026, 4, 7, 20, 0);
  expect(sinceText(new Date(2026, 4, 7, 9, 5).toISOString(), now, "en-GB")).toBe("09:05");
  expect(sinceText(new Date(2026, 4, 6, 9, 5).toISOString(), now, "en-GB")).toMatch(/Wed.*6 May.*09:05/);
  expect(sinceText(new Date(2026, 4, 7, 9, 5).toISOString(), now, "en-US")).toMatch(/^9:05\sAM$/);
  expect(sinceText("yesterday", now)).toBe("");
});

test("strings are filled in, and braces in a value stay as they are", () => {
  expect(t("tracks.size", { width: 1, height: 2 })).toBe("1×2");
  expect(t("title.stream", { title: "{title}" })).toBe("{title} · Ghost Live");
});

test("the stream's name comes from the address", () => {
  expect(streamFromPath("/demo")).toBe("demo");
  expect(streamFromPath("/embed/my%20stream/")).toBe("my stream");
  expect(streamFromPath("/%E0%A4%A")).toBe("%E0%A4%A");
});
