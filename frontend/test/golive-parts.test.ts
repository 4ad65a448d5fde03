import { beforeEach, describe, expect, test, vi } from "vitest";
import { HttpError } from "../src/lib/http";
import { openCamera, openMicrophone, openScreen } from "../src/studio/golive/capture";
import { levelOf } from "../src/studio/golive/mixer";
import { sent, sentReading } from "../src/studio/golive/outbound";
import { NoWayError } from "../src/studio/golive/publisher";
import { h264First, tuneAnswer } from "../src/studio/golive/sdp";
import {
  bitrateOf,
  DEFAULTS,
  type Settings,
  SettingsMemory,
  SIZES,
  widthOf,
} from "../src/studio/golive/settings";
import { Ticket } from "../src/studio/golive/ticket";
import { closeWhip, openWhip, parseIceServers, whipUrl } from "../src/studio/golive/whip";
import { clockText, failureText, problemText, sentFacts } from "../src/studio/golive/words";
import { created, FakeLocks, FakeMedia, FakeWhip, named } from "./golive-support";
import { key, problem } from "./studio-support";
import { FakeStorage } from "./support";

describe("settings", () => {
  test("are remembered; what is not known is not taken", () => {
    const store = new FakeStorage();
    const memory = new SettingsMemory(store);
    expect(memory.recall()).toEqual(DEFAULTS);
    const mine: Settings = {
      ...DEFAULTS,
      picture: "screen",
      size: 1080,
      rate: 60,
      voice: false,
      camera: "x",
    };
    memory.remember(mine);
    expect(memory.recall()).toEqual(mine);
    for (const text of [
      "{",
      "null",
      "7",
      '{"picture":"film","size":"1080","rate":25,"bitrate":1,"camera":7,"voice":"no"}',
    ]) {
      store.setItem("ghostlive.golive", text);
      expect(memory.recall()).toEqual(DEFAULTS);
    }
    expect(new SettingsMemory(null).recall()).toEqual(DEFAULTS);
  });

  test("bit rate by size and rate, or as chosen", () => {
    expect(bitrateOf({ size: 720, rate: 30, bitrate: 0 })).toBe(2_500_000);
    expect(bitrateOf({ size: 1080, rate: 60, bitrate: 0 })).toBe(6_300_000);
    expect(bitrateOf({ size: 360, rate: 15, bitrate: 0 })).toBe(600_000);
    expect(bitrateOf({ size: 360, rate: 15, bitrate: 4000 })).toBe(4_000_000);
    expect(SIZES.map(widthOf)).toEqual([1920, 1280, 854, 640]);
  });
});

describe("capture", () => {
  let media: FakeMedia;
  const source = () => media as unknown as Parameters<typeof openCamera>[0];

  beforeEach(() => {
    media = new FakeMedia();
  });

  test("asks for what the settings say", async () => {
    await openCamera(source(), { ...DEFAULTS, camera: "cam1", size: 1080, rate: 60 });
    await openMicrophone(source(), { ...DEFAULTS, voice: false });
    await openScreen(source(), { ...DEFAULTS, size: 1080 });
    expect(media.asked).toMatchObject([
      { video: { width: { ideal: 1920 }, frameRate: { max: 60 }, deviceId: { exact: "cam1" } } },
      { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } },
      { video: { width: { max: 1920 }, height: { max: 1080 } }, audio: { echoCancellation: false } },
    ]);
  });

  test("takes the default when what was chosen is unplugged", async () => {
    const track = await openMicrophone(source(), { ...DEFAULTS, microphone: "gone" });
    expect(track.label).toBe("microphone");
  });

  test.each([
    ["NotAllowedError", "denied"],
    ["NotFoundError", "missing"],
    ["NotReadableError", "busy"],
    ["Whatever", "unknown"],
  ] as const)("%s is %s", async (name, said) => {
    media.fails = { camera: name, screen: name };
    await expect(openCamera(source(), DEFAULTS)).rejects.toMatchObject({ problem: said, kind: "camera" });
    await expect(openScreen(source(), DEFAULTS)).rejects.toMatchObject({ problem: said, kind: "screen" });
  });

  test("a screen without sound, and a browser that shares none", async () => {
    media.screenSound = false;
    expect((await openScreen(source(), DEFAULTS)).audio).toBeNull();
    const { getUserMedia, enumerateDevices } = source();
    await expect(openScreen({ getUserMedia, enumerateDevices }, DEFAULTS)).rejects.toMatchObject({
      problem: "unsupported",
    });
  });

  test("every problem has words", async () => {
    for (const name of ["NotAllowedError", "NotFoundError", "NotReadableError", "TypeError", "Other"]) {
      media.fails = { camera: name, microphone: name, screen: name };
      for (const open of [openCamera, openMicrophone, openScreen]) {
        const error = await open(source(), DEFAULTS).then(
          () => null,
          (found) => found,
        );
        expect(problemText(error).length).toBeGreaterThan(20);
      }
    }
  });
});

describe("descriptions", () => {
  test("H.264 first, the mode with large packets before the other", () => {
    const codecs = [
      { mimeType: "video/VP8" },
      { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=0" },
      { mimeType: "video/rtx" },
      { mimeType: "video/H264", sdpFmtpLine: "packetization-mode=1;profile-level-id=42e01f" },
    ];
    expect(h264First(codecs)).toEqual([codecs[3], codecs[1], codecs[0], codecs[2]]);
  });

  test("the answer asks for stereo and begins near its bit rate", () => {
    const answer = [
      "v=0",
      "a=rtpmap:111 opus/48000/2",
      "a=fmtp:111 minptime=10;stereo=0",
      "a=rtpmap:96 H264/90000",
      "a=rtpmap:97 rtx/90000",
      "a=fmtp:97 apt=96",
      "a=rtpmap:98 VP8/90000",
      "",
    ].join("\r\n");
    expect(tuneAnswer(answer, { startKbps: 2000 }).split("\r\n")).toEqual([
      "v=0",
      "a=rtpmap:111 opus/48000/2",
      "a=fmtp:111 minptime=10;stereo=1;sprop-stereo=1;maxaveragebitrate=128000",
      "a=rtpmap:96 H264/90000",
      "a=fmtp:96 x-google-start-bitrate=2000",
      "a=rtpmap:97 rtx/90000",
      "a=fmtp:97 apt=96",
      "a=rtpmap:98 VP8/90000",
      "a=fmtp:98 x-google-start-bitrate=2000",
      "",
    ]);
  });
});

describe("WHIP", () => {
  const stop = new AbortController();

  test("posts the offer with the key, and takes address and servers from the answer", async () => {
    const whip = new FakeWhip();
    const link =
      '<stun:stun.example:3478>; rel="ice-server", <turn:t.example?transport=tcp>; rel="ice-server"; username="a"; credential="b,c"';
    whip.answers = [created("/app/a%20b/whip/1", { link })];
    const headers = { authorization: "Bearer gl_x" };
    const session = await openWhip(whipUrl("a b"), "v=0", headers, stop.signal, whip.fetch);
    expect(session).toEqual({
      resource: "http://localhost:3000/app/a%20b/whip/1",
      answer: "v=0 answer",
      iceServers: [
        { urls: "stun:stun.example:3478" },
        { urls: "turn:t.example?transport=tcp", username: "a", credential: "b,c" },
      ],
    });
    expect(whip.said).toEqual(["POST /app/a%20b/whip"]);
    expect(whip.asked[0]?.headers.get("authorization")).toBe("Bearer gl_x");
    expect(whip.asked[0]?.headers.get("content-type")).toBe("application/sdp");
    expect(await closeWhip(session.resource, headers, whip.fetch)).toBe(true);
    expect(whip.said[1]).toBe("DELETE /app/a%20b/whip/1");
  });

  test("a refusal has the server's words; no answer is one without", async () => {
    const whip = new FakeWhip();
    whip.answers = [problem(409, "taken"), new TypeError("network"), new Response("", { status: 201 })];
    const open = () => openWhip("/w", "v=0", {}, stop.signal, whip.fetch);
    await expect(open()).rejects.toMatchObject({ status: 409, detail: "taken" });
    await expect(open()).rejects.toMatchObject({ status: 0 });
    await expect(open()).rejects.toMatchObject({ status: 201 });
  });

  test("other links are none of our business", () => {
    expect(parseIceServers("")).toEqual([]);
    expect(parseIceServers('<https://x>; rel="next", nonsense')).toEqual([]);
    expect(parseIceServers("<stun:x>; rel=ice-server")).toEqual([{ urls: "stun:x" }]);
  });
});

describe("the ticket", () => {
  let store: FakeStorage;
  let locks: FakeLocks;
  let made: number;
  let revoked: string[];
  const api = {
    addKey: async (stream: string) => {
      made += 1;
      return { ...key(made), secret: `gl_${stream}_${made}` };
    },
    revokeKey: async (stream: string, id: number) => {
      revoked.push(`${stream} ${id}`);
    },
  };

  beforeEach(() => {
    store = new FakeStorage();
    locks = new FakeLocks();
    made = 0;
    revoked = [];
  });

  const ticketFor = (stream: string) => new Ticket(api, stream, "This browser", store, locks);

  test("is made once, and revoked in the end", async () => {
    const ticket = ticketFor("show");
    expect(ticket.held()).toEqual({});
    expect(await ticket.headers()).toEqual({ authorization: "Bearer gl_show_1" });
    expect(await ticket.headers()).toEqual(ticket.held());
    await ticket.release();
    expect(revoked).toEqual(["show 1"]);
    await ticket.release();
    expect(revoked).toHaveLength(1);
    expect(store.items.size).toBe(0);
    await vi.waitFor(() => expect(locks.held.size).toBe(0));
  });

  test("that was left over by a crash is revoked by the next", async () => {
    await ticketFor("show").headers();
    await ticketFor("day").headers();
    locks.held.clear();
    await ticketFor("other").headers();
    expect(revoked).toEqual(["show 1", "day 2"]);
    expect([...store.items]).toEqual([["ghostlive.golive.key.3", "other"]]);
  });

  test("that another tab is on the air with is left alone, until it has gone", async () => {
    const first = ticketFor("show");
    await first.headers();
    const second = ticketFor("show");
    await second.headers();
    expect(revoked).toEqual([]);
    await second.release();
    expect(revoked).toEqual(["show 2"]);
    expect([...store.items]).toEqual([["ghostlive.golive.key.1", "show"]]);
    await first.release();
    expect(revoked).toEqual(["show 2", "show 1"]);
  });

  test("that somebody revoked is made anew", async () => {
    const ticket = ticketFor("show");
    await ticket.headers();
    ticket.lost();
    expect(await ticket.headers()).toEqual({ authorization: "Bearer gl_show_2" });
  });

  test("that is gone already is forgotten; one that could not be revoked is left for the next time", async () => {
    const failing = (status: number) => ({
      ...api,
      revokeKey: () => Promise.reject(new HttpError(status, "")),
    });
    await new Ticket(failing(503), "show", "", store, locks).headers();
    locks.held.clear();
    await new Ticket(failing(503), "show", "", store, locks).headers();
    expect(store.items.size).toBe(2);
    locks.held.clear();
    await new Ticket(failing(404), "show", "", store, locks).headers();
    expect([...store.items.keys()]).toEqual(["ghostlive.golive.key.3"]);
  });

  test("where the browser does not say what its pages use, nothing is taken from any", async () => {
    const broken = {
      request: () => Promise.reject(named("SecurityError")),
      query: () => Promise.reject(named("no")),
    };
    for (const none of [undefined, broken]) {
      await new Ticket(api, "show", "", store, none as unknown as FakeLocks).headers();
      await new Ticket(api, "show", "", store, none as unknown as FakeLocks).headers();
    }
    expect(revoked).toEqual([]);
    expect(made).toBe(4);
  });

  test("nonsense in the storage, or none, does not keep anybody off the air", async () => {
    store.setItem("ghostlive.golive.key.", "show");
    store.setItem("ghostlive.golive.key.one", "show");
    store.setItem("ghostlive.golive.key.7", "");
    await ticketFor("show").headers();
    await new Ticket(api, "show", "", null, locks).headers();
    expect(revoked).toEqual([]);
    expect(made).toBe(2);
  });
});

describe("what is sent", () => {
  const at = (seconds: number, change: Record<string, unknown> = {}) =>
    sent(
      [
        { id: "s", type: "media-source", kind: "video", frames: seconds * 30 },
        {
          id: "v",
          type: "outbound-rtp",
          kind: "video",
          mediaSourceId: "s",
          bytesSent: seconds * 300_000,
          packetsSent: seconds * 300,
          framesEncoded: seconds * 29,
          framesPerSecond: 29,
          frameWidth: 1280,
          frameHeight: 720,
          qualityLimitationReason: "cpu",
          ...change,
        },
        { id: "small", type: "outbound-rtp", kind: "video", frameHeight: 360, bytesSent: 0, packetsSent: 0 },
        {
          id: "a",
          type: "outbound-rtp",
          kind: "audio",
          bytesSent: seconds * 12_500,
          packetsSent: seconds * 50,
        },
        { id: "r", type: "remote-inbound-rtp", packetsLost: seconds * 7 },
        {
          id: "p",
          type: "candidate-pair",
          nominated: true,
          currentRoundTripTime: 0.031,
          localCandidateId: "l",
        },
        { id: "l", type: "local-candidate", protocol: "udp", candidateType: "host" },
      ].map((entry) => [entry.id, entry]),
      seconds * 1000,
    );

  test("is read between two looks, and told line by line", () => {
    const reading = sentReading(at(12), at(10));
    expect(reading).toEqual({
      bitrate: 2_500_000,
      frameRate: 29,
      width: 1280,
      height: 720,
      dropped: 12,
      loss: 0.02,
      roundTrip: 0.031,
      limitation: "cpu",
      transport: "udp",
    });
    const facts = sentFacts(reading, (rate) => `${rate / 1e6} Mb/s`);
    expect(facts.map(({ value }) => value)).toEqual([
      "1280×720, 29 fps",
      "2.5 Mb/s",
      "12",
      "2 %",
      "31 ms",
      "UDP",
    ]);
  });

  test("of one look less is known, of none nothing", () => {
    expect(sentReading(at(2), null)).toMatchObject({ bitrate: null, loss: null, dropped: 2 });
    const nothing = sentReading(sent([], 0), null);
    expect(sentFacts(nothing, String)).toEqual([]);
  });
});

test("loudness as the ear counts", () => {
  expect([0, 0.0001, 0.001, 0.1, 1, 2].map(levelOf)).toEqual([0, 0, 0, expect.closeTo(0.667, 3), 1, 1]);
});

test("the clock on the air", () => {
  expect([-1, 7.9, 750, 3723].map(clockText)).toEqual(["0:00", "0:07", "12:30", "1:02:03"]);
});

test("failures have words", () => {
  expect(failureText(new HttpError(409, "x"))).toContain("already");
  expect(failureText(new HttpError(403, "Not yours."))).toBe("Not yours.");
  expect(failureText(new NoWayError())).toContain("firewall");
  expect(failureText(named("OperationError"))).toContain("OperationError");
});
