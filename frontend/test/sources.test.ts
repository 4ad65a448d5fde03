import { beforeEach, describe, expect, test } from "vitest";
import { failureOf, KEEP_MS } from "../src/lib/player/failure";
import { SourceMemory } from "../src/lib/player/memory";
import { Rotation } from "../src/lib/player/rotation";
import { addressOf, orderSources, requestedProtocol, sameSources } from "../src/lib/player/sources";
import { FakeStorage, SOURCES, WITH_WEBRTC } from "./support";

const types = (sources: { type: string }[]) => sources.map((source) => source.type);

test("WebRTC comes before LL-HLS and that before DASH, whatever the server's order", () => {
  expect(types(orderSources(SOURCES))).toEqual(["llhls", "dash"]);
  expect(types(orderSources(WITH_WEBRTC, { playable: () => true }))).toEqual(["webrtc", "llhls", "dash"]);
});

test("a protocol of a newer server is left out", () => {
  expect(types(orderSources([{ type: "moq", url: "/x" }, ...SOURCES]))).toEqual(["llhls", "dash"]);
});

test("a source that is not offered, or that the browser does not have, is not tried", () => {
  expect(types(orderSources(SOURCES.slice(0, 1), { requested: "llhls" }))).toEqual(["dash"]);
  expect(orderSources([])).toEqual([]);
  // jsdom has no RTCPeerConnection.
  expect(types(orderSources(WITH_WEBRTC, { requested: "webrtc" }))).toEqual(["llhls", "dash"]);
});

test("the address goes before what has failed, each source once", () => {
  expect(types(orderSources(SOURCES, { requested: "dash" }))).toEqual(["dash", "llhls"]);
  expect(types(orderSources(SOURCES, { failed: (type) => type === "llhls" }))).toEqual(["dash", "llhls"]);
  expect(types(orderSources(SOURCES, { requested: "llhls", failed: () => true }))).toEqual(["llhls", "dash"]);
});

test("WebRTC is arranged over a WebSocket of the same server, encrypted like the page", () => {
  const source = { type: "webrtc", url: "/app/demo" } as const;
  expect(addressOf(source, "https://live.example/demo")).toBe("wss://live.example/app/demo");
  expect(addressOf(source, "http://localhost:8080/demo")).toBe("ws://localhost:8080/app/demo");
  expect(addressOf({ ...source, url: "wss://other.example/app/x" }, "https://a/")).toBe(
    "wss://other.example/app/x",
  );
  expect(addressOf({ type: "llhls", url: "/app/x.m3u8" }, "https://a/")).toBe("https://a/app/x.m3u8");
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

describe("what failed", () => {
  const REFUSED = { reason: "refused", detail: "no sound" } as const;
  let store: FakeStorage;
  let now: number;
  const memory = (name = "demo") => new SourceMemory(name, store, () => now);

  beforeEach(() => {
    store = new FakeStorage();
    now = 1_000;
  });

  test("is remembered for a while, longer or shorter by its reason", () => {
    memory().blame("webrtc", REFUSED);
    memory().blame("dash", { reason: "negotiation", detail: "" });
    expect(memory().recall("webrtc")).toMatchObject(REFUSED);
    expect(memory().recall("llhls")).toBeNull();
    now += KEEP_MS.refused;
    expect(memory().recall("webrtc")).toBeNull();
    expect(memory().recall("dash")).toMatchObject({ reason: "negotiation" });
  });

  test("counts for all streams when it is the network's doing, else for the one", () => {
    memory().blame("webrtc", REFUSED);
    expect(memory("other").recall("webrtc")).toBeNull();
    memory().blame("webrtc", { reason: "network", detail: "" });
    expect(memory("other").recall("webrtc")).toMatchObject({ reason: "network" });
  });

  test("is forgotten by what plays, by another broadcast, or altogether", () => {
    memory().blame("webrtc", REFUSED);
    memory().absolve("webrtc");
    expect(memory().recall("webrtc")).toBeNull();
    memory().blame("webrtc", REFUSED);
    memory().blame("dash", { reason: "network", detail: "" });
    memory().renew();
    expect(memory().recall("webrtc")).toBeNull();
    expect(memory().recall("dash")).not.toBeNull();
    memory().forget();
    expect(memory().recall("dash")).toBeNull();
    expect(store.items.size).toBe(0);
  });

  test("survives nonsense in the storage", () => {
    for (const text of [
      "webrtc@99999999999999",
      "null",
      "[1]",
      '{"flash":{"reason":"lost","detail":"","until":9e15}}',
      '{"webrtc":{"reason":"toString","detail":"","until":9e15}}',
      '{"webrtc":{"reason":"lost","detail":7,"until":9e15}}',
      '{"webrtc":null}',
    ]) {
      store.setItem("ghostlive.failed.demo", text);
      expect(memory().recall("webrtc")).toBeNull();
    }
    memory().blame("webrtc", REFUSED);
    expect(memory().recall("webrtc")).toMatchObject(REFUSED);
  });

  test("is known as long as the page is open where there is no storage", () => {
    const none = new SourceMemory("demo", null, () => now);
    none.blame("webrtc", REFUSED);
    expect(none.recall("webrtc")).toMatchObject(REFUSED);
    none.forget();
    expect(none.recall("webrtc")).toBeNull();
  });
});

test.each([
  [302, "Error", false, { reason: "error", detail: "302 Error" }],
  [undefined, "", false, { reason: "error", detail: "?" }],
  [501, "no sound", false, { reason: "refused", detail: "no sound" }],
  [501, "", false, { reason: "signalling", detail: "" }],
  [501, "", true, { reason: "lost", detail: "" }],
  [505, "", false, { reason: "negotiation", detail: "" }],
  [511, "", true, { reason: "lost", detail: "" }],
  [511, "", false, { reason: "network", detail: "" }],
  [512, "", false, { reason: "network", detail: "" }],
] as const)("OvenPlayer's error %s %s", (code, detail, played, failure) => {
  expect(failureOf(code, detail, played)).toEqual(failure);
});
