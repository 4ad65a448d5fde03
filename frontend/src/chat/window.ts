/** Which rows of a long list are drawn, and how much room stands for the others. */
export interface Span {
  /** Index of the first row that is drawn. */
  from: number;
  /** Index after the last. */
  to: number;
}

/** So many rows at least are drawn at the end of the list, where nearly everybody is. */
export const TAIL = 30;
/** Above those that fill the window there, at the least; on average they are higher than the lowest. */
const SPARE = 5;
/** Rows that are drawn on each side of one that is jumped to. */
export const AROUND = 25;
/** So many more come before the first of them go. */
export const SURPLUS = 10;
/** Rows that are drawn above and below what is to be seen. */
const OVERSCAN = 15;
/** The span moves in steps, so that scrolling changes it seldom. */
const STEP = 10;
/** Of a row that was never drawn, in pixels; few are lower. */
const GUESS = 28;
/** The room above the end is too high by this much at most, in pixels. */
const MOST_DRIFT = 3_000;

/** The heights of rows, as far as they were ever drawn; the average of them for the others. */
export class Heights {
  readonly #known = new Map<number, number>();
  #sum = 0;

  set(key: number, height: number): void {
    this.#sum += height - (this.#known.get(key) ?? 0);
    this.#known.set(key, height);
  }

  get(key: number): number {
    return this.#known.get(key) ?? this.average;
  }

  get average(): number {
    return this.#known.size === 0 ? GUESS : this.#sum / this.#known.size;
  }

  /** Together, of the rows from one index to before another. */
  sum(keys: readonly number[], from: number, to: number): number {
    let sum = 0;
    for (let index = from; index < to; index += 1) sum += this.get(keys[index] as number);
    return sum;
  }

  /** Rows that are gone are forgotten, when there are many. */
  forget(keys: readonly number[]): void {
    if (this.#known.size < keys.length * 2 + 200) return;
    const kept = new Set(keys);
    for (const [key, height] of this.#known) {
      if (kept.has(key)) continue;
      this.#known.delete(key);
      this.#sum -= height;
    }
  }
}

/** The rows to draw when those from `first` to `last` are seen. */
export function spanOver(count: number, first: number, last: number): Span {
  return {
    from: Math.max(Math.floor((first - OVERSCAN) / STEP) * STEP, 0),
    to: Math.min(Math.ceil((last + 1 + OVERSCAN) / STEP) * STEP, count),
  };
}

/** The rows around one of them. */
export function spanAround(count: number, index: number): Span {
  return { from: Math.max(index - AROUND, 0), to: Math.min(index + AROUND, count) };
}

export function spanAtEnd(count: number, least = TAIL): Span {
  return { from: Math.max(count - least, 0), to: count };
}

/** Rows that fill so many pixels, however low they are, and some more. */
export function rowsIn(height: number): number {
  return Math.max(TAIL, Math.ceil(height / GUESS) + SPARE);
}

/**
 * The rows at the end of a list that grows, and the room above them.
 *
 * What is drawn stays where it is in the list, so that a new message costs no more than itself: rows go seldom, many
 * at once, and leave as much room as they took. Messages that are not kept any more leave theirs too, up to a limit.
 */
export class Tail {
  #first: number | null = null;
  #room = 0;

  /** Begins anew: the end was left meanwhile. */
  restart(): void {
    this.#first = null;
  }

  /** How many rows go with the next look: their heights are to be known by then. */
  going(keys: readonly number[], least: number): number {
    const known = this.#first === null ? -1 : keys.lastIndexOf(this.#first);
    const drawn = keys.length - known;
    return known < 0 || drawn <= least + SURPLUS ? 0 : drawn - least;
  }

  /** The rows that are drawn, `least` of them or more, and the pixels above. */
  look(keys: readonly number[], heights: Heights, least: number): Span & { room: number } {
    const { from: last, to } = spanAtEnd(keys.length, least);
    const known = this.#first === null ? -1 : keys.lastIndexOf(this.#first);
    if (known < 0 || known > last) {
      this.#room = heights.sum(keys, 0, last);
    } else if (this.going(keys, least) === 0) {
      return { from: known, to, room: this.#room };
    } else {
      this.#room += heights.sum(keys, known, last);
      const exact = heights.sum(keys, 0, last);
      if (Math.abs(this.#room - exact) > MOST_DRIFT) this.#room = exact;
    }
    this.#first = keys[last] ?? null;
    return { from: last, to, room: this.#room };
  }
}
