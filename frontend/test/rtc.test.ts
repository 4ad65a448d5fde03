import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { offeredPictures, onPictureRefused } from "../src/lib/player/rtc/lacking";
import { RtcMeter } from "../src/lib/player/rtc/meter";
import { probeWebRtc } from "../src/lib/player/rtc/probe";
import { moved, reading, snapshot } from "../src/lib/player/rtc/stats";
import { FakePeer, FakeSocket, statsReport } from "./rtc-support";

describe("what the statistics say", () => {
  const at = (seconds: number, change = {}) => snapshot(statsReport(seconds, change), seconds * 1000);

  test("delay is what frames wait, the decoding, and half of the round trip", () => {
    const { delay } = reading(at(10), at(8));
    // 40 ms in the buffer, 5 ms of decoding, 20 of 40 ms on the way.
    expect(delay).toBeCloseTo(0.065, 3);
  });

  test("rate, bits, loss and transport are of the time between the two", () => {
    const now = reading(at(10, { lost: 10 }), at(8, { lost: 0 }));
    expect(now.frameRate).toBe(30);
    expect(now.bitrate).toBeCloseTo(2_628_000, -3);
    expect(now.loss).toBeCloseTo(10 / (10 + 2 * 350), 4);
    expect(now.transport).toBe("udp");
    expect(now.roundTrip).toBe(0.04);
  });

  test("loss that was made good again is none", () => {
    expect(reading(at(10, { lost: 3 }), at(8, { lost: 5 })).loss).toBe(0);
  });

  test("where the rate is not told it is counted", () => {
    expect(reading(at(10, { told: false }), at(8, { told: false })).frameRate).toBeCloseTo(30, 5);
  });

  test("of a single look only what needs no second is known", () => {
    const { delay, bitrate, loss, roundTrip } = reading(at(2), null);
    expect([bitrate, loss, roundTrip]).toEqual([null, null, 0.04]);
    expect(delay).toBeCloseTo(0.065, 3);
  });

  test.each([
    ["tcp", "host", "tcp"],
    ["udp", "relay", "relay"],
    ["", "", null],
  ])("a local candidate %s %s", (protocol, kind, transport) => {
    expect(at(1, { protocol, kind }).transport).toBe(transport);
  });

  test("Firefox marks the pair itself, others only nominate it", () => {
    for (const pair of ["selected", "nominated"] as const) {
      expect(at(1, { pair }).roundTrip).toBe(0.04);
    }
    expect(at(1, { pair: "none" })).toMatchObject({ roundTrip: null, transport: null });
  });

  test("a picture that stands does not move, though packets come; sound alone does with them", () => {
    expect(moved(at(2), at(1))).toBe(true);
    expect(moved(at(2, { frames: 30 }), at(1, { frames: 30 }))).toBe(false);
    expect(moved(at(2, { video: false }), at(1, { video: false }))).toBe(true);
    expect(moved(at(2, { video: false }), at(2, { video: false }))).toBe(false);
  });

  test("nothing known is no failure", () => {
    const nothing = snapshot([], 0);
    expect(reading(nothing, nothing)).toEqual({
      delay: null,
      roundTrip: null,
      frameRate: null,
      bitrate: null,
      loss: null,
      transport: null,
    });
  });
});

describe("the meter", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test("knows a picture that stands still, and one that moves again", async () => {
    let frames: number | null = null;
    const connection = {
      connectionState: "connected" as const,
      getReceivers: () => [],
      getStats: async () =>
        statsReport(Date.now() / 1000, frames === null ? {} : { frames }) as unknown as RTCStatsReport,
    };
    const meter = new RtcMeter(connection, Date.now);
    expect(meter.reading).toBeNull();
    await vi.advanceTimersByTimeAsync(3_000);
    expect(meter.frozen).toBe(false);
    expect(meter.reading?.transport).toBe("udp");
    frames = 50;
    await vi.advanceTimersByTimeAsync(3_000);
    expect(meter.frozen).toBe(true);
    frames = null;
    await vi.advanceTimersByTimeAsync(600);
    expect(meter.frozen).toBe(false);
    meter.stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("survives a connection that fails while it is asked", async () => {
    const getStats = vi.fn().mockRejectedValue(new Error("closed"));
    const meter = new RtcMeter({ connectionState: "connected", getReceivers: () => [], getStats }, Date.now);
    await vi.advanceTimersByTimeAsync(1_200);
    expect(getStats).toHaveBeenCalledTimes(2);
    expect([meter.reading, meter.frozen]).toEqual([null, false]);
    meter.stop();
  });
});

test("a picture that the browser says it cannot decode is refused before there is an answer", async () => {
  const sdp = [
    "v=0",
    "m=video 9 UDP/TLS/RTP/SAVPF 98 99",
    "a=rtpmap:98 H264/90000",
    "a=rtpmap:99 rtx/90000",
    "m=audio 9 UDP/TLS/RTP/SAVPF 110",
    "a=rtpmap:110 opus/48000/2",
  ].join("\r\n");
  expect(offeredPictures(sdp)).toEqual(["h264"]);
  const refused = async (known: string[] | null, offer = sdp) => {
    const peer = new FakePeer();
    const called = vi.fn();
    onPictureRefused(peer as never, called, known);
    await peer.setRemoteDescription({ type: "offer", sdp: offer });
    return called.mock.calls.length;
  };
  expect(await refused(["video/VP8", "video/rtx"])).toBe(1);
  expect(await refused(["video/VP8", "video/H264"])).toBe(0);
  expect(await refused(null)).toBe(0);
  expect(await refused([], "m=audio 9 UDP/TLS/RTP/SAVPF 110\r\na=rtpmap:110 opus/48000/2")).toBe(0);
});

describe("the probe", () => {
  const OFFER = {
    command: "offer",
    id: 7,
    peer_id: 0,
    sdp: { type: "offer", sdp: "v=0" },
    candidates: [{ candidate: "candidate:0 1 UDP 50 192.0.2.1 10000 typ host", sdpMLineIndex: 0 }],
  };
  let socket: FakeSocket;
  let peer: FakePeer;
  let stop: AbortController;

  function start() {
    socket = new FakeSocket();
    peer = new FakePeer();
    stop = new AbortController();
    return probeWebRtc({ type: "webrtc", url: "/app/demo" }, stop.signal, {
      socket: (url) => {
        socket.url = url;
        return socket as unknown as WebSocket;
      },
      connection: () => peer as unknown as RTCPeerConnection,
    });
  }

  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test("asks, answers, tells its candidates, and hangs up when it is connected", async () => {
    const found = start();
    expect(socket.url).toBe("ws://localhost:3000/app/demo");
    socket.open();
    expect(socket.said).toEqual([{ command: "request_offer" }]);
    socket.hear(OFFER);
    await vi.advanceTimersByTimeAsync(1);
    peer.found({ candidate: "mine" });
    expect(socket.said.slice(1)).toEqual([
      { command: "answer", id: 7, peer_id: 0, sdp: { type: "answer", sdp: "mine" } },
      { command: "candidate", id: 7, peer_id: 0, candidates: [{ candidate: "mine" }] },
    ]);
    expect(peer.candidates).toEqual(OFFER.candidates);
    peer.become("connected");
    expect(await found).toBeNull();
    expect([socket.readyState, peer.connectionState]).toEqual([3, "closed"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("says what the server said", async () => {
    const found = start();
    socket.open();
    socket.hear({ code: 404, error: "Cannot create offer" });
    expect(await found).toEqual({ reason: "refused", detail: "Cannot create offer" });
  });

  test("no address: the socket closes; no way: the connection fails or comes too late", async () => {
    let found = start();
    socket.onclose?.();
    expect(await found).toEqual({ reason: "signalling", detail: "" });
    found = start();
    socket.open();
    socket.hear(OFFER);
    await vi.advanceTimersByTimeAsync(1);
    peer.become("failed");
    expect(await found).toEqual({ reason: "network", detail: "" });
    found = start();
    socket.open();
    socket.hear(OFFER);
    await vi.advanceTimersByTimeAsync(6_001);
    expect(await found).toEqual({ reason: "network", detail: "" });
    found = start();
    await vi.advanceTimersByTimeAsync(6_001);
    expect(await found).toEqual({ reason: "signalling", detail: "" });
  });

  test("no common format, or nonsense", async () => {
    let found = start();
    peer.refuses = true;
    socket.open();
    socket.hear(OFFER);
    await vi.advanceTimersByTimeAsync(1);
    expect(await found).toMatchObject({ reason: "negotiation" });
    found = start();
    socket.open();
    socket.onmessage?.({ data: "{" } as MessageEvent);
    expect(await found).toMatchObject({ reason: "negotiation" });
  });

  test("a picture that the browser cannot decode; a stream without one lacks none", async () => {
    let found = start();
    peer.picture = "inactive";
    socket.open();
    socket.hear(OFFER);
    expect(await found).toEqual({ reason: "negotiation", detail: "" });
    found = start();
    peer.picture = null;
    socket.open();
    socket.hear(OFFER);
    await vi.advanceTimersByTimeAsync(1);
    peer.become("connected");
    expect(await found).toBeNull();
  });

  test("is called off", async () => {
    const found = start();
    socket.open();
    stop.abort();
    expect(await found).toBeNull();
    expect(socket.readyState).toBe(3);
    expect(vi.getTimerCount()).toBe(0);
  });
});
