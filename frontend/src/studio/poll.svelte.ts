/**
 * Asks again and again while the page is visible, and keeps the last answer. A question is asked only when the
 * one before it was answered, so a slow server is not asked faster than it answers.
 */
export class Poll<T> {
  value = $state.raw<T | null>(null);
  /** Set while the newest question failed; `value` is then an older answer. */
  error = $state.raw<unknown>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #request: AbortController | null = null;
  #running = false;

  constructor(
    private readonly ask: (signal: AbortSignal) => Promise<T>,
    private readonly everyMs: number,
  ) {}

  /** The result stops it. */
  start(): () => void {
    const look = () => {
      if (document.hidden) this.#pause();
      else void this.now();
    };
    this.#running = true;
    document.addEventListener("visibilitychange", look);
    look();
    return () => {
      this.#running = false;
      document.removeEventListener("visibilitychange", look);
      this.#pause();
    };
  }

  /** Ask at once, as after a change that this page made itself. */
  async now(): Promise<void> {
    this.#pause();
    const request = new AbortController();
    this.#request = request;
    try {
      const value = await this.ask(request.signal);
      if (request.signal.aborted) return;
      this.value = value;
      this.error = null;
    } catch (error) {
      if (request.signal.aborted) return;
      this.error = error;
    }
    this.#request = null;
    if (this.#running) this.#timer = setTimeout(() => void this.now(), this.everyMs);
  }

  /** Take what the server has just said elsewhere: an answer that is still on its way may be older. */
  know(value: T): void {
    this.#pause();
    this.value = value;
    this.error = null;
    if (this.#running) this.#timer = setTimeout(() => void this.now(), this.everyMs);
  }

  #pause(): void {
    clearTimeout(this.#timer);
    this.#request?.abort();
    this.#request = null;
  }
}
