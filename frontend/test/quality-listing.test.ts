import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Listing } from "../src/lib/player/quality/listing";
import { askOffers, type Offer } from "../src/lib/player/quality/offers";

const OFFERS = [{ id: "v0", name: "720p30" }] as Offer[];

let answers: (Offer[] | null)[];
let asked: number[];
let told: Offer[][];
let wanted: boolean;
let listing: Listing;

beforeEach(() => {
  vi.useFakeTimers({ now: 0 });
  answers = [];
  asked = [];
  told = [];
  wanted = true;
  listing = new Listing(
    async () => {
      asked.push(Date.now());
      return answers.shift() ?? null;
    },
    (offers) => told.push(offers),
    () => wanted,
  );
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("a list that could not be had is asked for again, ever more slowly, until it is there", async () => {
  answers = [null, null, null, null, null, null, OFFERS];
  listing.start();
  await vi.advanceTimersByTimeAsync(120_000);
  expect(asked).toEqual([0, 1_000, 3_000, 7_000, 15_000, 30_000, 45_000]);
  expect(told).toEqual([OFFERS]);
  expect(vi.getTimerCount()).toBe(0);
});

test("what changes meanwhile is asked for at once, and counts alone", async () => {
  let answerLate: (offers: Offer[]) => void = () => {};
  const late = new Promise<Offer[]>((resolve) => {
    answerLate = resolve;
  });
  const asks: Promise<Offer[]>[] = [late, Promise.resolve(OFFERS)];
  listing = new Listing(
    () => asks.shift() ?? Promise.resolve(null),
    (offers) => told.push(offers),
    () => true,
  );
  listing.start();
  listing.start();
  await vi.advanceTimersByTimeAsync(0);
  answerLate([]);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(told).toEqual([OFFERS]);
});

test("a network that is back is used at once; where nothing waits, nothing is asked", async () => {
  listing.hurry();
  expect(asked).toEqual([]);
  listing.start();
  await vi.advanceTimersByTimeAsync(20_000);
  answers = [OFFERS];
  listing.hurry();
  await vi.advanceTimersByTimeAsync(0);
  expect(asked.at(-1)).toBe(20_000);
  expect(told).toEqual([OFFERS]);
  listing.hurry();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked.at(-1)).toBe(20_000);
});

test.each(["over", "gone"])("nobody is asked about a broadcast that is %s", async (why) => {
  listing.start();
  await vi.advanceTimersByTimeAsync(500);
  if (why === "over") wanted = false;
  else listing.stop();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(asked).toEqual([0]);
});

test("a server that answers with an error, or not at all, has not told anything", async () => {
  const answer = (status: number) => async () => new Response("#EXTM3U\n", { status });
  vi.stubGlobal("fetch", answer(503));
  expect(await askOffers("/master.m3u8", new Set())).toBeNull();
  vi.stubGlobal("fetch", async () => Promise.reject(new TypeError("no network")));
  expect(await askOffers("/master.m3u8", new Set())).toBeNull();
  vi.stubGlobal("fetch", answer(200));
  expect(await askOffers("/master.m3u8", new Set())).toEqual([]);
});
