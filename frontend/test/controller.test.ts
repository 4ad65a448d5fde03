import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Playback, PlaybackController } from "../src/lib/player/controller";
import type { Failure } from "../src/lib/player/failure";
import { SourceMemory } from "../src/lib/player/memory";
import type { Source } from "../src/lib/player/sources";
import { FakeEngine, FakeStorage, SOURCES, stream, WITH_WEBRTC } from "./support";

const BROKEN: Failure = { reason: "error", detail: "302" };

let engine: FakeEngine;
let store: FakeStorage;
let shown: Playback[];
let hidden: boolean;
let controller: PlaybackController;

let probes: { source: Source; signal: AbortSignal; answer(failure: Failure | null): void }[];

function create(requested: "llhls" | "dash" | null = null): PlaybackController {
  return new PlaybackController({
    engine,
    memory: new SourceMemory("demo", store),
    requested,
    probe: (source, signal) => new Promise((answer) => probes.push({ source, signal, answer })),
    playable: () => true,
    hidden: () => hidden,
    onChange: (playback) => shown.push(playback),
  });
}

const last = () => shown.at(-1);
const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1000);

beforeEach(() => {
  vi.useFakeTimers();
  engine = new FakeEngine(Date.now);
  store = new FakeStorage();
  shown = [];
  probes = [];
  hidden = false;
  controller = create();
});

afterEach(() => {
  controller.dispose();
  vi.useRealTimers();
});

describe("starting", () => {
  test("a live stream plays by its first source", async () => {
    controller.update(stream("live"));
    expect(last()).toMatchObject({ state: "loading", source: "llhls" });
    await pass(1);
    expect(last()).toMatchObject({ state: "playing", source: "llhls" });
    expect(engine.loads).toEqual(["llhls"]);
  });

  test("a page that was kept waiting itself blames no source for it", async () => {
    engine.broken.add("llhls");
    controller.update(stream("live"));
    await pass(7);
    vi.setSystemTime(Date.now() + 60_000);
    await pass(0.5);
    expect(engine.loads).toEqual(["llhls"]);
    await pass(1.5);
    expect(engine.loads).toEqual(["llhls", "dash"]);
  });

  test("an offline stream plays when it goes live", async () => {
    controller.update(stream("offline"));
    await pass(5);
    expect(engine.loads).toEqual([]);
    controller.update(stream("live"));
    await pass(1);
    expect(last()?.state).toBe("playing");
  });

  test("the address decides which source is first", async () => {
    controller.dispose();
    controller = create("dash");
    controller.update(stream("live"));
    expect(engine.loads).toEqual(["dash"]);
  });

  test("of what has begun to arrive the picture is waited for longer", async () => {
    engine.broken.add("llhls").add("dash");
    engine.begun.add("llhls");
    controller.update(stream("live"));
    await pass(15);
    expect(engine.loads).toEqual(["llhls"]);
    await pass(2);
    expect(engine.loads).toEqual(["llhls", "dash"]);
    await pass(9);
    expect(last()?.state).toBe("retrying");
  });

  test("a refused autoplay is shown as blocked, not taken for a failure", async () => {
    engine.paused = true;
    controller.update(stream("live"));
    await pass(30);
    expect(last()).toMatchObject({ state: "paused", blocked: true });
    expect(engine.loads).toEqual(["llhls"]);
    engine.paused = false;
    await pass(1);
    expect(last()).toMatchObject({ state: "playing", blocked: false });
  });
});

describe("a source that fails", () => {
  test("at once: the next one, and it is remembered once that plays", async () => {
    controller.update(stream("live"));
    engine.onError(BROKEN);
    expect(engine.loads).toEqual(["llhls", "dash"]);
    expect(new SourceMemory("demo", store).recall("llhls")).toBeNull();
    await pass(1);
    expect(last()).toMatchObject({ state: "playing", source: "dash" });
    expect(new SourceMemory("demo", store).recall("llhls")).toMatchObject(BROKEN);
  });

  test("silently: the next one after a few seconds", async () => {
    engine.broken.add("llhls");
    controller.update(stream("live"));
    await pass(7);
    expect(engine.loads).toEqual(["llhls"]);
    await pass(2);
    expect(engine.loads).toEqual(["llhls", "dash"]);
  });

  test("a source that cannot be set up counts as failed", async () => {
    vi.spyOn(engine, "load").mockRejectedValueOnce(new Error("chunk missing"));
    controller.update(stream("live"));
    await pass(1);
    expect(last()).toMatchObject({ state: "playing", source: "dash" });
  });

  test("the network is back, or the person: the pause is over", async () => {
    controller.update(stream("live"));
    engine.onError(BROKEN);
    engine.onError(BROKEN);
    hidden = true;
    controller.wake();
    expect(last()?.state).toBe("retrying");
    hidden = false;
    controller.wake();
    await pass(1);
    expect(last()).toMatchObject({ state: "playing", source: "llhls" });
    await pass(5);
    expect(engine.loads).toEqual(["llhls", "dash", "llhls"]);
  });

  test("all of them: tried again from the first, after a pause", async () => {
    controller.update(stream("live"));
    engine.onError(BROKEN);
    engine.onError(BROKEN);
    expect(last()).toMatchObject({ state: "retrying", source: null });
    expect(engine.loaded).toBeNull();
    await pass(1.9);
    expect(engine.loads).toEqual(["llhls", "dash"]);
    await pass(1);
    expect(engine.loads).toEqual(["llhls", "dash", "llhls"]);
    expect(last()).toMatchObject({ state: "playing", source: "llhls" });
  });

  test("in a hidden page nothing is blamed on the source", async () => {
    hidden = true;
    engine.broken.add("llhls");
    controller.update(stream("live"));
    await pass(60);
    expect(engine.loads).toEqual(["llhls"]);
  });
});

describe("a picture that stands still", () => {
  beforeEach(async () => {
    controller.update(stream("live"));
    await pass(2);
  });

  test("is shown, then reloaded, then given up for the next source", async () => {
    engine.speed = 0;
    await pass(1.5);
    expect(last()?.state).toBe("stalled");
    await pass(3.5);
    expect(engine.loads).toEqual(["llhls", "llhls"]);
    await pass(9);
    expect(engine.loads).toEqual(["llhls", "llhls", "dash"]);
  });

  test("is left alone when the viewer paused it", async () => {
    engine.paused = true;
    await pass(60);
    expect(last()).toMatchObject({ state: "paused", blocked: false });
    expect(engine.loads).toEqual(["llhls"]);
  });

  test("may be reloaded again after it has played for a while", async () => {
    engine.onError(BROKEN);
    await pass(25);
    engine.onError(BROKEN);
    expect(engine.loads).toEqual(["llhls", "llhls", "llhls"]);
  });

  test("jumps to the live edge when it comes back far behind", async () => {
    engine.speed = 0;
    await pass(2);
    engine.speed = 1;
    engine.latency = 12;
    await pass(1);
    expect(engine.jumps).toBe(1);
  });

  test("stays where it is when the viewer had wound back", async () => {
    engine.latency = 100;
    await pass(1);
    engine.speed = 0;
    await pass(2);
    engine.speed = 1;
    await pass(1);
    expect(engine.jumps).toBe(0);
  });
});

describe("the broadcast's own troubles", () => {
  beforeEach(async () => {
    controller.update(stream("live"));
    await pass(2);
  });

  test("an interruption is waited out, however long the picture stands", async () => {
    controller.update(stream("interrupted"));
    engine.speed = 0;
    await pass(25);
    expect(engine.loads).toEqual(["llhls"]);
    controller.update(stream("live"));
    engine.speed = 1;
    await pass(1);
    expect(last()).toMatchObject({ state: "playing", source: "llhls" });
    expect(engine.loads).toEqual(["llhls"]);
  });

  test("a player that broke meanwhile is loaded again on return", async () => {
    controller.update(stream("interrupted"));
    engine.onError(BROKEN);
    expect(engine.loads).toEqual(["llhls"]);
    controller.update(stream("live"));
    expect(engine.loads).toEqual(["llhls", "llhls"]);
  });

  test("a playlist that was closed meanwhile is loaded again on return", async () => {
    controller.update(stream("interrupted"));
    engine.ended = true;
    controller.update(stream("live"));
    expect(engine.loads).toEqual(["llhls", "llhls"]);
  });

  test("one that does not go on by itself is reloaded after four seconds", async () => {
    controller.update(stream("interrupted"));
    engine.speed = 0;
    await pass(10);
    controller.update(stream("live"));
    await pass(3.5);
    expect(engine.loads).toEqual(["llhls"]);
    await pass(1);
    expect(engine.loads).toEqual(["llhls", "llhls"]);
  });

  test("the end lets the buffer play out, then shows offline", async () => {
    controller.update(stream("offline"));
    await pass(1);
    expect(last()?.state).toBe("playing");
    engine.speed = 0;
    await pass(1);
    expect(last()).toMatchObject({ state: "offline", source: null });
    expect(engine.loaded).toBeNull();
  });

  test("the end does not wait for ever", async () => {
    controller.update(stream("offline"));
    await pass(6);
    expect(last()?.state).toBe("offline");
  });

  test("a broadcast that is back plays again", async () => {
    controller.update(stream("offline"));
    await pass(1);
    controller.update(stream("live"));
    await pass(1);
    expect(engine.loads).toEqual(["llhls", "llhls"]);
    expect(last()?.state).toBe("playing");
  });

  test("a stream that is removed stops", async () => {
    controller.update(null);
    await pass(6);
    expect(engine.loaded).toBeNull();
  });

  test("a change of title changes nothing, a change of sources starts anew", async () => {
    controller.update(stream("live", { title: "Other" }));
    expect(engine.loads).toEqual(["llhls"]);
    controller.update(stream("live", { sources: SOURCES.slice(0, 1) }));
    expect(engine.loads).toEqual(["llhls", "dash"]);
  });
});

describe("WebRTC", () => {
  const live = (change = {}) => stream("live", { sources: WITH_WEBRTC, ...change });
  const memory = () => new SourceMemory("demo", store);

  test("comes before everything else", async () => {
    controller.update(live());
    await pass(1);
    expect(last()).toMatchObject({ state: "playing", source: "webrtc", failure: null });
    expect(engine.loads).toEqual(["webrtc"]);
  });

  test("is left for LL-HLS when no connection comes about, and that is remembered", async () => {
    engine.broken.add("webrtc");
    engine.connects = false;
    controller.update(live());
    await pass(0.5);
    expect(engine.prepared).toEqual([]);
    await pass(2);
    // What is needed next is on its way before it is.
    expect(engine.prepared).toEqual(["llhls"]);
    expect(engine.loads).toEqual(["webrtc"]);
    await pass(1);
    expect(engine.loads).toEqual(["webrtc", "llhls"]);
    expect(last()?.failure).toEqual({ reason: "network", detail: "" });
    await pass(1);
    expect(last()).toMatchObject({ state: "playing", source: "llhls", failure: { reason: "network" } });
    expect(memory().recall("webrtc")).toMatchObject({ reason: "network" });

    controller.dispose();
    controller = create();
    controller.update(live());
    expect(engine.loads).toEqual(["webrtc", "llhls", "llhls"]);
  });

  test("is given time for its first picture once it is connected, but not for ever", async () => {
    engine.broken.add("webrtc");
    controller.update(live());
    await pass(2.5);
    expect(engine.loads).toEqual(["webrtc"]);
    await pass(1.5);
    expect(engine.loads).toEqual(["webrtc", "llhls"]);
    await pass(1);
    expect(memory().recall("webrtc")).toMatchObject({ reason: "picture" });
  });

  test("that had played is connected anew once, then left", async () => {
    controller.update(live());
    await pass(2);
    engine.onError({ reason: "lost", detail: "" });
    expect(engine.loads).toEqual(["webrtc", "webrtc"]);
    await pass(2);
    engine.onError({ reason: "lost", detail: "" });
    expect(engine.loads).toEqual(["webrtc", "webrtc", "llhls"]);
    await pass(1);
    expect(last()).toMatchObject({ source: "llhls", failure: { reason: "lost" } });
  });

  test("is not blamed for a server that is away altogether", async () => {
    controller.update(live());
    engine.onError({ reason: "signalling", detail: "" });
    engine.onError(BROKEN);
    engine.onError(BROKEN);
    expect(last()).toMatchObject({ state: "retrying", failure: null });
    await pass(3);
    expect(last()).toMatchObject({ state: "playing", source: "webrtc" });
    expect(memory().recall("webrtc")).toBeNull();
  });

  describe("that failed", () => {
    beforeEach(async () => {
      engine.broken.add("webrtc");
      engine.connects = false;
      controller.update(live());
      await pass(5);
      expect(last()).toMatchObject({ state: "playing", source: "llhls" });
      engine.loads.length = 0;
      engine.broken.clear();
      engine.connects = true;
    });

    test("takes over after a change of the network, once it is known to work", async () => {
      controller.reconsider();
      expect(probes.map(({ source }) => source.type)).toEqual(["webrtc"]);
      await pass(2);
      // Meanwhile the picture goes on.
      expect(engine.loads).toEqual([]);
      expect(last()?.state).toBe("playing");
      probes[0]?.answer(null);
      await pass(1);
      expect(engine.loads).toEqual(["webrtc"]);
      expect(last()).toMatchObject({ state: "playing", source: "webrtc", failure: null });
    });

    test("stays away when it does not work in the new network either", async () => {
      controller.reconsider();
      expect(last()?.failure).toBeNull();
      probes[0]?.answer({ reason: "signalling", detail: "" });
      await pass(1);
      expect(engine.loads).toEqual([]);
      expect(last()).toMatchObject({ source: "llhls", failure: { reason: "signalling" } });
    });

    test("does not tear a viewer from where they paused, or had wound back to", async () => {
      controller.reconsider();
      engine.paused = true;
      probes[0]?.answer(null);
      await pass(1);
      expect(engine.loads).toEqual([]);
      engine.paused = false;
      engine.latency = 60;
      await pass(1);
      controller.reconsider();
      expect(probes).toHaveLength(1);
    });

    test("is looked for again when the network changed while another source started", async () => {
      controller.reload();
      controller.reconsider();
      expect(probes).toEqual([]);
      await pass(1);
      expect(probes).toHaveLength(1);
    });

    test("is not waited for by a page that goes", () => {
      controller.reconsider();
      controller.dispose();
      expect(probes[0]?.signal.aborted).toBe(true);
    });

    test("that the server has only now takes over when it works; that it has no longer is left", async () => {
      controller.dispose();
      controller = create();
      memory().forget();
      controller.update(stream("live"));
      await pass(1);
      engine.loads.length = 0;
      controller.update(live());
      expect(engine.loads).toEqual([]);
      probes[0]?.answer(null);
      await pass(1);
      expect(engine.loads).toEqual(["webrtc"]);
      controller.update(stream("live"));
      expect(engine.loads).toEqual(["webrtc", "llhls"]);
    });

    test("is tried first in the next broadcast, unless it was the network's fault", async () => {
      controller.update(stream("offline"));
      await pass(6);
      controller.update(live());
      expect(engine.loads).toEqual(["llhls"]);
      controller.update(stream("offline"));
      memory().absolve("webrtc");
      memory().blame("webrtc", { reason: "refused", detail: "no sound" });
      await pass(6);
      controller.update(live());
      expect(engine.loads).toEqual(["llhls", "webrtc"]);
    });

    test("begins with the way that is first when nothing played at all", async () => {
      engine.onError(BROKEN);
      engine.onError(BROKEN);
      engine.onError(BROKEN);
      engine.onError(BROKEN);
      expect(last()?.state).toBe("retrying");
      controller.reconsider();
      expect(engine.loads.at(-1)).toBe("webrtc");
    });
  });
});
