import { isProtocol, type Protocol } from "./sources";

/** Long enough for a reload or a second visit, short enough to get the best source back soon. */
const KEEP_MS = 10 * 60_000;

type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** Remembers per stream which protocol played, so that a reload does not try the broken one again. */
export class SourceMemory {
  readonly #key: string;

  constructor(
    stream: string,
    private readonly store: Store | null = browserStore(),
    private readonly now: () => number = Date.now,
  ) {
    this.#key = `ghostlive.source.${stream}`;
  }

  recall(): Protocol | null {
    try {
      const [type, until] = (this.store?.getItem(this.#key) ?? "").split("@");
      return isProtocol(type) && Number(until) > this.now() ? type : null;
    } catch {
      return null;
    }
  }

  remember(type: Protocol): void {
    this.#quietly((store) => store.setItem(this.#key, `${type}@${this.now() + KEEP_MS}`));
  }

  forget(): void {
    this.#quietly((store) => store.removeItem(this.#key));
  }

  /** Storage may be full or forbidden; the player works without. */
  #quietly(action: (store: Store) => void): void {
    try {
      if (this.store) action(this.store);
    } catch {
      // Nothing to do: only a convenience is lost.
    }
  }
}

/** Reading the property throws where a frame is denied storage. */
function browserStore(): Store | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}
