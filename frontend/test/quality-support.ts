import type { Ladder, Level } from "../src/lib/player/quality/levels";

/** What a 1080p60 broadcast of 6 Mb/s offers by default. */
export const LEVELS: readonly Level[] = [
  level("1080p60", 6_000_000, { id: "v0", source: true }),
  level("720p60", 3_900_000),
  level("720p30", 2_600_000),
  level("480p30", 1_400_000),
  level("360p30", 860_000),
];

export function level(name: string, bitrate: number, change: Partial<Level> = {}): Level {
  const [height = 0, frameRate = 0] = name.split("p").map(Number);
  return { id: `v0-${name}`, name, source: false, height, frameRate, bitrate, ...change };
}

/** A player that changes at once to what it is told. */
export class FakeLadder implements Ladder {
  readonly selected: string[] = [];
  carries: number | null = null;
  #playing: number | null = null;

  constructor(
    readonly levels: readonly Level[] = LEVELS,
    readonly early = true,
  ) {}

  playing(): number | null {
    return this.#playing;
  }

  select(index: number): void {
    this.#playing = index;
    this.selected.push(this.levels[index]?.name ?? "nothing");
  }

  bandwidth(): number | null {
    return this.carries;
  }
}
