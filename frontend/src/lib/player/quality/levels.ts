/** One picture of a stream that can be chosen: what the broadcaster sends, or a rendition of it. */
export interface Level {
  /** The track's id on the server, by which levels of two protocols are told to be the same. */
  id: string;
  /** As people say it: `720p30`. No two of one list are the same. */
  name: string;
  /** What the broadcaster sends, passed through; all others the server has to encode. */
  source: boolean;
  /** Picture lines of the shorter side; 0 when not known. */
  height: number;
  /** Frames per second; 0 when not known. */
  frameRate: number;
  /** Bits per second. */
  bitrate: number;
}

/** The levels of what plays now, and the library's handles for them. Indexes are those of `levels`. */
export interface Ladder {
  readonly levels: readonly Level[];
  /** What is on the screen; null until it is known. */
  playing(): number | null;
  /** From the next segment on, or the first one when nothing plays yet. */
  select(index: number): void;
  /** Whether a level that is selected now is loaded first, rather than something else before it. */
  readonly early: boolean;
  /** Leaves the choice to the server, where that is who chooses in Auto. */
  readonly automatic?: () => void;
  /** Bits per second that the connection carries, as measured; null when not known. */
  bandwidth(): number | null;
}

/** The name that a picture goes by where the server gives none. */
export function pictureName(width: number, height: number, frameRate: number): string {
  const side = Math.min(width || height, height);
  return `${side}p${frameRate ? Math.round(frameRate) : ""}`;
}

/** A level as a library or a playlist tells of it. */
export interface Found {
  id: string;
  /** Empty when it has none. */
  name: string;
  source: boolean;
  width: number;
  height: number;
  frameRate: number;
  bitrate: number;
  /** As people call it, to tell levels of one name apart. */
  codec: string;
}

/** Levels with names that differ, the best first: the source, then by size, rate and bits. */
export function orderLevels<T extends Found>(found: readonly T[]): { level: Level; from: T }[] {
  const levels = found.map((from) => {
    const { id, source, width, height, frameRate, bitrate } = from;
    const name = from.name || pictureName(width, height, frameRate);
    const side = Math.min(width || height, height);
    return { level: { id, name, source, height: side, frameRate, bitrate }, from };
  });
  levels.sort(
    ({ level: a }, { level: b }) =>
      Number(b.source) - Number(a.source) ||
      b.height - a.height ||
      b.frameRate - a.frameRate ||
      b.bitrate - a.bitrate,
  );
  const names = levels.map(({ level }) => level.name);
  const taken = new Set<string>();
  for (const { level, from } of levels) {
    if (names.filter((name) => name === level.name).length > 1) level.name = `${level.name} ${from.codec}`;
    const base = level.name;
    // A streamer may give two of one codec the same name.
    for (let number = 2; taken.has(level.name); number += 1) level.name = `${base} (${number})`;
    taken.add(level.name);
  }
  return levels;
}

/** The level that comes closest to a name which was chosen on another stream or at another time. */
export function closestLevel(name: string, levels: readonly Level[]): number {
  const exact = levels.findIndex((level) => level.name === name);
  if (exact >= 0) return exact;
  const wanted = /^(\d+)p(\d*)/.exec(name);
  if (!wanted) return 0;
  const height = Number(wanted[1]);
  const rate = Number(wanted[2]) || Number.POSITIVE_INFINITY;
  // The best that asks no more of the connection than what was chosen; of more than that, the least.
  const fits = ranked(levels).find(
    ({ level }) => level.height < height || (level.height === height && Math.round(level.frameRate) <= rate),
  );
  return fits?.index ?? lowestLevel(levels);
}

/** The one that asks least of the connection. */
export function lowestLevel(levels: readonly Level[]): number {
  return levels.reduce((best, level, index) => {
    const least = levels[best];
    return least && least.bitrate <= level.bitrate ? best : index;
  }, 0);
}

/** The best level of no more than so many lines, or so many bits per second. */
export function bestWithin(levels: readonly Level[], limit: { height?: number; bitrate?: number }): number {
  const { height = Number.POSITIVE_INFINITY, bitrate = Number.POSITIVE_INFINITY } = limit;
  const fits = ranked(levels).find(({ level }) => level.height <= height && level.bitrate <= bitrate);
  return fits?.index ?? lowestLevel(levels);
}

function ranked(levels: readonly Level[]): { level: Level; index: number }[] {
  return levels
    .map((level, index) => ({ level, index }))
    .sort(
      ({ level: a }, { level: b }) =>
        b.height - a.height || b.frameRate - a.frameRate || Number(b.source) - Number(a.source),
    );
}
