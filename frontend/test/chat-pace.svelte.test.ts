import { flushSync } from "svelte";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { MOST_WAITING, Pace } from "../src/chat/pace.svelte";
import type { ChatMessage } from "../src/chat/protocol";
import { ADA, BO, message } from "./chat-support";

let messages = $state.raw<readonly ChatMessage[]>([]);
let hurry = $state(false);
let drawn: number[];
let picture: FrameRequestCallback | undefined;
let pace: Pace;
let stop: () => void;

const say = (from: number, to: number, author = BO) => {
  messages = [
    ...messages,
    ...Array.from({ length: to - from + 1 }, (_, index) => message(from + index, author)),
  ];
  flushSync();
};

/** The browser draws: how many rows are there then. */
function draw(): number {
  const due = picture;
  picture = undefined;
  due?.(0);
  flushSync();
  return drawn.length;
}

beforeEach(() => {
  vi.stubGlobal("requestAnimationFrame", (callback: FrameRequestCallback) => {
    picture = callback;
    return 1;
  });
  vi.stubGlobal("cancelAnimationFrame", () => {
    picture = undefined;
  });
  messages = [];
  hurry = false;
  stop = $effect.root(() => {
    pace = new Pace({
      messages: () => messages,
      own: ({ author }) => author.id === ADA.id,
      hurry: () => hurry,
    });
    $effect(() => {
      drawn = pace.messages.map(({ id }) => id);
    });
  });
  say(1, 50);
});

afterEach(() => {
  stop();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test("history is there at once, and so is one message", () => {
  expect(drawn).toHaveLength(50);
  say(51, 51);
  expect(drawn.at(-1)).toBe(51);
});

test("of a burst a little comes with each picture, in order, until all is there", () => {
  say(51, 70);
  expect(drawn.at(-1)).toBe(51);
  for (let count = 52; count <= 70; count += 1) expect(draw()).toBe(count);
  expect(drawn).toEqual(messages.map(({ id }) => id));
  draw();
  expect(picture).toBeUndefined();
});

test("messages that come one by one between two pictures are a burst too", () => {
  for (let id = 51; id <= 54; id += 1) say(id, id);
  expect(drawn.at(-1)).toBe(51);
  expect([draw(), draw(), draw()]).toEqual([52, 53, 54]);
});

test("the more wait, the more come", () => {
  say(51, 50 + MOST_WAITING);
  let pictures = 0;
  while (draw() < 50 + MOST_WAITING) pictures += 1;
  expect(pictures).toBeLessThan(MOST_WAITING);
});

test("what nobody could follow comes at once", () => {
  say(51, 51 + MOST_WAITING);
  expect(drawn).toHaveLength(51 + MOST_WAITING);
});

test("one's own message does not wait for those of others", () => {
  say(51, 60);
  say(61, 61, ADA);
  expect(drawn.slice(-2)).toEqual([51, 61]);
  draw();
  expect(drawn.slice(-3)).toEqual([51, 52, 61]);
  for (let more = 0; more < 10; more += 1) draw();
  expect(drawn).toEqual(messages.map(({ id }) => id));
});

test("what is taken away or changed while others wait is so at once", () => {
  say(51, 60);
  messages = messages.filter(({ id }) => id !== 10 && id !== 55);
  flushSync();
  expect(drawn).not.toContain(10);
  for (let more = 0; more < 10; more += 1) draw();
  expect(drawn).toEqual(messages.map(({ id }) => id));
});

test("whoever reads further up, and a page that is not seen, need no pace", () => {
  hurry = true;
  say(51, 60);
  expect(drawn.at(-1)).toBe(60);
  hurry = false;
  vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
  say(61, 80);
  expect(drawn.at(-1)).toBe(80);
});

test("an emptied chat begins anew", () => {
  messages = [];
  flushSync();
  say(1, 30);
  expect(drawn).toHaveLength(30);
});

test("nothing is asked of the browser any more when it is closed", () => {
  say(51, 60);
  expect(picture).toBeDefined();
  pace.close();
  expect(picture).toBeUndefined();
});
