import { flushSync, mount, tick, unmount } from "svelte";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import StreamCard from "../src/home/StreamCard.svelte";
import { thumbnailAddress, thumbnailWait } from "../src/home/thumbnail";
import type { StreamInfo } from "../src/lib/api";
import { stream } from "./support";

/** Sees what the test shows it. */
class FakeObserver {
  static all: FakeObserver[] = [];
  constructor(readonly tell: (entries: { isIntersecting: boolean }[]) => void) {
    FakeObserver.all.push(this);
  }
  observe() {}
  disconnect() {
    FakeObserver.all = FakeObserver.all.filter((each) => each !== this);
  }
  static see(isIntersecting: boolean) {
    for (const { tell } of FakeObserver.all) tell([{ isIntersecting }]);
    flushSync();
  }
}

/** Pictures that the page loads ahead; the test says how that went. */
class FakeImage {
  static all: FakeImage[] = [];
  src = "";
  onload = () => {};
  onerror = () => {};
  constructor() {
    FakeImage.all.push(this);
  }
  static get last(): FakeImage {
    return FakeImage.all.at(-1) as FakeImage;
  }
}

let card: object | undefined;
let hidden = false;

const live = stream("live", { name: "cam", title: "The garden", thumbnail: "/app/cam/thumb.webp" });

function show(info: StreamInfo): HTMLElement {
  card = mount(StreamCard, { target: document.body, props: { stream: info } });
  flushSync();
  return document.querySelector("article") as HTMLElement;
}

const picture = () => document.querySelector<HTMLImageElement>("[data-testid=thumbnail]");

function setHidden(value: boolean): void {
  hidden = value;
  document.dispatchEvent(new Event("visibilitychange"));
  flushSync();
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_200_000 });
  vi.stubGlobal("IntersectionObserver", FakeObserver);
  vi.stubGlobal("Image", FakeImage);
  vi.spyOn(document, "visibilityState", "get").mockImplementation(() => (hidden ? "hidden" : "visible"));
  FakeObserver.all = [];
  FakeImage.all = [];
  hidden = false;
});

afterEach(async () => {
  if (card) await unmount(card);
  card = undefined;
  document.body.replaceChildren();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("a live stream with video shows its picture above the drawn one", () => {
  const article = show(live);
  const image = picture();
  expect(image?.getAttribute("src")).toBe("/app/cam/thumb.webp?t=100");
  expect(image?.alt).toBe("What The garden shows now");
  expect(image?.getAttribute("loading")).toBe("lazy");
  expect([image?.width, image?.height]).toEqual([640, 360]);
  expect(article.querySelector(".art > svg")).not.toBeNull();
});

test("sound alone has the drawn picture", () => {
  show(stream("live"));
  expect(picture()).toBeNull();
});

test("it is seen once it is loaded, and the drawn one again when it cannot be", () => {
  show(live);
  const seen = () => picture()?.classList.contains("loaded");
  expect(seen()).toBe(false);
  picture()?.dispatchEvent(new Event("load"));
  flushSync();
  expect(seen()).toBe(true);
  picture()?.dispatchEvent(new Event("error"));
  flushSync();
  expect(seen()).toBe(false);
});

test("it changes every twelve seconds, to what is loaded already", async () => {
  show(live);
  FakeObserver.see(true);
  vi.advanceTimersByTime(11_900);
  expect(FakeImage.all).toHaveLength(0);
  vi.advanceTimersByTime(200);
  expect(FakeImage.last.src).toBe("/app/cam/thumb.webp?t=101");
  expect(picture()?.getAttribute("src")).toBe("/app/cam/thumb.webp?t=100");
  FakeImage.last.onload();
  await tick();
  expect(picture()?.getAttribute("src")).toBe("/app/cam/thumb.webp?t=101");
  vi.advanceTimersByTime(12_100);
  expect(FakeImage.last.src).toBe("/app/cam/thumb.webp?t=102");
});

test("nothing is loaded for who does not look", () => {
  show(live);
  vi.advanceTimersByTime(60_000);
  expect(FakeImage.all).toHaveLength(0);
  FakeObserver.see(true);
  vi.advanceTimersByTime(1);
  expect(FakeImage.all).toHaveLength(1);
  FakeImage.last.onload();
  flushSync();
  setHidden(true);
  vi.advanceTimersByTime(60_000);
  expect(FakeImage.all).toHaveLength(1);
  setHidden(false);
  vi.advanceTimersByTime(1);
  expect(FakeImage.all).toHaveLength(2);
  FakeImage.last.onload();
  FakeObserver.see(false);
  vi.advanceTimersByTime(60_000);
  expect(FakeImage.all).toHaveLength(2);
});

test("an interrupted stream keeps its last picture", () => {
  show({ ...live, state: "interrupted" });
  FakeObserver.see(true);
  vi.advanceTimersByTime(60_000);
  expect(picture()?.classList.contains("still")).toBe(true);
  expect(FakeImage.all).toHaveLength(0);
});

test("what fails is asked for more and more seldom, and the old picture stays", () => {
  show(live);
  FakeObserver.see(true);
  const asked: number[] = [];
  for (let second = 0; second < 600; second += 1) {
    vi.advanceTimersByTime(1000);
    if (FakeImage.all.length > asked.length) {
      asked.push(second + 1);
      FakeImage.last.onerror();
      flushSync();
    }
  }
  expect(asked).toEqual([12, 36, 84, 180, 372, 564]);
  expect(picture()?.getAttribute("src")).toBe("/app/cam/thumb.webp?t=100");
});

test("a card that goes stops asking", async () => {
  show(live);
  FakeObserver.see(true);
  if (card) await unmount(card);
  card = undefined;
  vi.advanceTimersByTime(60_000);
  expect(FakeImage.all).toHaveLength(0);
  expect(FakeObserver.all).toHaveLength(0);
});

test("everybody who looks at about the same time asks for the same address", () => {
  expect(thumbnailAddress("/a", 1_200_000)).toBe(thumbnailAddress("/a", 1_211_999));
  expect(thumbnailAddress("/a", 1_212_000)).not.toBe(thumbnailAddress("/a", 1_211_999));
  expect(thumbnailWait(1000, 0, 500_000)).toBe(0);
});
