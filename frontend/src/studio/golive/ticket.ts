import { HttpError } from "../../lib/http";
import { browserStore, type Store } from "../../lib/store";
import type { NewKey } from "../api";

/** What is used of the studio's API. */
export interface Keys {
  addKey(stream: string, key: { label: string; revoke_others: boolean }): Promise<NewKey>;
  revokeKey(stream: string, id: number): Promise<void>;
}

/** What is used of `navigator.locks`: locks go with their page, however that ends. */
export interface Locks {
  request(name: string, granted: () => Promise<void>): Promise<unknown>;
  query(): Promise<{ held?: { name?: string }[] }>;
}

/** Before the key's number: of what is stored, its stream, and of the lock that a page holds while it uses the key. */
const PREFIX = "ghostlive.golive.key.";

/**
 * The right to broadcast on a stream. Keys are told once, when they are made, so the page makes one for itself, keeps it
 * to itself, and revokes it afterwards; one that was left over, as by a crash, is revoked by the next. What another tab
 * uses is not: it may be on the air.
 */
export class Ticket {
  #key: NewKey | null = null;
  #unlock: () => void = () => {};

  constructor(
    private readonly api: Keys,
    private readonly stream: string,
    private readonly label: string,
    private readonly store: (Store & Pick<Storage, "key" | "length">) | null = browserStore(),
    private readonly locks: Locks | undefined = navigator.locks,
  ) {}

  /** @throws {HttpError} when the account may not, or the server does not answer. */
  async headers(): Promise<Record<string, string>> {
    if (!this.#key) {
      await this.#sweep();
      const key = await this.api.addKey(this.stream, { label: this.label, revoke_others: false });
      this.#key = key;
      // First the lock: what is noted without one is nobody's.
      await this.#lock(key.id);
      this.#note(key.id);
    }
    return this.held();
  }

  /** The same without asking: nothing before the first time. */
  held(): Record<string, string> {
    return this.#key ? { authorization: `Bearer ${this.#key.secret}` } : {};
  }

  /** The key was revoked by somebody: the next time there has to be another. */
  lost(): void {
    this.#key = null;
    this.#unlock();
  }

  async release(): Promise<void> {
    const key = this.#key;
    this.#key = null;
    if (key) await this.#revoke(this.stream, key.id);
    this.#unlock();
  }

  /** What earlier pages left. */
  async #sweep(): Promise<void> {
    const used = await this.#used();
    if (!used) return;
    for (const name of this.#noted().filter((noted) => !used.has(noted))) {
      const id = Number(name.slice(PREFIX.length));
      const stream = this.store?.getItem(name);
      if (stream && Number.isInteger(id) && id > 0) await this.#revoke(stream, id);
    }
  }

  /** The keys that pages use now; null where the browser does not say. */
  async #used(): Promise<Set<string> | null> {
    try {
      const found = await this.locks?.query();
      return found ? new Set(found.held?.map(({ name = "" }) => name)) : null;
    } catch {
      return null;
    }
  }

  #noted(): string[] {
    const store = this.store;
    if (!store) return [];
    const names = Array.from({ length: store.length }, (_, index) => store.key(index) ?? "");
    return names.filter((name) => name.startsWith(PREFIX));
  }

  async #revoke(stream: string, id: number): Promise<void> {
    try {
      await this.api.revokeKey(stream, id);
    } catch (error) {
      // Gone already, or left for the next time.
      if (!(error instanceof HttpError && error.status === 404)) return;
    }
    this.store?.removeItem(`${PREFIX}${id}`);
  }

  /** Has the lock when it returns, where the browser has locks. */
  async #lock(id: number): Promise<void> {
    const { locks } = this;
    if (!locks) return;
    await new Promise<void>((locked) => {
      const until = () =>
        new Promise<void>((unlock) => {
          this.#unlock = unlock;
          locked();
        });
      // A page that may have none goes on the air all the same.
      locks.request(`${PREFIX}${id}`, until).catch(() => locked());
    });
  }

  #note(id: number): void {
    try {
      this.store?.setItem(`${PREFIX}${id}`, this.stream);
    } catch {
      // Then it stays in the list of keys until somebody revokes it there.
    }
  }
}
