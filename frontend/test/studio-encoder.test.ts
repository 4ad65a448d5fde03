import { expect, test } from "vitest";
import type { IngestTrack } from "../src/studio/api";
import { encoderSettings, ffmpegCommand, maskedKey } from "../src/studio/encoder";
import { agentName, trackFacts } from "../src/studio/tracks";
import { bitrateText, secondsText } from "../src/studio/words";
import { key } from "./studio-support";

const RTMP = { protocol: "rtmp", url: "rtmp://live.example.org:1935/app" };
const RTMPS = { protocol: "rtmps", url: "rtmps://live.example.org:1936/app" };

test("without the key's secret the newest key is hinted at", () => {
  const settings = encoderSettings([RTMP, RTMPS], [key(1), key(9), key(2)], null);
  expect(settings).toMatchObject({ server: RTMP.url, encrypted: RTMPS.url, key: "••••h9" });
  expect(settings.ffmpeg).toContain(`"${RTMP.url}/KEY"`);
});

test("a key just made is shown whole, in the command too", () => {
  const settings = encoderSettings([RTMP], [], "gl_secret");
  expect(settings).toMatchObject({ key: "gl_secret", encrypted: "" });
  expect(settings.ffmpeg).toMatch(/-bf 0 .*"rtmp:\/\/live\.example\.org:1935\/app\/gl_secret"$/);
});

test("a server with RTMPS alone, one with protocols of tomorrow, one that has not answered", () => {
  expect(encoderSettings([RTMPS], [], null)).toMatchObject({ server: RTMPS.url, encrypted: "" });
  expect(encoderSettings([{ protocol: "srt", url: "srt://x" }, RTMP], [], null).server).toBe(RTMP.url);
  expect(encoderSettings([], [], null)).toMatchObject({ server: "", key: "" });
});

test("the command is one line", () => {
  expect(ffmpegCommand(RTMP.url, null)).not.toContain("\n");
  expect(maskedKey(undefined)).toBe("");
});

test("what an encoder sends, as label and value", () => {
  const video: IngestTrack = {
    id: "v0",
    kind: "video",
    codec: "avc1.64001f",
    width: 1280,
    height: 720,
    frame_rate: 30,
    bitrate: 1,
    measured_bitrate: 2_512_000,
    measured_frame_rate: 22.41,
    keyframe_interval: 8.333,
    b_frames: false,
  };
  const facts = Object.fromEntries(trackFacts(video).map(({ label, value }) => [label, value]));
  expect(facts).toEqual({
    Codec: "H.264",
    Size: "1280×720",
    "Frame rate": "22.4 fps of 30",
    Keyframes: "every 8.3 s",
    "B-frames": "none",
    "Bit rate": "2.5 Mb/s",
  });
  const audio: IngestTrack = {
    id: "a0",
    kind: "audio",
    codec: "mp4a.40.2",
    sample_rate: 44_100,
    channels: 2,
    bitrate: 128_000,
  };
  expect(trackFacts(audio).map(({ value }) => value)).toEqual(["AAC", "44.1 kHz", "stereo", "128 kb/s"]);
});

test("what is not known yet is left out, and what is as announced is said once", () => {
  const track: IngestTrack = {
    id: "v0",
    kind: "video",
    codec: "av01.0.05M.08",
    width: null,
    height: null,
    frame_rate: 29.97,
    bitrate: null,
    measured_frame_rate: null,
  };
  expect(trackFacts(track).map(({ value }) => value)).toEqual(["AV1", "29.97 fps"]);
  expect(trackFacts({ ...track, measured_frame_rate: 30 }).map(({ value }) => value)).toContain("30 fps");
});

test("encoders by names that people know", () => {
  expect(agentName("obs-output module (libobs version 29.0.2)")).toBe("OBS 29.0.2");
  expect(agentName("FMLE/3.0 (compatible; Lavf62.12.102)")).toBe("ffmpeg, libavformat 62.12.102");
  expect(agentName("FMLE/3.0 (compatible; FMSc/1.0)")).toContain("OBS");
  expect(agentName("Larix/1.2")).toBe("Larix/1.2");
  expect(agentName("")).toBe("");
});

test("numbers with units", () => {
  expect(bitrateText(64_400)).toBe("64 kb/s");
  expect(bitrateText(12_300_000)).toBe("12 Mb/s");
  expect(secondsText(2.0001)).toBe("2 s");
  expect(secondsText(0.0333)).toBe("0.03 s");
  expect(secondsText(12.4)).toBe("12 s");
});
