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
  /** Replaces whatever plays. Rejects when the source cannot even be set up. */
  load(source: Source): Promise<void>;
  sample(): Sample | null;
  seekToLive(): void;
  /** Takes the picture away. */
  stop(): void;
  /** Set by the controller. */
  onError: (reason: string) => void;
}
