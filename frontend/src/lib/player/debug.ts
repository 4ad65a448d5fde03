import type { PlaybackState } from "./controller";
import type { OvenPlayerInstance } from "./ovenplayer-api";
import type { Protocol } from "./sources";

/**
 * `window.ghostlive`: a read-only look at the player for tests, support and the curious. Nothing in the page
 * depends on it.
 */
export interface DebugView {
  readonly source: Protocol | null;
  readonly state: PlaybackState;
  /** Name of the level on the screen. */
  readonly quality: string | null;
  readonly player: OvenPlayerInstance | null;
  /** While WebRTC plays: `getStats` says everything else. */
  readonly connection: Pick<RTCPeerConnection, "getStats" | "connectionState"> | null;
}

declare global {
  interface Window {
    ghostlive?: DebugView;
  }
}

export function publishDebugView(view: DebugView): void {
  window.ghostlive = view;
}
