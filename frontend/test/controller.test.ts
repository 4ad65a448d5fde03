import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Playback, PlaybackController } from "../src/lib/player/controller";
import { SourceMemory } from "../src/lib/player/memory";
import { FakeEngine, FakeStorage, SOURCES, stream } from "./support";

let engine: FakeEngine;
let store: FakeStorage;
let shown: Playback[];
let hidden: boolean;
let controller: PlaybackController;

function create(requested: "llhls" | "dash" | null = null): PlaybackController {
  return new PlaybackController({
    engine,
    memory: new SourceMemory("demo", store),
    requested,
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
  test("at once: the next one, which is remembered", async () => {
    controller.update(stream("live"));
    engine.onError("302");
    expect(engine.loads).toEqual(["llhls", "dash"]);
    await pass(1);
    expect(last()).toMatchObject({ state: "playing", source: "dash" });
    expect(new SourceMemory("demo", store).recall()).toBe("dash");
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

  test("all of them: tried again from the first, after a pause", async () => {
    controller.update(stream("live"));
    engine.onError("302");
    engine.onError("302");
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
    engine.onError("303");
    await pass(25);
    engine.onError("303");
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
    engine.onError("302");
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
