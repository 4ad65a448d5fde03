import type { Source } from "./sources";

const FIRST_WAIT_MS = 2_000;
const LAST_WAIT_MS = 30_000;

export interface Next {
  source: Source;
  /** How long to wait before trying it: 0 until every source has failed in turn. */
  wait: number;
}

/** Which source to try after which: down the list, then from the top again, ever more patiently. */
export class Rotation {
  readonly #failed = new Set<string>();
  #rounds = 0;
  #current: Source;

  /**
   * @param sources at least one, best first
   * @param current the one that plays already
   */
  constructor(
    readonly sources: readonly Source[],
    current?: Source,
  ) {
    const first = current ?? sources[0];
    if (!first) throw new Error("a rotation needs a source");
    this.#current = first;
  }

  get current(): Source {
    return this.#current;
  }

  /** What would be tried now if the current source failed; nothing when all have. */
  get next(): Source | undefined {
    const { type: current } = this.#current;
    return this.sources.find(({ type }) => type !== current && !this.#failed.has(type));
  }

  /** The current source has failed; says what to try now. */
  fail(): Next {
    this.#failed.add(this.#current.type);
    const left = this.sources.find((source) => !this.#failed.has(source.type));
    if (left) {
      this.#current = left;
      return { source: left, wait: 0 };
    }
    const wait = Math.min(FIRST_WAIT_MS * 2 ** this.#rounds, LAST_WAIT_MS);
    this.#rounds += 1;
    this.#failed.clear();
    this.#current = this.sources[0] as Source;
    return { source: this.#current, wait };
  }

  /** The current source has played for a while: forget the failures before it. */
  settle(): void {
    this.#failed.clear();
    this.#rounds = 0;
  }
}
