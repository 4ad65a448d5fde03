import { expect, test } from "vitest";
import { Patience } from "../src/lib/player/rtc/patience";
import type { Inbound } from "../src/lib/player/rtc/stats";

const counters = (packetsReceived: number, nackCount: number) =>
  ({ packetsReceived, nackCount }) as unknown as Inbound;

function start() {
  const receiver = { track: {} as MediaStreamTrack, jitterBufferTarget: null as number | null };
  const old = { track: {} as MediaStreamTrack };
  return { receiver, old, patience: new Patience(() => [receiver, old]) };
}

test("where nothing is missed the picture stays as near to the present as it can", () => {
  const { receiver, patience } = start();
  patience.look(0, null, counters(100, 0), 0.1);
  patience.look(500, counters(100, 0), counters(400, 1), 0.1);
  expect(receiver.jitterBufferTarget).toBeNull();
});

test("what is missed is waited for as long as it takes, and no longer than it is missed", () => {
  const { receiver, old, patience } = start();
  patience.look(500, counters(100, 0), counters(400, 30), 0.1);
  expect(receiver.jitterBufferTarget).toBe(280);
  expect(old).not.toHaveProperty("jitterBufferTarget");
  // One figure that is a little different changes nothing.
  patience.look(1_000, counters(100, 0), counters(400, 30), 0.16);
  expect(receiver.jitterBufferTarget).toBe(280);
  patience.look(30_000, counters(400, 30), counters(700, 30), 0.1);
  expect(receiver.jitterBufferTarget).toBe(280);
  patience.look(31_500, counters(400, 30), counters(700, 30), 0.1);
  expect(receiver.jitterBufferTarget).toBeNull();
});

test("it begins with the first packets, of which there is no earlier count", () => {
  const { receiver, patience } = start();
  patience.look(500, null, counters(100, 20), 0.1);
  expect(receiver.jitterBufferTarget).toBe(280);
});

test("it has an end where the way is long", () => {
  const { receiver, patience } = start();
  patience.look(500, counters(100, 0), counters(400, 30), 3);
  expect(receiver.jitterBufferTarget).toBe(800);
});
