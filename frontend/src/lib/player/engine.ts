import type { Failure } from "./failure";
import type { Source } from "./sources";

/** A look at the media element. */
export interface Sample {
  /** Media time in seconds. */
  time: number;
  paused: boolean;
  ended: boolean;
  /** HTMLMediaElement.readyState: 2 and up has a picture. */
  ready: number;
  /** Seconds behind the broadcast, where the library knows. */
  latency: number | null;
}

/** What the controller needs of a player; `oven.ts` is the real one, tests bring their own. */
export interface Engine {
  /** Replaces whatever plays; fulfilled when it is on its way. Rejects when the source cannot even be set up. */
  load(source: Source): Promise<void>;
  /** Fetches what a source needs to be played, so that it starts sooner if it has to. */
  prepare(source: Source): void;
  /** How far a connection of its own is; null where the source has none, but is fetched piece by piece. */
  link(): "connecting" | "connected" | null;
  sample(): Sample | null;
  seekToLive(): void;
  /** Takes the picture away. */
  stop(): void;
  /** Set by the controller. */
  onError: (failure: Failure) => void;
}
