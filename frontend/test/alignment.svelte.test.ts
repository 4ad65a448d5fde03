import { flushSync } from "svelte";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { AlignedView } from "../src/chat/aligned.svelte";
import { Alignment } from "../src/chat/alignment";
import type { ChatMessage } from "../src/chat/protocol";
import { momentOf, PictureClock, type PictureTime } from "../src/lib/player/clock";
import { ADA, BO, message } from "./chat-support";

const NOON = Date.parse("2026-01-01T12:00:00Z");

/** Said so many seconds after noon. */
const said = (id: number, seconds: number, author = ADA): ChatMessage => ({
  ...message(id, author),
  at: new Date(NOON + seconds * 1000).toISOString(),
});

const nobody = () => false;
const ids = (messages: readonly ChatMessage[]) => messages.map(({ id }) => id);

let picture: PictureTime | null;
let now: number;
let alignment: Alignment;

/** A picture with dates, so many seconds after noon. */
const dated = (seconds: number, behind = 3): PictureTime => ({ at: NOON + seconds * 1000, behind });

beforeEach(() => {
  picture = null;
  now = 1_000;
  alignment = new Alignment({ read: () => picture }, () => now);
});

test("time alone changes something only with a picture, or when it has just gone", () => {
  const all = [said(1, 0)];
  alignment.visible(all, nobody);
  expect(alignment.idle).toBe(true);
  picture = dated(8);
  expect(alignment.idle).toBe(false);
  alignment.visible(all, nobody);
  picture = null;
  expect(alignment.idle).toBe(false);
  alignment.visible(all, nobody);
  expect(alignment.idle).toBe(true);
});

describe("a picture with dates", () => {
  test("has a message wait until it reaches the moment at which it was said", () => {
    const all = [said(1, 0), said(2, 10)];
    picture = dated(8);
    expect(ids(alignment.visible(all, nobody))).toEqual([1]);
    picture = dated(9.99);
    expect(ids(alignment.visible(all, nobody))).toEqual([1]);
    picture = dated(10);
    expect(alignment.visible(all, nobody)).toBe(all);
  });

  test("does not keep one's own words back", () => {
    picture = dated(5);
    const all = [said(1, 9, BO), said(2, 9)];
    expect(ids(alignment.visible(all, ({ author }) => author === ADA))).toEqual([2]);
  });

  test("takes away what is later when the viewer winds back, and brings it again", () => {
    const all = [said(1, 0), said(2, 60), said(3, 120)];
    picture = dated(121);
    expect(ids(alignment.visible(all, nobody))).toEqual([1, 2, 3]);
    picture = dated(30);
    expect(ids(alignment.visible(all, nobody))).toEqual([1]);
    picture = dated(61);
    expect(ids(alignment.visible(all, nobody))).toEqual([1, 2]);
    picture = dated(122);
    expect(ids(alignment.visible(all, nobody))).toEqual([1, 2, 3]);
  });

  test("that jumps back a little takes nothing away that was read", () => {
    const all = [said(1, 0), said(2, 9)];
    picture = dated(10);
    alignment.visible(all, nobody);
    picture = dated(7);
    expect(alignment.visible(all, nobody)).toBe(all);
    // What is new waits for it all the same.
    const more = [...all, said(3, 12)];
    expect(ids(alignment.visible(more, nobody))).toEqual([1, 2]);
  });

  test("that comes after the chat takes nothing away that was read", () => {
    const all = [said(1, 0), said(2, 9)];
    expect(alignment.visible(all, nobody)).toBe(all);
    picture = dated(6);
    expect(alignment.visible(all, nobody)).toBe(all);
  });

  test("shows a message at once whose date is none", () => {
    picture = dated(5);
    const all = [{ ...said(1, 0), at: "" }, said(2, 60)];
    expect(ids(alignment.visible(all, nobody))).toEqual([1]);
  });
});

describe("a picture of which only the delay is known", () => {
  test("has a message wait for that long", () => {
    picture = { at: null, behind: 0.3 };
    alignment.history = 1;
    const history = [said(1, 0)];
    expect(alignment.visible(history, nobody)).toBe(history);
    const all = [...history, said(2, 0)];
    expect(ids(alignment.visible(all, nobody))).toEqual([1]);
    now += 299;
    expect(ids(alignment.visible(all, nobody))).toEqual([1]);
    now += 1;
    expect(alignment.visible(all, nobody)).toBe(all);
  });

  test("has the first message of an empty chat wait as well", () => {
    picture = { at: null, behind: 0.3 };
    alignment.history = 0;
    expect(alignment.visible([], nobody)).toEqual([]);
    const all = [said(1, 0)];
    expect(alignment.visible(all, nobody)).toEqual([]);
    now += 300;
    expect(alignment.visible(all, nobody)).toBe(all);
  });

  test("has nothing wait for a delay that is not known, or cannot be", () => {
    alignment.history = 2;
    picture = { at: null, behind: null };
    const all = [said(1, 0), said(2, 0)];
    expect(alignment.visible(all, nobody)).toBe(all);
    picture = { at: null, behind: 4_000 };
    const more = [...all, said(3, 0)];
    expect(ids(alignment.visible(more, nobody))).toEqual([1, 2]);
    now += 10_000;
    expect(alignment.visible(more, nobody)).toBe(more);
  });

  test("takes nothing away when it gives way to one with dates", () => {
    picture = { at: null, behind: 0 };
    const all = [said(1, 0), said(2, 9)];
    alignment.visible(all, nobody);
    picture = dated(6);
    expect(alignment.visible(all, nobody)).toBe(all);
    expect(ids(alignment.visible([...all, said(3, 8, BO), said(4, 10)], nobody))).toEqual([1, 2, 3]);
  });
});

test("without a picture, and with the switch off, everything is shown", () => {
  const all = [said(1, 0), said(2, 900)];
  expect(alignment.visible(all, nobody)).toBe(all);
  alignment = new Alignment({ read: () => picture }, () => now);
  picture = dated(5);
  alignment.on = false;
  expect(alignment.visible(all, nobody)).toBe(all);
  expect(alignment.behind).toBe(3);
});

test("a page of six hundred messages costs little, and is remembered only so far", () => {
  picture = dated(0);
  for (let first = 0; first < 12_000; first += 600) {
    const page = Array.from({ length: 600 }, (_, index) => said(first + index, -1));
    expect(alignment.visible(page, nobody)).toBe(page);
  }
});

describe("the view", () => {
  const all = [said(1, 0), said(2, 10)];
  const source = { messages: all as readonly ChatMessage[], history: 2, isOwn: nobody };

  test("looks again by itself, and gives the same list while nothing has changed", () => {
    vi.useFakeTimers();
    const clock = new PictureClock();
    clock.follow(() => picture);
    picture = dated(5);
    const view = new AlignedView(source, clock, null);
    const seen: (readonly ChatMessage[])[] = [];
    const stop = $effect.root(() => {
      $effect(() => void seen.push(view.messages));
    });
    view.start();
    flushSync();
    vi.advanceTimersByTime(1_000);
    flushSync();
    expect(seen.map(ids)).toEqual([[1]]);
    expect(view.waiting).toBe(1);
    picture = dated(11);
    vi.advanceTimersByTime(200);
    flushSync();
    expect(seen.map(ids)).toEqual([[1], [1, 2]]);
    view.stop();
    stop();
    vi.useRealTimers();
  });

  test("keeps the switch in the browser", () => {
    const kept = new Map<string, string>();
    const store = {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
      removeItem: (key: string) => void kept.delete(key),
    };
    const clock = new PictureClock();
    clock.follow(() => dated(5));
    const view = new AlignedView(source, clock, store);
    expect(ids(view.messages)).toEqual([1]);
    view.on = false;
    expect(ids(view.messages)).toEqual([1, 2]);
    expect(new AlignedView(source, clock, store).on).toBe(false);
    view.on = true;
    expect(new AlignedView(source, clock, store).on).toBe(true);
  });

  test("is everything where there is no picture to follow", () => {
    const view = new AlignedView(source, null, null);
    expect(view.messages).toBe(all);
    expect(view.possible).toBe(false);
  });
});

describe("the clock", () => {
  test("is the last player's, until that one goes", () => {
    const clock = new PictureClock();
    expect(clock.read()).toBeNull();
    const first = clock.follow(() => dated(1));
    const second = clock.follow(() => dated(2));
    first();
    expect(clock.read()).toEqual(dated(2));
    second();
    expect(clock.read()).toBeNull();
  });

  test("is read from either library", () => {
    expect(momentOf({ playingDate: new Date(NOON) })).toBe(NOON);
    expect(momentOf({ timeAsUTC: () => NOON / 1000 })).toBe(NOON);
    // A playlist without dates, a player that has not begun, a page that is not live.
    expect(momentOf({ playingDate: null })).toBeNull();
    expect(momentOf({ timeAsUTC: () => Number.NaN })).toBeNull();
    expect(momentOf({ timeAsUTC: () => 12 })).toBeNull();
    expect(momentOf(null)).toBeNull();
  });
});
