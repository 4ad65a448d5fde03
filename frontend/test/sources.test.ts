import { expect, test } from "vitest";
import { SourceMemory } from "../src/lib/player/memory";
import { Rotation } from "../src/lib/player/rotation";
import { orderSources, requestedProtocol, sameSources } from "../src/lib/player/sources";
import { FakeStorage, SOURCES } from "./support";

const types = (sources: { type: string }[]) => sources.map((source) => source.type);

test("LL-HLS comes before DASH, whatever the server's order", () => {
  expect(types(orderSources(SOURCES))).toEqual(["llhls", "dash"]);
});

test("a protocol of a newer server is left out", () => {
  expect(types(orderSources([{ type: "moq", url: "/x" }, ...SOURCES]))).toEqual(["llhls", "dash"]);
});

test("a source that is not offered is not tried", () => {
  expect(types(orderSources(SOURCES.slice(0, 1), ["llhls"]))).toEqual(["dash"]);
  expect(orderSources([])).toEqual([]);
});

test("the address goes before the memory, each source once", () => {
  expect(types(orderSources(SOURCES, ["dash", "llhls"]))).toEqual(["dash", "llhls"]);
  expect(types(orderSources(SOURCES, [null, "dash"]))).toEqual(["dash", "llhls"]);
});

test("?source= takes only protocols that exist", () => {
  expect(requestedProtocol("?source=dash&x=1")).toBe("dash");
  expect(requestedProtocol("?source=flash")).toBeNull();
  expect(requestedProtocol("")).toBeNull();
});

test("the same sources are recognised", () => {
  expect(sameSources(SOURCES, [...SOURCES])).toBe(true);
  expect(sameSources(SOURCES, SOURCES.slice(1))).toBe(false);
});

test("the rotation tries all, then waits longer each round", () => {
  const rotation = new Rotation(orderSources(SOURCES));
  expect(rotation.current.type).toBe("llhls");
  expect(rotation.fail()).toMatchObject({ source: { type: "dash" }, wait: 0 });
  expect(rotation.fail()).toMatchObject({ source: { type: "llhls" }, wait: 2_000 });
  rotation.fail();
  expect(rotation.fail()).toMatchObject({ source: { type: "llhls" }, wait: 4_000 });
  for (let round = 0; round < 8; round += 1) rotation.fail();
  rotation.fail();
  expect(rotation.fail().wait).toBe(30_000);
});

test("playing for a while wipes the slate", () => {
  const rotation = new Rotation(orderSources(SOURCES));
  rotation.fail();
  rotation.settle();
  expect(rotation.fail()).toMatchObject({ source: { type: "llhls" }, wait: 0 });
});

test("what played is remembered for ten minutes, per stream", () => {
  const store = new FakeStorage();
  let now = 1_000;
  const memory = new SourceMemory("demo", store, () => now);
  expect(memory.recall()).toBeNull();
  memory.remember("dash");
  expect(memory.recall()).toBe("dash");
  expect(new SourceMemory("other", store, () => now).recall()).toBeNull();
  now += 10 * 60_000;
  expect(memory.recall()).toBeNull();
});

test("memory survives nonsense and a forbidden storage", () => {
  const store = new FakeStorage();
  store.setItem("ghostlive.source.demo", "flash@99999999999999");
  expect(new SourceMemory("demo", store).recall()).toBeNull();
  const none = new SourceMemory("demo", null);
  none.remember("dash");
  expect(none.recall()).toBeNull();
});
