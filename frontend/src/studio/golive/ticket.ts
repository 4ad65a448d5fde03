import { browserStore, type Store } from "../../lib/store";
import type { NewKey } from "../api";

/** What is used of the studio's API. */
export interface Keys {
  addKey(stream: string, key: { label: string; revoke_others: boolean }): Promise<NewKey>;
  revokeKey(stream: string, id: number): Promise<void>;
}

const KEY = "ghostlive.golive.key";

/**
 * The right to broadcast on a stream. Keys are told once, when they are made, so the page makes one for itself, keeps it
 * to itself, and revokes it afterwards; one that was left over, as by a crash, is revoked by the next.
 */
export class Ticket {
  #key: NewKey | null = null;

  constructor(
    private readonly api: Keys,
    private readonly stream: string,
    private readonly label: string,
    private readonly store: Store | null = browserStore(),
  ) {}

  /** @throws {HttpError} when the account may not, or the server does not answer. */
  async headers(): Promise<Record<string, string>> {
    if (!this.#key) {
      await this.#sweep();
      this.#key = await this.api.addKey(this.stream, { label: this.label, revoke_others: false });
      this.#note(this.#key.id);
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
  }

  async release(): Promise<void> {
    const key = this.#key;
    this.#key = null;
    if (key) await this.#revoke(this.stream, key.id);
  }

  /** What an earlier page left. */
  async #sweep(): Promise<void> {
    try {
      const [stream, id] = JSON.parse(this.store?.getItem(KEY) ?? "null") as [string, number];
      if (typeof stream === "string" && Number.isInteger(id)) await this.#revoke(stream, id);
    } catch {
      // Nothing was left, or nothing that is ours.
    }
  }

  async #revoke(stream: string, id: number): Promise<void> {
    try {
      await this.api.revokeKey(stream, id);
      this.store?.removeItem(KEY);
    } catch {
      // Gone already, or left for the next time.
    }
  }

  #note(id: number): void {
    try {
      this.store?.setItem(KEY, JSON.stringify([this.stream, id]));
    } catch {
      // Then it stays in the list of keys until somebody revokes it there.
    }
  }
}
