const TOKEN = "ghostlive.guest";
const NAME = "ghostlive.guest.name";

type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/**
 * Who this browser is as a guest, in every chat of this server. Without storage (a private window, a frame that is
 * denied it) the page still knows for as long as it is open.
 */
export class GuestMemory {
  #token: string | null = null;
  #name = "";

  constructor(private readonly store: Store | null = browserStore()) {
    this.#token = this.#read(TOKEN);
    this.#name = this.#read(NAME) ?? "";
  }

  get token(): string | null {
    return this.#token;
  }

  /** The name last chosen, as a proposal. */
  get name(): string {
    return this.#name;
  }

  keep(token: string | null, name: string): void {
    if (token !== null) {
      this.#token = token;
      this.#write(TOKEN, token);
    }
    this.#name = name;
    this.#write(NAME, name);
  }

  /** Another page of this browser may have become a guest meanwhile; true when that changes who we are. */
  refresh(): boolean {
    const stored = this.#read(TOKEN);
    if (stored === null || stored === this.#token) return false;
    this.#token = stored;
    this.#name = this.#read(NAME) ?? this.#name;
    return true;
  }

  /** Whether a `storage` event speaks of the guest. */
  static concerns(event: StorageEvent): boolean {
    return event.key === TOKEN;
  }

  #read(key: string): string | null {
    try {
      return this.store?.getItem(key) ?? null;
    } catch {
      return null;
    }
  }

  #write(key: string, value: string): void {
    try {
      this.store?.setItem(key, value);
    } catch {
      // Full or forbidden: only a reload will forget.
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
