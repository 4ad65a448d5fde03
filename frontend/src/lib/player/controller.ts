import type { StreamInfo } from "../api";
import type { Engine, Sample } from "./engine";
import type { Failure } from "./failure";
import { LivedTime } from "./lived";
import type { Remembered, SourceMemory } from "./memory";
import { Rotation } from "./rotation";
import { canPlay, orderSources, type Protocol, type Source, sameSources } from "./sources";
import { StallMeter } from "./stall";

/** What the viewer has of the stream. */
export type PlaybackState = "offline" | "loading" | "playing" | "paused" | "stalled" | "retrying";

export interface Playback {
  state: PlaybackState;
  source: Protocol | null;
  /** The browser did not even start without sound: the viewer has to press play. */
  blocked: boolean;
  /** Why WebRTC is not what plays; null when nothing speaks against it. */
  failure: Failure | Remembered | null;
}

export interface ControllerOptions {
  engine: Engine;
  memory: SourceMemory;
  onChange(playback: Playback): void;
  /** From the address; goes before what is known of the others. */
  requested?: Protocol | null;
  /** Finds out whether a source could be played, beside the one that is: null when it could. */
  probe?: (source: Source, signal: AbortSignal) => Promise<Failure | null>;
  playable?: (type: Protocol) => boolean;
  hidden?: () => boolean;
}

const TICK_MS = 250;
/** From the load of a source to its first moving picture; */
const START_LIMIT_MS = 8_000;
/** and when the beginning of it is there: a slow phone would be no faster with another source, from nothing again. */
const SLOW_START_LIMIT_MS = 16_000;
/** Where a connection comes about at all, it does so in a few round trips; and then the picture is near. */
const CONNECT_LIMIT_MS = 3_000;
const FIRST_PICTURE_LIMIT_MS = 3_000;
/** When a connection takes longer than most, what comes after it is fetched already. */
const PREPARE_AFTER_MS = 1_000;
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
  readonly #time = new LivedTime(Date.now);
  readonly #stall = new StallMeter();
  readonly #ticker: ReturnType<typeof setInterval>;
  #stream: StreamInfo | null = null;
  #rotation: Rotation | null = null;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #phase: Phase = "off";
  #phaseSince = 0;
  /** What is being loaded or plays, each load an object of its own. */
  #load: { connected: number | null; prepared: boolean } | null = null;
  #startTime: number | null = null;
  #reloaded = false;
  /** Failed while the broadcast was away; load again when it is back. */
  #broken = false;
  #stalled = false;
  #latency: number | null = null;
  /** What failed on the way to what will play: held against it only when something else plays. */
  readonly #failures = new Map<Protocol, Failure>();
  #probe: AbortController | null = null;
  /** Something changed while a source was starting: when it plays, look for a better one. */
  #again = false;
  #shown: Playback = { state: "offline", source: null, blocked: false, failure: null };

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#engine = options.engine;
    this.#engine.onError = (failure) => this.#failed(failure);
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
    if (before?.state === "offline") this.#options.memory.renew();
    if (!this.#running || !before) {
      this.#begin(stream);
    } else if (!sameSources(before.sources, stream.sources)) {
      this.#offered(stream);
    } else if (stream.state === "live" && before.state !== "live") {
      this.#stall.reset(this.#time.now());
      // An error or an end during the interruption: what is loaded will not go on by itself.
      if (this.#broken || this.#engine.sample()?.ended) this.#attempt(this.#rotation?.current);
    }
  }

  /** The page was in the background, where browsers pause what they like; or the network is back. */
  wake(): void {
    this.#stall.reset(this.#time.now());
    if (this.#phase === "starting") this.#phaseSince = this.#time.now();
    if (this.#load) this.#load.connected = null;
    if (this.#phase === "waiting" && !this.#hidden) this.#attempt(this.#rotation?.current);
  }

  /** Another network, or the server was away: what did not work may work now. */
  reconsider(): void {
    this.#options.memory.forget();
    this.#failures.clear();
    this.#show({});
    this.#again = this.#phase === "starting";
    if (this.#phase === "waiting" && !this.#hidden && this.#stream) this.#begin(this.#stream);
    else void this.#tryBetter();
  }

  /** Load the source anew, at the viewer's wish. */
  reload(): void {
    if (this.#running) this.#attempt(this.#rotation?.current);
  }

  dispose(): void {
    clearInterval(this.#ticker);
    this.#stop();
  }

  get #running(): boolean {
    return this.#phase !== "off" && this.#phase !== "draining";
  }

  #begin(stream: StreamInfo): void {
    const sources = this.#order(stream);
    if (sources.length === 0) {
      this.#stop();
      return;
    }
    this.#rotation = new Rotation(sources);
    this.#reloaded = false;
    this.#failures.clear();
    this.#attempt(this.#rotation.current);
  }

  /** The server has more or fewer ways than before. What plays goes on if it is still among them. */
  #offered(stream: StreamInfo): void {
    const sources = this.#order(stream);
    const current = this.#rotation?.current;
    const kept = sources.find(({ type, url }) => type === current?.type && url === current.url);
    if (!kept || this.#phase !== "running") {
      this.#begin(stream);
      return;
    }
    this.#rotation = new Rotation(sources, kept);
    void this.#tryBetter();
  }

  #order(stream: StreamInfo): Source[] {
    const { requested = null, memory, playable = canPlay } = this.#options;
    return orderSources(stream.sources, {
      requested,
      failed: (type) => memory.recall(type) !== null,
      playable,
    });
  }

  /** What would be the first choice plays beside the present picture, unseen; when it can, it takes over. */
  async #tryBetter(): Promise<void> {
    const { probe } = this.#options;
    const [best] = this.#stream ? this.#order(this.#stream) : [];
    this.#probe?.abort();
    this.#probe = null;
    if (!probe || !best || best.type === this.#rotation?.current.type || !this.#undisturbed) return;
    const attempt = new AbortController();
    this.#probe = attempt;
    const failure = await probe(best, attempt.signal);
    if (attempt.signal.aborted) return;
    this.#probe = null;
    if (failure) {
      this.#options.memory.blame(best.type, failure);
      this.#show({});
    } else if (this.#stream?.state === "live" && this.#undisturbed) this.#begin(this.#stream);
  }

  /** Plays, at the present moment: neither paused nor wound back, which a change of source would undo. */
  get #undisturbed(): boolean {
    const sample = this.#engine.sample();
    const back = sample?.latency !== null && (sample?.latency ?? 0) > FAR_BEHIND_S;
    return this.#phase === "running" && sample !== null && !sample.paused && !back;
  }

  #attempt(source: Source | undefined): void {
    if (!source) return;
    clearTimeout(this.#retry);
    this.#probe?.abort();
    this.#probe = null;
    const load = { connected: null, prepared: false };
    this.#load = load;
    this.#broken = false;
    this.#startTime = null;
    this.#latency = null;
    this.#enter("starting");
    this.#show({ state: "loading", source: source.type, blocked: false });
    this.#engine.load(source).then(
      () => {
        // A library that takes long to arrive is no fault of the source.
        if (this.#load === load && this.#phase === "starting") this.#phaseSince = this.#time.now();
      },
      (error: unknown) => {
        if (this.#load === load) this.#failed({ reason: "error", detail: String(error) });
      },
    );
  }

  /** The source does not play: the same once more if it did before, else the next. */
  #failed(failure: Failure): void {
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
    this.#failures.set(this.#rotation.current.type, failure);
    this.#reloaded = false;
    const { source, wait } = this.#rotation.fail();
    if (wait === 0) {
      this.#attempt(source);
      return;
    }
    // Nothing plays, so it is not for want of the right source.
    this.#failures.clear();
    this.#load = null;
    this.#enter("waiting");
    this.#engine.stop();
    this.#show({ state: "retrying", source: null, blocked: false });
    this.#retry = setTimeout(() => this.#attempt(source), wait);
  }

  #tick(): void {
    const sample = this.#engine.sample();
    const now = this.#time.now();
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
        if (moves && this.#rotation) this.#began(this.#rotation.current.type);
        this.#show({ state: moves ? "playing" : "paused", blocked: refused });
        return;
      }
    }
    const failure = this.#overdue(waited, now, sample?.ready === 1);
    if (failure && !this.#hidden) this.#failed(failure);
  }

  /** What is known of the others counts from when one of them plays. */
  #played(type: Protocol): void {
    const { memory } = this.#options;
    for (const [other, failure] of this.#failures) if (other !== type) memory.blame(other, failure);
    memory.absolve(type);
    this.#failures.clear();
  }

  #began(type: Protocol): void {
    this.#played(type);
    if (!this.#again) return;
    this.#again = false;
    void this.#tryBetter();
  }

  /** Why a source that has not begun will not be waited for any longer; null while it may take its time. */
  #overdue(waited: number, now: number, begun: boolean): Failure | null {
    const load = this.#load;
    const link = this.#engine.link();
    if (!load || link === null) {
      const limit = begun ? SLOW_START_LIMIT_MS : START_LIMIT_MS;
      return waited > limit ? { reason: "picture", detail: "" } : null;
    }
    if (link === "connected") {
      load.connected ??= now;
      return now - load.connected > FIRST_PICTURE_LIMIT_MS ? { reason: "picture", detail: "" } : null;
    }
    if (waited > PREPARE_AFTER_MS && !load.prepared) {
      load.prepared = true;
      const next = this.#rotation?.next;
      if (next) this.#engine.prepare(next);
    }
    return waited > CONNECT_LIMIT_MS ? { reason: "network", detail: "" } : null;
  }

  #tickRunning(sample: Sample, now: number): void {
    if (this.#broken) {
      this.#show({ state: "stalled" });
      return;
    }
    if (this.#hidden) this.#stall.reset(now);
    const still = this.#stall.observe(sample, now);
    if (still > STALL_LIMIT_MS && this.#stream?.state === "live") {
      this.#failed({ reason: "lost", detail: "" });
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
    if (this.#rotation && this.#failures.size > 0) this.#played(this.#rotation.current.type);
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
    this.#probe?.abort();
    this.#probe = null;
    this.#load = null;
    this.#failures.clear();
    this.#enter("off");
    this.#rotation = null;
    this.#broken = false;
    this.#engine.stop();
    this.#show({ state: "offline", source: null, blocked: false });
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    this.#phaseSince = this.#time.now();
    this.#stalled = false;
  }

  get #hidden(): boolean {
    return this.#options.hidden?.() ?? false;
  }

  #show(change: Partial<Playback>): void {
    const next = { ...this.#shown, ...change, failure: this.#failureOf("webrtc") };
    const same =
      next.state === this.#shown.state &&
      next.source === this.#shown.source &&
      next.blocked === this.#shown.blocked &&
      sameFailure(next.failure, this.#shown.failure);
    this.#shown = next;
    if (!same) this.#options.onChange(next);
  }
  #failureOf(type: Protocol): Failure | Remembered | null {
    return this.#failures.get(type) ?? this.#options.memory.recall(type);
  }
}

function sameFailure(a: Playback["failure"], b: Playback["failure"]): boolean {
  const until = (failure: Playback["failure"]) => (failure && "until" in failure ? failure.until : null);
  return a?.reason === b?.reason && a?.detail === b?.detail && until(a) === until(b);
}
