import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { HttpError } from "../src/lib/http";
import { NoWayError, type Outgoing, Publisher, type PublishState } from "../src/studio/golive/publisher";
import { created, FakeConnection, FakeStream, FakeTrack, FakeWhip } from "./golive-support";
import { problem } from "./studio-support";

let whip: FakeWhip;
let connections: FakeConnection[];
let states: string[];
let state: PublishState;
let keys: number;
let publisher: Publisher;

const last = () => connections.at(-1) as FakeConnection;
const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1000);

function outgoing(change: Partial<Outgoing> = {}): Outgoing {
  return {
    video: new FakeTrack("video", "camera") as unknown as MediaStreamTrack,
    audio: new FakeTrack("audio", "mix") as unknown as MediaStreamTrack,
    bitrate: 2_500_000,
    rate: 30,
    simulcast: false,
    ...change,
  };
}

async function onAir(change: Partial<Outgoing> = {}): Promise<void> {
  publisher.start(outgoing(change));
  await pass(0.1);
  last().become("connected");
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("MediaStream", FakeStream);
  whip = new FakeWhip();
  connections = [];
  states = [];
  keys = 0;
  publisher = new Publisher({
    url: "/app/show/whip",
    headers: async () => {
      keys += 1;
      return { authorization: `Bearer ${keys}` };
    },
    onChange: (now) => {
      state = now;
      states.push(now.kind);
    },
    connection: () => {
      const made = new FakeConnection();
      connections.push(made);
      return made as unknown as RTCPeerConnection;
    },
    fetcher: whip.fetch,
    now: Date.now,
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("going on the air", () => {
  test("offers sound and picture with their limits, then is connected", async () => {
    await onAir();
    expect(states).toEqual(["connecting", "on"]);
    expect(whip.said).toEqual(["POST /app/show/whip"]);
    expect(whip.asked[0]?.body).toBe("v=0 offer");
    expect(last().senders.map(({ track }) => track?.kind)).toEqual(["audio", "video"]);
    expect(last().senders[1]?.parameters.encodings).toEqual([{ maxBitrate: 2_500_000, maxFramerate: 30 }]);
    expect(last().did).toEqual(["local", "remote"]);
  });

  test("with TURN servers, they are known before the search for ways begins", async () => {
    whip.answers = [created("/app/show/whip/1", { link: '<turn:t>; rel="ice-server"' })];
    await onAir();
    expect(last().did).toEqual(["configured", "local", "remote"]);
  });

  test("with simulcast, in two sizes", async () => {
    await onAir({ simulcast: true });
    expect(last().senders[1]?.parameters.encodings.map(({ rid }) => rid)).toEqual(["h", "m"]);
  });

  test.each([
    [401, "key"],
    [403, "no"],
    [409, "taken"],
    [503, "full"],
  ])("a refusal with %s is told at once", async (status, detail) => {
    whip.answers = [problem(status, detail)];
    publisher.start(outgoing());
    await pass(0.1);
    expect(state).toMatchObject({ kind: "failed", error: { status, detail } });
    await pass(60);
    expect(whip.said).toHaveLength(1);
  });

  test("no way for the media is told, and the session ended", async () => {
    publisher.start(outgoing());
    await pass(13);
    expect(state).toMatchObject({ kind: "failed", error: expect.any(NoWayError) });
    expect(whip.said).toEqual(["POST /app/show/whip", "DELETE /app/show/whip/1"]);
    expect(last().connectionState).toBe("closed");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("ends when it is told to, whatever it was doing", async () => {
    publisher.start(outgoing());
    await publisher.stop();
    await pass(30);
    expect(state.kind).toBe("off");
    const posts = whip.said.filter((said) => said.startsWith("POST")).length;
    expect(posts).toBeLessThan(2);
    await onAir();
    const stopped = publisher.stop();
    expect(whip.said.at(-1)).toMatch(/^DELETE/);
    expect(state.kind).toBe("off");
    // Closed first, it would be taken for broken.
    expect(last().connectionState).toBe("connected");
    await stopped;
    expect(last().connectionState).toBe("closed");
    await pass(60);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a break", () => {
  beforeEach(() => onAir());

  test("is gone over by a new session; the old one is not said to be over, or viewers would see the end", async () => {
    last().become("failed");
    expect(state).toEqual({ kind: "again", error: null });
    await pass(1);
    expect(whip.said).toEqual(["POST /app/show/whip", "POST /app/show/whip"]);
    last().become("connected");
    expect(state.kind).toBe("on");
    expect(connections).toHaveLength(2);
  });

  test("that heals by itself is none; one that lasts is", async () => {
    last().become("disconnected");
    await pass(3);
    last().become("connected");
    await pass(10);
    expect(connections).toHaveLength(1);
    last().become("disconnected");
    await pass(4.1);
    expect(state.kind).toBe("again");
  });

  test("goes on while the server is away, ever more patiently, and says why", async () => {
    whip.answers = Array.from({ length: 6 }, () => new TypeError("network"));
    last().become("failed");
    await pass(0.6);
    expect(state).toMatchObject({ kind: "again", error: expect.any(HttpError) });
    await pass(60);
    expect(whip.said.filter((said) => said.startsWith("POST")).length).toBeGreaterThan(7);
    last().become("connected");
    expect(state.kind).toBe("on");
  });

  test("is over at once when the network is back", async () => {
    whip.answers = Array.from({ length: 5 }, () => new TypeError("network"));
    last().become("failed");
    await pass(9);
    const before = whip.said.length;
    publisher.wake();
    await pass(0.01);
    expect(whip.said.length).toBeGreaterThan(before);
  });

  test("waits while its own old session is in the way", async () => {
    whip.answers = [problem(409, "taken")];
    last().become("failed");
    await pass(3);
    last().become("connected");
    expect(state.kind).toBe("on");
  });

  test("ends where the server will not have it any more", async () => {
    whip.answers = [problem(404, "There is no such stream.")];
    last().become("failed");
    await pass(1);
    expect(state).toMatchObject({ kind: "failed", error: { status: 404 } });
    await pass(60);
    expect(connections).toHaveLength(2);
  });

  test("is not gone over once it was ended", async () => {
    last().become("failed");
    await publisher.stop();
    await pass(60);
    expect(whip.said.filter((said) => said.startsWith("POST"))).toHaveLength(1);
    expect(state.kind).toBe("off");
  });
});

describe("on the air", () => {
  test("another picture goes out without a break, with other limits", async () => {
    await onAir();
    const screen = new FakeTrack("video", "screen") as unknown as MediaStreamTrack;
    await publisher.change({ video: screen, bitrate: 4_000_000, rate: 60 });
    expect(last().senders[1]?.track).toBe(screen);
    expect(last().senders[1]?.parameters.encodings).toEqual([{ maxBitrate: 4_000_000, maxFramerate: 60 }]);
    expect(connections).toHaveLength(1);
  });

  test("a picture where there was none takes a new session", async () => {
    await onAir({ video: null });
    expect(last().senders).toHaveLength(1);
    const video = new FakeTrack("video", "camera") as unknown as MediaStreamTrack;
    await publisher.change({ video });
    await pass(0.1);
    expect(connections).toHaveLength(2);
    expect(last().senders).toHaveLength(2);
  });

  test("tells how it goes; frames that were dropped stay counted after a break", async () => {
    expect(await publisher.stats()).toBeNull();
    await onAir();
    const report = (frames: number, framesEncoded: number): [string, unknown][] => [
      ["s", { id: "s", type: "media-source", frames }],
      [
        "v",
        { id: "v", type: "outbound-rtp", kind: "video", frameHeight: 720, mediaSourceId: "s", framesEncoded },
      ],
    ];
    last().report = report(100, 90);
    expect((await publisher.stats())?.dropped).toBe(10);
    last().become("failed");
    await pass(1);
    last().become("connected");
    last().report = report(10, 8);
    expect((await publisher.stats())?.dropped).toBe(12);
  });
});
