import type { StreamInfo } from "../api";
import type { Engine, Sample } from "./engine";
import type { SourceMemory } from "./memory";
import { Rotation } from "./rotation";
import { orderSources, type Protocol, type Source, sameSources } from "./sources";
import { StallMeter } from "./stall";

/** What the viewer has of the stream. */
export type PlaybackState = "offline" | "loading" | "playing" | "paused" | "stalled" | "retrying";

export interface Playback {
  state: PlaybackState;
  source: Protocol | null;
  /** The browser did not even start without sound: the viewer has to press play. */
  blocked: boolean;
}

export interface ControllerOptions {
  engine: Engine;
  memory: SourceMemory;
  onChange(playback: Playback): void;
  /** From the address; goes before what worked last time. */
  requested?: Protocol | null;
  hidden?: () => boolean;
  now?: () => number;
}

const TICK_MS = 250;
/** From the load of a source to its first moving picture. */
const START_LIMIT_MS = 8_000;
const STALL_SHOWN_MS = 700;
const STALL_LIMIT_MS = 4_000;
/** After this much playing a source has proved itself and may be reloaded once more. */
const SETTLED_MS = 20_000;
/** When the broadcast ends, the viewer still sees what is in the buffer, but not for longer. */
const DRAIN_LIMIT_MS = 5_000;
const DRAIN_STALL_MS = 500;
/** More than this behind because of a stall, not by choice: jump. Libraries only catch up on less. */
const FAR_BEHIND_S = 6;

type Phase = "off" | "starting" | "running" | "waiting" | "draining";

/**
 * Keeps a stream on the screen: picks a source, notices when it does not play, reloads it or takes the next,
 * and follows the broadcast's comings and goings. Knows no DOM and no OvenPlayer.
 */
export class PlaybackController {
  readonly #engine: Engine;
  readonly #options: ControllerOptions;
  readonly #now: () => number;
  readonly #stall = new StallMeter();
  readonly #ticker: ReturnType<typeof setInterval>;
  #stream: StreamInfo | null = null;
  #rotation: Rotation | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #phase: Phase = "off";
  #phaseSince = 0;
  #startTime: number | null = null;
  #reloaded = false;
  /** Failed while the broadcast was away; load again when it is back. */
  #broken = false;
  #stalled = false;
  #latency: number | null = null;
  #shown: Playback = { state: "offline", source: null, blocked: false };

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#engine = options.engine;
    this.#now = options.now ?? Date.now;
    this.#engine.onError = () => this.#failed();
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Call with every change that the server reports; null when the stream is gone. */
  update(stream: StreamInfo | null): void {
    const before = this.#stream;
    this.#stream = stream;
    if (!stream || stream.state === "offline" || stream.sources.length === 0) {
      this.#drain();
      return;
    }
    if (!this.#running || !before || !sameSources(before.sources, stream.sources)) {
      this.#begin(stream);
    } else if (stream.state === "live" && before.state !== "live") {
      this.#stall.reset(this.#now());
      // An error or an end during the interruption: what is loaded will not go on by itself.
      if (this.#broken || this.#engine.sample()?.ended) this.#attempt(this.#rotation?.current);
    }
  }

  /** The page was in the background, where browsers pause what they like. */
  wake(): void {
    this.#stall.reset(this.#now());
    if (this.#phase === "starting") this.#phaseSince = this.#now();
  }

  dispose(): void {
    clearInterval(this.#ticker);
    this.#stop();
  }

  get #running(): boolean {
    return this.#phase !== "off" && this.#phase !== "draining";
  }

  #begin(stream: StreamInfo): void {
    const { requested = null, memory } = this.#options;
    const sources = orderSources(stream.sources, [requested, memory.recall()]);
    if (sources.length === 0) {
      this.#stop();
      return;
    }
    this.#rotation = new Rotation(sources);
    this.#reloaded = false;
    this.#attempt(this.#rotation.current);
  }

  #attempt(source: Source | undefined): void {
    if (!source) return;
    clearTimeout(this.#retry);
    this.#broken = false;
    this.#startTime = null;
    this.#latency = null;
    this.#enter("starting");
    this.#show({ state: "loading", source: source.type, blocked: false });
    this.#engine.load(source).catch(() => {
      if (this.#rotation?.current === source) this.#failed();
    });
  }

  /** The source does not play: the same once more if it did before, else the next. */
  #failed(): void {
    if (this.#phase === "draining") this.#stop();
    if (!this.#rotation || this.#phase === "off" || this.#phase === "waiting") return;
    if (this.#stream?.state !== "live") {
      // No wonder: nothing is being sent. The last picture stays until the broadcast is back or over.
      this.#broken = true;
      return;
    }
    if (this.#phase === "running" && !this.#reloaded) {
      this.#reloaded = true;
      this.#attempt(this.#rotation.current);
      return;
    }
    this.#options.memory.forget();
    this.#reloaded = false;
    const { source, wait } = this.#rotation.fail();
    if (wait === 0) {
      this.#attempt(source);
      return;
    }
    this.#enter("waiting");
    this.#engine.stop();
    this.#show({ state: "retrying", source: null, blocked: false });
    this.#retry = setTimeout(() => this.#attempt(source), wait);
  }

  #tick(): void {
    const sample = this.#engine.sample();
    const now = this.#now();
    if (this.#phase === "starting") this.#tickStarting(sample, now);
    else if (this.#phase === "running" && sample) this.#tickRunning(sample, now);
    else if (this.#phase === "draining") this.#tickDraining(sample, now);
  }

  #tickStarting(sample: Sample | null, now: number): void {
    const waited = now - this.#phaseSince;
    if (sample && sample.ready >= 2) {
      this.#startTime ??= sample.time;
      const moves = !sample.paused && sample.time > this.#startTime;
      // OvenPlayer takes a moment to try again without sound; after that, a pause is the browser's last word.
      const refused = sample.paused && !sample.ended && waited > 1_500;
      if (moves || refused) {
        this.#enter("running");
        this.#stall.reset(now);
        if (moves && this.#rotation) this.#options.memory.remember(this.#rotation.current.type);
        this.#show({ state: moves ? "playing" : "paused", blocked: refused });
        return;
      }
    }
    if (waited > START_LIMIT_MS && !this.#hidden) this.#failed();
  }

  #tickRunning(sample: Sample, now: number): void {
    if (this.#broken) {
      this.#show({ state: "stalled" });
      return;
    }
    if (this.#hidden) this.#stall.reset(now);
    const still = this.#stall.observe(sample, now);
    if (still > STALL_LIMIT_MS && this.#stream?.state === "live") {
      this.#failed();
      return;
    }
    if (sample.paused && !sample.ended) {
      this.#show({ state: "paused" });
      return;
    }
    if (still > STALL_SHOWN_MS) {
      this.#stalled = true;
      this.#show({ state: "stalled" });
      return;
    }
    if (still === 0) this.#moving(sample, now);
  }

  #moving(sample: Sample, now: number): void {
    this.#show({ state: "playing", blocked: false });
    if (this.#stalled) {
      this.#stalled = false;
      // Whoever had wound back before the stall wants to stay there.
      const byChoice = this.#latency !== null && this.#latency > FAR_BEHIND_S;
      if (!byChoice && sample.latency !== null && sample.latency > FAR_BEHIND_S) this.#engine.seekToLive();
    }
    this.#latency = sample.latency;
    if (this.#rotation && now - this.#phaseSince > SETTLED_MS) {
      this.#reloaded = false;
      this.#rotation.settle();
    }
  }

  #drain(): void {
    if (this.#phase === "running") this.#enter("draining");
    else if (this.#phase !== "draining") this.#stop();
  }

  #tickDraining(sample: Sample | null, now: number): void {
    const over = !sample || sample.ended || sample.paused || now - this.#phaseSince > DRAIN_LIMIT_MS;
    if (over || this.#stall.observe(sample, now) > DRAIN_STALL_MS) this.#stop();
  }

  #stop(): void {
    clearTimeout(this.#retry);
    this.#enter("off");
    this.#rotation = null;
    this.#broken = false;
    this.#engine.stop();
    this.#show({ state: "offline", source: null, blocked: false });
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    this.#phaseSince = this.#now();
    this.#stalled = false;
  }

  get #hidden(): boolean {
    return this.#options.hidden?.() ?? false;
  }

  #show(change: Partial<Playback>): void {
    const next = { ...this.#shown, ...change };
    const same =
      next.state === this.#shown.state &&
      next.source === this.#shown.source &&
      next.blocked === this.#shown.blocked;
    this.#shown = next;
    if (!same) this.#options.onChange(next);
  }
}
