import { AUTO, type Choice, type ChoiceMemory, sameChoice } from "./choice";
import { Governor } from "./governor";
import { closestLevel, type Ladder, type Level } from "./levels";

/** What the menu shows. */
export interface QualityView {
  /** The best first; empty until they are known. */
  levels: readonly Level[];
  choice: Choice;
  /** What is being started; the picture changes to it in a moment. */
  pending: string | null;
  /** Name of what is on the screen. */
  playing: string | null;
  /** Something that the viewer should know, until `dismiss`. */
  notice: Notice | null;
}

export type Notice =
  | { kind: "refused"; name: string; text: string }
  | { kind: "unplayable"; name: string }
  | { kind: "noAudio" };

export interface QualityOptions {
  memory: ChoiceMemory;
  /** Has the server start a level: null when it runs, or why it does not. */
  ask(level: Level, signal: AbortSignal): Promise<string | null>;
  /** Has the player load everything anew, as for a level that it does not know. */
  reload(): void;
  onChange(view: QualityView): void;
  /** No more lines than these in Auto, as when the viewer saves data. */
  limit?: number;
  /** Bits per second of the connection, where the browser says that they are few. */
  carries?: number | null;
  now?: () => number;
}

/** How the picture is doing, several times a second. */
export interface Progress {
  /** Milliseconds for which it has stood still though it should move. */
  still: number;
}

/** So long a level that was refused is not asked for again unasked. */
const REFUSED_MS = 60_000;
/** Longer than the server lets anybody wait for a level. */
const ASK_LIMIT_MS = 30_000;

/**
 * Which level plays, by whose choice, and what to do when it cannot be had. Another level than the source is asked for
 * before the player changes to it, so that the picture goes on while its encoder starts, or in spite of a refusal.
 */
export class QualityController {
  readonly #options: QualityOptions;
  readonly #now: () => number;
  readonly #refused = new Map<string, number>();
  #ladder: Ladder | null = null;
  #governor: Governor | null = null;
  #request: AbortController | null = null;
  /** Name of the level that the player was told to take. */
  #taken: string | null = null;
  /** Auto's own last decision, kept over reloads. */
  #auto: string | null = null;
  #view: QualityView;

  constructor(options: QualityOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#view = { levels: [], choice: options.memory.recall(), pending: null, playing: null, notice: null };
  }

  get view(): QualityView {
    return this.#view;
  }

  /** What the server offers now: more or less than was loaded, or than is known where nothing was. */
  offer(levels: readonly Level[]): void {
    const known = this.#view.levels;
    const same =
      levels.length === known.length && levels.every(({ name }, index) => name === known[index]?.name);
    if (levels.length > 0 && !same) this.#show({ levels });
  }

  /** A source was loaded, and these are its levels; null when it is gone. */
  use(ladder: Ladder | null): void {
    this.#cancel();
    this.#ladder = ladder;
    this.#taken = null;
    if (!ladder) {
      this.#show({ playing: null });
      return;
    }
    this.#governor = new Governor(ladder.levels, this.#options.limit);
    this.#show({ levels: ladder.levels, playing: null });
    // A server that chooses has begun to.
    if (this.#leftToServer(ladder)) return;
    const target = this.#wanted(ladder);
    if (ladder.early) this.#take(ladder, target);
    else {
      this.#take(ladder, this.#source(ladder));
      this.#start(target, () => {});
    }
  }

  choose(choice: Choice): void {
    const before = this.#view.choice;
    this.#options.memory.remember(choice);
    this.#cancel();
    this.#show({ choice, notice: null });
    if (choice.kind === "level") this.#refused.delete(choice.name);
    if (choice.kind === "auto") this.#auto = null;
    if (!this.#ladder || choice.kind === "audio" || before.kind === "audio") return;
    if (choice.kind === "level" && this.#isNew(choice.name, this.#ladder)) {
      this.#options.reload();
      return;
    }
    if (this.#leftToServer(this.#ladder)) {
      this.#taken = null;
      this.#ladder.automatic?.();
      return;
    }
    this.#start(this.#wanted(this.#ladder), () => {
      // What was refused is not what the viewer has now, nor what to ask for at the next visit.
      const back = before.kind === "level" && this.#isRefused(before.name) ? AUTO : before;
      this.#options.memory.remember(back);
      this.#show({ choice: back });
    });
  }

  /** The player could not have a level. `text` is the server's reason, or ""; null when the browser cannot play it. */
  refused(index: number, text: string | null): void {
    const ladder = this.#ladder;
    const level = ladder?.levels[index];
    if (!ladder || !level) return;
    this.#refuse(level, text);
    if (this.#taken !== level.name) return;
    if (this.#view.choice.kind !== "auto") this.#show({ choice: AUTO });
    this.#take(ladder, this.#instead(ladder, level));
  }

  /** Sound alone does not play. */
  noAudio(): void {
    this.choose(AUTO);
    this.#show({ notice: { kind: "noAudio" } });
  }

  progress({ still }: Progress): void {
    const ladder = this.#ladder;
    if (!ladder) return;
    const level = ladder.playing();
    this.#show({ playing: level === null ? null : (ladder.levels[level]?.name ?? null) });
    if (this.#view.choice.kind !== "auto" || level === null || this.#request) return;
    if (ladder.automatic) return;
    const target = this.#governor?.observe({ now: this.#now(), still, level, bandwidth: ladder.bandwidth() });
    if (target === null || target === undefined) return;
    const asked = ladder.levels[target];
    const index = asked && this.#isRefused(asked.name) ? this.#lower(ladder, asked) : target;
    const next = ladder.levels[index];
    if (!next || index === level) return;
    this.#auto = next.name;
    this.#start(index, () => this.#governor?.rest(this.#now()));
  }

  dismiss(): void {
    this.#show({ notice: null });
  }

  dispose(): void {
    this.#cancel();
    this.#ladder = null;
  }

  /** In Auto, unless the viewer saves data, of which the server knows nothing. */
  #leftToServer({ automatic }: Ladder): boolean {
    return automatic !== undefined && this.#view.choice.kind === "auto" && !Number.isFinite(this.#limit);
  }

  get #limit(): number {
    return this.#options.limit ?? Number.POSITIVE_INFINITY;
  }

  #wanted(ladder: Ladder): number {
    const { choice } = this.#view;
    let target = this.#source(ladder);
    if (choice.kind === "level") target = closestLevel(choice.name, ladder.levels);
    else if (choice.kind === "auto") {
      target = this.#auto
        ? closestLevel(this.#auto, ladder.levels)
        : (this.#governor?.start(this.#options.carries ?? null) ?? 0);
    }
    const level = ladder.levels[target];
    return level && this.#isRefused(level.name) ? this.#instead(ladder, level) : target;
  }

  #source(ladder: Ladder): number {
    return Math.max(
      0,
      ladder.levels.findIndex((level) => level.source && !this.#isRefused(level.name)),
    );
  }

  /** Ask the server for the level and change to it when it is there. */
  #start(index: number, onRefused: () => void): void {
    const ladder = this.#ladder;
    const level = ladder?.levels[index];
    if (!ladder || !level) return;
    this.#cancel();
    if (level.source || level.name === this.#taken) {
      this.#take(ladder, index);
      return;
    }
    const request = new AbortController();
    this.#request = request;
    this.#show({ pending: level.name });
    // No answer is no refusal: the player finds out for itself.
    const timer = setTimeout(() => {
      this.#cancel();
      this.#take(ladder, index);
    }, ASK_LIMIT_MS);
    request.signal.addEventListener("abort", () => clearTimeout(timer));
    void this.#options.ask(level, request.signal).then((reason) => {
      if (request.signal.aborted) return;
      clearTimeout(timer);
      this.#request = null;
      this.#show({ pending: null });
      if (reason === null) this.#take(ladder, index);
      else {
        this.#refuse(level, reason);
        onRefused();
      }
    });
  }

  #take(ladder: Ladder, index: number): void {
    const level = ladder.levels[index];
    if (!level || level.name === this.#taken) return;
    this.#taken = level.name;
    ladder.select(index);
  }

  #refuse(level: Level, text: string | null): void {
    this.#refused.set(level.name, this.#now() + REFUSED_MS);
    const { name } = level;
    this.#show({ notice: text === null ? { kind: "unplayable", name } : { kind: "refused", name, text } });
  }

  /** The next best level that is not refused: when saving, the next lower one, else the source. */
  #instead(ladder: Ladder, refused: Level): number {
    const sparing = this.#view.choice.kind === "auto" && this.#auto !== null;
    const lower = sparing ? this.#lower(ladder, refused) : -1;
    if (lower >= 0) return lower;
    return Math.max(
      0,
      ladder.levels.findIndex((level) => level !== refused && !this.#isRefused(level.name)),
    );
  }

  /** The best that asks less of the connection and is not refused; -1 when there is none. */
  #lower(ladder: Ladder, than: Level): number {
    return ladder.levels.findIndex((level) => level.bitrate < than.bitrate && !this.#isRefused(level.name));
  }

  /** Whether the level is offered only since the player was loaded. */
  #isNew(name: string, { levels }: Ladder): boolean {
    const has = (some: readonly Level[]) => some.some((level) => level.name === name);
    return has(this.#view.levels) && !has(levels);
  }

  #isRefused(name: string): boolean {
    return (this.#refused.get(name) ?? 0) > this.#now();
  }

  #cancel(): void {
    this.#request?.abort();
    this.#request = null;
    if (this.#view.pending !== null) this.#show({ pending: null });
  }

  #show(change: Partial<QualityView>): void {
    const next = { ...this.#view, ...change };
    const same =
      next.levels === this.#view.levels &&
      sameChoice(next.choice, this.#view.choice) &&
      next.pending === this.#view.pending &&
      next.playing === this.#view.playing &&
      next.notice === this.#view.notice;
    this.#view = next;
    if (!same) this.#options.onChange(next);
  }
}
