/** A part of the page that is loaded when it is first used. */
export class Lazy<T> {
  readonly #load: () => Promise<T>;
  #value = $state.raw<T | null>(null);
  #asked = false;

  constructor(load: () => Promise<T>) {
    this.#load = load;
  }

  /** Null until it is there; whoever draws with it is drawn again then. */
  get(): T | null {
    if (!this.#asked) {
      this.#asked = true;
      this.#load().then(
        (value) => {
          this.#value = value;
        },
        () => {
          // The line was broken: the next who asks tries again.
          this.#asked = false;
        },
      );
    }
    return this.#value;
  }
}
