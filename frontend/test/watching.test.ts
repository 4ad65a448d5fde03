import { flushSync, mount, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { onNetworkChange } from "../src/lib/player/network";
import WatchingPanel from "../src/lib/player/WatchingPanel.svelte";
import {
  type Circumstances,
  type Fact,
  FrameMeter,
  type Reading,
  watchingFacts,
  whyNotWebRtc,
} from "../src/lib/player/watching";
import { WITH_WEBRTC } from "./support";

const NOTHING: Reading = { delay: null, frameRate: null, bitrate: null, loss: null, transport: null };

describe("the lines", () => {
  const values = (facts: Fact[]) => facts.map(({ name, value }) => `${name}: ${value}`);

  test("of WebRTC, with all that is measured", () => {
    const reading = {
      delay: 0.0834,
      frameRate: 29.6,
      bitrate: 2_512_000,
      loss: 0.0042,
      transport: "udp",
    } as const;
    const facts = watchingFacts({ source: "webrtc", reading, rendition: "1080p60", auto: true });
    expect(values(facts)).toEqual([
      "protocol: WebRTC over UDP",
      "delay: 80 ms",
      "rendition: 1080p60 (Auto)",
      "rate: 30 fps",
      "bitrate: 2.5 Mb/s",
      "loss: 0.4 %",
    ]);
  });

  test("of LL-HLS, of which less is known", () => {
    const reading = { ...NOTHING, delay: 1.26, frameRate: 59.9 };
    const facts = watchingFacts({ source: "llhls", reading, rendition: "720p60", auto: false });
    expect(values(facts)).toEqual(["protocol: LL-HLS", "delay: 1.3 s", "rendition: 720p60", "rate: 60 fps"]);
  });

  test("of nothing, none", () => {
    expect(watchingFacts({ source: null, reading: NOTHING, rendition: null, auto: true })).toEqual([]);
  });
});

describe("why it is not WebRTC", () => {
  const at = (change: Partial<Circumstances> = {}): string =>
    whyNotWebRtc(
      {
        source: "llhls",
        offered: WITH_WEBRTC,
        silent: false,
        requested: null,
        playable: true,
        failure: null,
        ...change,
      },
      "en-GB",
    );

  test("needs no words when it is, or when nothing plays", () => {
    expect(at({ source: "webrtc" })).toBe("");
    expect(at({ source: null })).toBe("");
  });

  test("is said by what comes first", () => {
    expect(at({ silent: true })).toContain("sound alone");
    expect(at({ playable: false })).toContain("This browser has no WebRTC");
    expect(at({ requested: "dash" })).toContain("asks for DASH");
    expect(at({ offered: [] })).toContain("does not offer");
    expect(at({ failure: { reason: "refused", detail: "No sound." } })).toContain("No sound.");
  });

  test.each([
    ["network", "neither over UDP nor over TCP"],
    ["signalling", "proxy"],
    ["negotiation", "format in common"],
    ["picture", "no picture"],
    ["lost", "broke off"],
    ["error", "failed"],
  ] as const)("%s, and when it is tried again", (reason, words) => {
    const until = new Date(2026, 0, 1, 14, 5).getTime();
    const text = at({ failure: { reason, detail: "", until } });
    expect(text).toContain(words);
    expect(text).toContain("after 14:05");
  });
});

test("frames are counted from look to look, and anew for another source", () => {
  const meter = new FrameMeter();
  expect(meter.observe(100, 0)).toBeNull();
  expect(meter.observe(130, 1_000)).toBe(30);
  expect(meter.observe(5, 2_000)).toBeNull();
  expect(meter.observe(null, 3_000)).toBeNull();
  expect(meter.observe(10, 4_000)).toBeNull();
});

describe("another network", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test("is noticed once it has settled; a new estimate is none", () => {
    const connection = Object.assign(new EventTarget(), { type: "wifi" });
    const called = vi.fn();
    const stop = onNetworkChange(called, connection);
    connection.dispatchEvent(new Event("change"));
    vi.advanceTimersByTime(2_000);
    expect(called).not.toHaveBeenCalled();
    for (const type of ["none", "cellular"]) {
      connection.type = type;
      connection.dispatchEvent(new Event("change"));
    }
    vi.advanceTimersByTime(2_000);
    expect(called).toHaveBeenCalledTimes(1);
    stop();
    connection.type = "wifi";
    connection.dispatchEvent(new Event("change"));
    vi.advanceTimersByTime(2_000);
    expect(called).toHaveBeenCalledTimes(1);
  });
});

describe("the panel", () => {
  let shown: ReturnType<typeof mount>;
  const looks = vi.fn(() =>
    watchingFacts({ source: "llhls", reading: NOTHING, rendition: null, auto: true }),
  );
  const retried = vi.fn();

  function show(why: string, retriable: boolean): HTMLElement {
    const bar = document.createElement("div");
    document.body.append(bar);
    const props = { bar, look: looks, why, retriable, onretry: retried };
    shown = mount(WatchingPanel, { target: document.body, props });
    flushSync();
    return document.querySelector("[role=dialog]") as HTMLElement;
  }

  /** As the browser does it; jsdom has no popovers. */
  function toggle(panel: HTMLElement, newState: string): void {
    panel.dispatchEvent(Object.assign(new Event("toggle"), { newState }));
    flushSync();
  }

  beforeEach(() => {
    vi.useFakeTimers();
    looks.mockClear();
  });

  afterEach(async () => {
    await unmount(shown);
    document.body.replaceChildren();
    vi.useRealTimers();
  });

  test("looks only while it is open, has a name and takes the focus", () => {
    const panel = show("", false);
    const button = document.querySelector("[data-testid=watching]");
    expect(button?.getAttribute("aria-label")).toBe("How am I watching?");
    expect(looks).not.toHaveBeenCalled();
    toggle(panel, "open");
    expect(button?.getAttribute("aria-expanded")).toBe("true");
    expect(document.activeElement).toBe(panel);
    expect(panel.getAttribute("aria-labelledby")).toBe(panel.querySelector("h2")?.id);
    vi.advanceTimersByTime(3_000);
    expect(looks).toHaveBeenCalledTimes(4);
    toggle(panel, "closed");
    vi.advanceTimersByTime(3_000);
    expect(looks).toHaveBeenCalledTimes(4);
  });

  test("says why, and offers to try again what had failed", () => {
    const panel = show("It broke off.", true);
    expect(panel.textContent).toContain("It broke off.");
    panel.querySelector<HTMLElement>("[data-testid=watching-retry]")?.click();
    expect(retried).toHaveBeenCalledTimes(1);
  });

  test("offers nothing where it would be in vain", () => {
    const panel = show("This browser has no WebRTC.", false);
    expect(panel.querySelector("[data-testid=watching-retry]")).toBeNull();
  });
});
