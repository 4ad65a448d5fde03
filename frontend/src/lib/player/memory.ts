import { browserStore, type Store } from "../store";
import { type Failure, isOfNetwork, KEEP_MS, type Reason } from "./failure";
import { isProtocol, type Protocol } from "./sources";

/** A failure and how long it counts, in milliseconds since 1970. */
export interface Remembered extends Failure {
  until: number;
}

type Failures = Map<Protocol, Remembered>;

const KEY = "ghostlive.failed";
/** More than a server's sentence has. */
const MAX_DETAIL = 300;

/**
 * Remembers which protocols did not play and why, so that a reload does not wait for the broken one again: what the
 * network refuses for all streams, anything else for the stream. Without storage, for as long as the page is open.
 */
export class SourceMemory {
  readonly #key: string;
  /** What could not be stored. */
  readonly #held = new Map<string, Failures>();

  constructor(
    stream: string,
    private readonly store: Store | null = browserStore(),
    private readonly now: () => number = Date.now,
  ) {
    this.#key = `${KEY}.${stream}`;
  }

  /** Why a protocol is not to be tried first; null when nothing is known against it. */
  recall(type: Protocol): Remembered | null {
    for (const key of [this.#key, KEY]) {
      const found = this.#read(key).get(type);
      if (found && found.until > this.now()) return found;
    }
    return null;
  }

  blame(type: Protocol, failure: Failure): void {
    const key = isOfNetwork(failure) ? KEY : this.#key;
    const { reason } = failure;
    const detail = failure.detail.slice(0, MAX_DETAIL);
    this.#write(key, this.#read(key).set(type, { reason, detail, until: this.now() + KEEP_MS[reason] }));
  }

  /** It plays. */
  absolve(type: Protocol): void {
    for (const key of [this.#key, KEY]) {
      const failures = this.#read(key);
      if (failures.delete(type)) this.#write(key, failures);
    }
  }

  /** Another broadcast: what was wrong with the last one says nothing of it. */
  renew(): void {
    this.#write(this.#key, new Map());
  }

  /** Another network, or another server: nothing of what was known holds. */
  forget(): void {
    this.renew();
    this.#write(KEY, new Map());
  }

  #read(key: string): Failures {
    try {
      return this.#held.get(key) ?? parse(this.store?.getItem(key) ?? "");
    } catch {
      return new Map();
    }
  }

  #write(key: string, failures: Failures): void {
    this.#held.set(key, failures);
    try {
      if (!this.store) return;
      if (failures.size === 0) this.store.removeItem(key);
      else this.store.setItem(key, JSON.stringify(Object.fromEntries(failures)));
      this.#held.delete(key);
    } catch {
      // Storage may be full or forbidden: what is held has to do.
    }
  }
}

/** Storage is shared with other versions of this page, and with whatever the viewer's extensions write. */
function parse(text: string): Failures {
  const found: Failures = new Map();
  if (!text) return found;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return found;
  }
  if (typeof value !== "object" || value === null) return found;
  for (const [type, entry] of Object.entries(value)) {
    if (isProtocol(type) && isRemembered(entry)) found.set(type, entry);
  }
  return found;
}

function isRemembered(entry: unknown): entry is Remembered {
  if (typeof entry !== "object" || entry === null) return false;
  const { reason, detail, until } = entry as Partial<Remembered>;
  return Object.hasOwn(KEEP_MS, reason as Reason) && typeof detail === "string" && typeof until === "number";
}
