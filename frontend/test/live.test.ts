import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { applyEvent, displayTitle, offAir, onAir } from "../src/lib/live/directory";
import { parseEvent } from "../src/lib/live/events";
import { openFeed } from "../src/lib/live/feed";
import { stream } from "./support";

class FakeEventSource extends EventTarget {
  static all: FakeEventSource[] = [];
  readonly CLOSED = 2;
  readyState = 1;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  constructor(readonly url: string) {
    super();
    FakeEventSource.all.push(this);
  }
  close() {
    this.readyState = 2;
  }
  send(type: string, data: unknown) {
    this.dispatchEvent(new MessageEvent(type, { data: JSON.stringify(data) }));
  }
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeEventSource.all = [];
});
afterEach(() => vi.useRealTimers());

const demo = stream("live");
const cat = stream("offline", { name: "cat", title: null });

test("a snapshot, a change and a removal", () => {
  let directory = applyEvent(null, { type: "streams", streams: [demo, cat] });
  expect(onAir(directory).map((s) => s.name)).toEqual(["demo"]);
  expect(offAir(directory).map((s) => s.name)).toEqual(["cat"]);
  directory = applyEvent(directory, { type: "stream", stream: stream("live", { name: "cat" }) });
  expect(onAir(directory)).toHaveLength(2);
  directory = applyEvent(directory, { type: "removed", name: "demo" });
  expect(directory?.map((s) => s.name)).toEqual(["cat"]);
});

test("a stream that is new is added, also before any snapshot", () => {
  expect(applyEvent(null, { type: "stream", stream: demo })).toEqual([demo]);
});

test("the newest broadcast is first, an interrupted one still counts but comes last", () => {
  const old = stream("live", { name: "old", since: "2025-01-01T00:00:00Z" });
  const lost = stream("interrupted", { name: "lost", since: "2099-01-01T00:00:00Z" });
  expect(onAir([old, lost, demo]).map((s) => s.name)).toEqual(["demo", "old", "lost"]);
});

test("a stream without a title goes by its name", () => {
  expect(displayTitle(cat)).toBe("cat");
  expect(displayTitle({ name: "cat", title: "  " })).toBe("cat");
});

test("messages that make no sense are ignored", () => {
  expect(parseEvent("stream", "{")).toBeNull();
  expect(parseEvent("stream", "null")).toBeNull();
  expect(parseEvent("stream", '{"name":"x"}')).toBeNull();
  expect(parseEvent("fireworks", "{}")).toBeNull();
  expect(parseEvent("streams", JSON.stringify({ streams: [demo, 7] }))).toEqual({
    type: "streams",
    streams: [demo],
  });
});

function feed(name?: string) {
  const events: unknown[] = [];
  const statuses: string[] = [];
  const close = openFeed({
    ...(name !== undefined && { stream: name }),
    onEvent: (event) => events.push(event),
    onStatus: (status) => statuses.push(status),
    source: (url) => new FakeEventSource(url) as unknown as EventSource,
  });
  return { events, statuses, close };
}

test("the feed asks for one stream and passes events on", () => {
  const { events, statuses, close } = feed("my stream");
  const source = FakeEventSource.all[0] as FakeEventSource;
  expect(source.url).toBe("/api/v1/events?stream=my%20stream");
  source.onopen?.();
  source.send("stream", demo);
  source.send("removed", { name: "demo" });
  expect(events).toEqual([
    { type: "stream", stream: demo },
    { type: "removed", name: "demo" },
  ]);
  expect(statuses).toEqual(["connecting", "open"]);
  close();
  expect(source.readyState).toBe(2);
});

test("a broken connection is the browser's to repair, an HTTP error is ours", async () => {
  const { statuses, close } = feed();
  const first = FakeEventSource.all[0] as FakeEventSource;
  first.readyState = 0;
  first.onerror?.();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FakeEventSource.all).toHaveLength(1);
  expect(statuses.at(-1)).toBe("lost");

  first.readyState = 2;
  first.onerror?.();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(FakeEventSource.all).toHaveLength(2);
  const second = FakeEventSource.all[1] as FakeEventSource;
  second.readyState = 2;
  second.onerror?.();
  await vi.advanceTimersByTimeAsync(1_900);
  expect(FakeEventSource.all).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(200);
  expect(FakeEventSource.all).toHaveLength(3);
  (FakeEventSource.all[2] as FakeEventSource).onopen?.();
  expect(statuses.at(-1)).toBe("open");
  close();
});

test("a closed feed does not come back", async () => {
  const { close } = feed();
  const source = FakeEventSource.all[0] as FakeEventSource;
  source.readyState = 2;
  source.onerror?.();
  close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FakeEventSource.all).toHaveLength(1);
});
