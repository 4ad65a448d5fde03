import type { SourceInfo, StreamInfo, StreamState } from "../src/lib/api";
import type { Engine, Sample } from "../src/lib/player/engine";
import type { Failure } from "../src/lib/player/failure";
import type { Source } from "../src/lib/player/sources";

export const SOURCES: SourceInfo[] = [
  { type: "dash", url: "/app/demo/manifest.mpd" },
  { type: "llhls", url: "/app/demo/master.m3u8" },
];

export const WITH_WEBRTC = [...SOURCES, { type: "webrtc", url: "/app/demo" }];

export function stream(state: StreamState, change: Partial<StreamInfo> = {}): StreamInfo {
  return {
    name: "demo",
    title: "Demo",
    description: null,
    state,
    since: state === "offline" ? null : "2026-01-01T12:00:00Z",
    tracks: [],
    sources: state === "offline" ? [] : SOURCES,
    viewers: 0,
    chat: true,
    renditions: [],
    thumbnail: null,
    ...change,
  };
}

/** A player without a picture: says what it was told, and plays as far as the test lets it. */
export class FakeEngine implements Engine {
  onError: (failure: Failure) => void = () => {};
  readonly loads: string[] = [];
  readonly broken = new Set<string>();
  /** Of the broken ones, those that send the beginning of a picture. */
  readonly begun = new Set<string>();
  readonly prepared: string[] = [];
  /** Whether a WebRTC connection comes about. */
  connects = true;
  /** Media seconds per second of the clock; 0 is a freeze. */
  speed = 1;
  latency = 1;
  paused = false;
  ended = false;
  jumps = 0;
  #loaded: Source | null = null;
  #position = 0;
  #last = 0;

  constructor(private readonly now: () => number) {}

  async load(source: Source): Promise<void> {
    this.loads.push(source.type);
    this.#loaded = source;
    this.#position = 0;
    this.#last = this.now();
    this.ended = false;
  }

  sample(): Sample | null {
    if (!this.#loaded) return null;
    const now = this.now();
    const plays = !this.broken.has(this.#loaded.type) && !this.paused;
    if (plays) this.#position += ((now - this.#last) / 1000) * this.speed;
    this.#last = now;
    const { type } = this.#loaded;
    const ready = !this.broken.has(type) ? 4 : this.begun.has(type) ? 1 : 0;
    return { time: this.#position, paused: this.paused, ended: this.ended, ready, latency: this.latency };
  }

  prepare(source: Source): void {
    this.prepared.push(source.type);
  }

  link(): "connecting" | "connected" | null {
    if (this.#loaded?.type !== "webrtc") return null;
    return this.connects ? "connected" : "connecting";
  }

  seekToLive(): void {
    this.jumps += 1;
  }

  stop(): void {
    this.#loaded = null;
  }

  get loaded(): string | null {
    return this.#loaded?.type ?? null;
  }
}

/** localStorage in a box. */
export class FakeStorage {
  readonly items = new Map<string, string>();
  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }
  removeItem(key: string): void {
    this.items.delete(key);
  }
  get length(): number {
    return this.items.size;
  }
  key(index: number): string | null {
    return [...this.items.keys()][index] ?? null;
  }
}
