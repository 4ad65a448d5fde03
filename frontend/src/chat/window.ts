/** Which rows of a long list are drawn, and how much room stands for the others. */
export interface Span {
  /** Index of the first row that is drawn. */
  from: number;
  /** Index after the last. */
  to: number;
}

/** So many rows are drawn at the end of the list, where nearly everybody is. */
export const TAIL = 60;
/** Rows that are drawn above and below what is to be seen. */
const OVERSCAN = 15;
/** The span moves in steps, so that scrolling changes it seldom. */
const STEP = 10;
/** Of a row that was never drawn, in pixels. */
const GUESS = 28;

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
  return { from: Math.max(index - TAIL / 2, 0), to: Math.min(index + TAIL / 2, count) };
}

export function spanAtEnd(count: number): Span {
  return { from: Math.max(count - TAIL, 0), to: count };
}
