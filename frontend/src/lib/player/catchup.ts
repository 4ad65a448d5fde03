/** The part of dash.js that is used here. */
export interface Chasing {
  on(event: "playbackTimeUpdated", handler: () => void): void;
  /** Seconds; not a number before it is known. */
  getCurrentLiveLatency(): number;
  updateSettings(settings: { streaming: { liveCatchup: { enabled: boolean } } }): void;
}

/** Who is further behind than this has gone back, and is left there. */
const FAR_BEHIND_S = 8;

/**
 * Has dash.js play a little faster only while it is a little behind, as hls.js does by itself: it would go on until
 * those who have gone back on purpose are in the present again.
 */
export function chaseWhenNear(dash: Chasing): void {
  let enabled = true;
  dash.on("playbackTimeUpdated", () => {
    const near = !(dash.getCurrentLiveLatency() > FAR_BEHIND_S);
    if (near === enabled) return;
    enabled = near;
    dash.updateSettings({ streaming: { liveCatchup: { enabled } } });
  });
}
