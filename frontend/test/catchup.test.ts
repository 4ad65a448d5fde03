import { expect, test } from "vitest";
import { type Chasing, chaseWhenNear } from "../src/lib/player/catchup";
import { dashConfig } from "../src/lib/player/config";

test("who has gone back is neither chased nor brought back, and is chased again when near", () => {
  // By a larger drift dash.js jumps to the present: nobody can go back as far as that.
  expect(dashConfig.streaming.liveCatchup.maxDrift).toBeGreaterThan(3_600);
  let latency = Number.NaN;
  let look = () => {};
  const told: boolean[] = [];
  const dash: Chasing = {
    on: (_, handler) => {
      look = handler;
    },
    getCurrentLiveLatency: () => latency,
    updateSettings: ({ streaming }) => told.push(streaming.liveCatchup.enabled),
  };
  chaseWhenNear(dash);
  for (latency of [Number.NaN, 3, 7.9, 13, 12, 3.2, 3]) look();
  expect(told).toEqual([false, true]);
});
