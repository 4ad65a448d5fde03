import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { StreamInfo } from "../src/lib/api";
import type { Directory } from "../src/lib/live/directory";
import { StudioApi } from "../src/studio/api";
import { Managed } from "../src/studio/managed.svelte";
import { Poll } from "../src/studio/poll.svelte";
import { FakeServer, json } from "./studio-support";
import { stream } from "./support";

beforeEach(() => vi.useFakeTimers());
afterEach(() => {
  show(true);
  vi.useRealTimers();
});

function show(visible: boolean): void {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => !visible });
  document.dispatchEvent(new Event("visibilitychange"));
}

test("a poll asks at once, then every so often, and keeps its last answer through a failure", async () => {
  let count = 0;
  const poll = new Poll(async () => {
    count += 1;
    if (count === 2) throw new Error("lost");
    return count;
  }, 2000);
  const stop = poll.start();
  await vi.advanceTimersByTimeAsync(0);
  expect([poll.value, poll.error]).toEqual([1, null]);
  await vi.advanceTimersByTimeAsync(2000);
  expect(poll.value).toBe(1);
  expect(poll.error).toBeInstanceOf(Error);
  await vi.advanceTimersByTimeAsync(2000);
  expect([poll.value, poll.error]).toEqual([3, null]);
  stop();
  await vi.advanceTimersByTimeAsync(10_000);
  expect(count).toBe(3);
});

test("a page that nobody sees asks nothing, and asks at once when it is seen again", async () => {
  let count = 0;
  const poll = new Poll(async () => ++count, 2000);
  const stop = poll.start();
  await vi.advanceTimersByTimeAsync(0);
  show(false);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(count).toBe(1);
  show(true);
  await vi.advanceTimersByTimeAsync(0);
  expect(count).toBe(2);
  stop();
});

test("an answer to a question that was asked again since is not taken", async () => {
  const answers: ((value: string) => void)[] = [];
  const poll = new Poll(() => new Promise<string>((resolve) => answers.push(resolve)), 2000);
  const stop = poll.start();
  void poll.now();
  answers[1]?.("new");
  await vi.advanceTimersByTimeAsync(0);
  answers[0]?.("old");
  await vi.advanceTimersByTimeAsync(0);
  expect(poll.value).toBe("new");
  stop();
});

test("an answer that is older than what was told since is not taken", async () => {
  const answers: ((value: string) => void)[] = [];
  const poll = new Poll(() => new Promise<string>((resolve) => answers.push(resolve)), 2000);
  const stop = poll.start();
  poll.know("changed");
  answers[0]?.("as before");
  await vi.advanceTimersByTimeAsync(0);
  expect(poll.value).toBe("changed");
  await vi.advanceTimersByTimeAsync(2000);
  answers[1]?.("changed again");
  await vi.advanceTimersByTimeAsync(0);
  expect(poll.value).toBe("changed again");
  stop();
});

test("a slow server is not asked faster than it answers", async () => {
  let asked = 0;
  const poll = new Poll(() => {
    asked += 1;
    return new Promise<number>((resolve) => setTimeout(() => resolve(asked), 30_000));
  }, 2000);
  const stop = poll.start();
  await vi.advanceTimersByTimeAsync(31_000);
  expect(asked).toBe(1);
  stop();
});

function managed(listed: StreamInfo[], live: { directory: Directory }) {
  const server = new FakeServer();
  server.on("GET", "/api/v1/studio/streams", json({ streams: listed }));
  return { server, managed: new Managed(new StudioApi(server.http, () => {}), live) };
}

test("which streams one may manage comes from the list, how they are from the events", async () => {
  const live: { directory: Directory } = { directory: null };
  const { managed: own } = managed([stream("offline")], live);
  expect(own.streams).toBeNull();
  await own.refresh();
  expect(own.streams?.map(({ state }) => state)).toEqual(["offline"]);
  live.directory = [stream("live"), stream("live", { name: "of-somebody-else" })];
  expect(own.streams?.map(({ name, state }) => [name, state])).toEqual([["demo", "live"]]);
});

test("a list that was overtaken is not taken", async () => {
  const { server, managed: own } = managed([], { directory: null });
  let slow: (answer: Response) => void = () => {};
  server.on("GET", "/api/v1/studio/streams", () => new Promise((resolve) => (slow = resolve)));
  const first = own.refresh();
  server.on("GET", "/api/v1/studio/streams", json({ streams: [stream("offline")] }));
  await own.refresh();
  slow(json({ streams: [] }));
  await first;
  expect(own.streams).toHaveLength(1);
});

test("what was just made is there, what was just deleted is not", async () => {
  const { managed: own } = managed([stream("offline")], { directory: null });
  await own.refresh();
  own.add(stream("offline", { name: "new" }));
  own.add(stream("offline", { name: "new" }));
  expect(own.streams?.map(({ name }) => name)).toEqual(["demo", "new"]);
  own.drop("demo");
  expect(own.streams?.map(({ name }) => name)).toEqual(["new"]);
});
