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

class FakeSocket {
  static all: FakeSocket[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  closed = false;
  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }
  close() {
    this.closed = true;
  }
  send(...events: [type: string, data: unknown][]) {
    const data = events.map(([type, value]) => `event: ${type}\ndata: ${JSON.stringify(value)}\n\n`).join("");
    this.onmessage?.({ data });
  }
}

function feed(name?: string) {
  FakeSocket.all = [];
  const events: unknown[] = [];
  const statuses: string[] = [];
  const close = openFeed({
    ...(name !== undefined && { stream: name }),
    onEvent: (event) => events.push(event),
    onStatus: (status) => statuses.push(status),
    socket: (url) => new FakeSocket(url) as unknown as WebSocket,
    source: (url) => new FakeEventSource(url) as unknown as EventSource,
  });
  return { events, statuses, close };
}

const socket = (index = 0) => FakeSocket.all[index] as FakeSocket;

test("the feed asks for one stream and passes events on, several of a message too", () => {
  const { events, statuses, close } = feed("my stream");
  expect(socket().url).toMatch(/^ws:\/\/.*\/api\/v1\/events\?stream=my%20stream$/);
  socket().onopen?.();
  socket().send(["stream", demo], ["removed", { name: "demo" }]);
  socket().onmessage?.({ data: ": still here\n\n" });
  expect(events).toEqual([
    { type: "stream", stream: demo },
    { type: "removed", name: "demo" },
  ]);
  expect(statuses).toEqual(["connecting", "open"]);
  close();
  expect(socket().closed).toBe(true);
});

test("what looks like an event within a title is none", () => {
  const { events, close } = feed();
  const tricky = stream("live", { title: "event: removed\ndata: {}" });
  socket().onopen?.();
  socket().send(["stream", tricky]);
  expect(events).toEqual([{ type: "stream", stream: tricky }]);
  close();
});

test("a line that broke is opened anew, ever more slowly, until it works", async () => {
  const { statuses, close } = feed();
  socket().onopen?.();
  socket().onclose?.();
  expect(statuses.at(-1)).toBe("lost");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(FakeSocket.all).toHaveLength(2);
  socket(1).onopen?.();
  expect(statuses.at(-1)).toBe("open");
  socket(1).onclose?.();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(FakeSocket.all).toHaveLength(3);
  close();
});

test("a line that has fallen silent is given up", async () => {
  const { statuses, close } = feed();
  socket().onopen?.();
  await vi.advanceTimersByTimeAsync(39_000);
  socket().onmessage?.({ data: ": still here\n\n" });
  await vi.advanceTimersByTimeAsync(39_000);
  expect(statuses.at(-1)).toBe("open");
  await vi.advanceTimersByTimeAsync(2_000);
  expect(statuses.at(-1)).toBe("lost");
  expect(socket().closed).toBe(true);
  close();
});

test("where no WebSocket gets through, the event stream takes its turn", async () => {
  const { events, statuses, close } = feed("demo");
  socket().onclose?.();
  await vi.advanceTimersByTimeAsync(1_000);
  const source = FakeEventSource.all[0] as FakeEventSource;
  expect(source.url).toBe("/api/v1/events?stream=demo");
  source.onopen?.();
  source.send("stream", demo);
  expect(events).toEqual([{ type: "stream", stream: demo }]);
  expect(statuses.at(-1)).toBe("open");
  // It worked, so it is what is tried again.
  source.onerror?.();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(FakeEventSource.all).toHaveLength(2);
  // It did not this time: back to the WebSocket.
  (FakeEventSource.all[1] as FakeEventSource).onerror?.();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(FakeSocket.all).toHaveLength(2);
  close();
});

test("a closed feed does not come back", async () => {
  const { close } = feed();
  socket().onclose?.();
  close();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(FakeSocket.all).toHaveLength(1);
  expect(FakeEventSource.all).toHaveLength(0);
});
