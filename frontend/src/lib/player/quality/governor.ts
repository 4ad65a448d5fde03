import { bestWithin, type Level } from "./levels";

/** What Auto goes by, looked at a few times a second. */
export interface Observation {
  now: number;
  /** Milliseconds for which the picture has stood still though it should move. */
  still: number;
  /** Index of the level that plays. */
  level: number;
  /** Bits per second that the connection carries, or null. */
  bandwidth: number | null;
}

/** A picture that stands this long was noticed by the viewer. */
const STALL_MS = 600;
/** One such stall may be chance, two within this time are not; nor is a single one of LONG_STALL_MS. */
const STALLS_WITHIN_MS = 25_000;
const LONG_STALL_MS = 1_800;
/** A level needs this much more than its bit rate: rates vary, and playlists come along too. */
const HEADROOM = 1.2;
/** Going up asks for more, or it would soon go down again. */
const CLIMB_HEADROOM = 1.6;
const FIRST_CALM_MS = 30_000;
const LAST_CALM_MS = 10 * 60_000;
/** A climb that fails within this time was a mistake. */
const PROBATION_MS = 60_000;

/**
 * Auto: stays with the source as long as it plays. Every other level costs the server an encoder that has to be
 * started, so it goes down only for stalls which the connection explains, not for an estimate, and after going down
 * and up in vain it waits twice as long before the next try. Libraries' own switching weighs neither.
 */
export class Governor {
  #stalls: number[] = [];
  #stalled = false;
  #calmSince: number | null = null;
  #calm = FIRST_CALM_MS;
  #climbed: number | null = null;

  constructor(
    private readonly levels: readonly Level[],
    /** No more lines than this, as when the viewer saves data. */
    private readonly limit: number = Number.POSITIVE_INFINITY,
  ) {}

  /** The level to begin with; `carries` is what the browser says of the connection, where that is little. */
  start(carries: number | null): number {
    if (Number.isFinite(this.limit)) return bestWithin(this.levels, { height: this.limit });
    const source = this.levels[0];
    if (carries === null || !source || carries >= source.bitrate) return 0;
    return bestWithin(this.levels, { bitrate: carries });
  }

  /** The level to change to, or null. */
  observe({ now, still, level, bandwidth }: Observation): number | null {
    this.#calmSince ??= now;
    const current = this.levels[level];
    if (!current) return null;
    if (still >= STALL_MS) {
      if (!this.#stalled) this.#stalls.push(now);
      this.#stalled = true;
      this.#calmSince = now;
      this.#stalls = this.#stalls.filter((time) => now - time < STALLS_WITHIN_MS);
      const bad = still >= LONG_STALL_MS || this.#stalls.length > 1;
      return bad ? this.#down(current, level, bandwidth, now) : null;
    }
    if (still === 0) this.#stalled = false;
    return now - this.#calmSince >= this.#calm ? this.#up(current, level, bandwidth, now) : null;
  }

  /** Something else than the connection changed the level, such as a refusal. */
  rest(now: number): void {
    this.#calmSince = now;
  }

  #down(current: Level, level: number, bandwidth: number | null, now: number): number | null {
    // The connection carries it: the broadcast itself stands, and another level would too.
    if (bandwidth !== null && bandwidth >= current.bitrate * HEADROOM) return null;
    const carries = bandwidth === null ? current.bitrate * 0.7 : bandwidth / HEADROOM;
    const target = bestWithin(this.levels, { height: this.limit, bitrate: carries });
    const lower = this.levels[target];
    if (target === level || !lower || lower.bitrate >= current.bitrate) return null;
    if (this.#climbed !== null && now - this.#climbed < PROBATION_MS) {
      this.#calm = Math.min(this.#calm * 2, LAST_CALM_MS);
    }
    this.#climbed = null;
    this.#stalls = [];
    return target;
  }

  #up(current: Level, level: number, bandwidth: number | null, now: number): number | null {
    if (bandwidth === null) return null;
    const target = bestWithin(this.levels, { height: this.limit, bitrate: bandwidth / CLIMB_HEADROOM });
    const higher = this.levels[target];
    if (target === level || !higher || higher.bitrate <= current.bitrate) return null;
    this.#climbed = now;
    this.#calmSince = now;
    return target;
  }
}
