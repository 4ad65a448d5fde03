import { createHttp, type Http, HttpError } from "../../lib/http";
import { t } from "../../lib/i18n";

export interface Code {
  code: string;
  /** The Matrix ID to which it is sent. */
  bot?: string;
  /** Seconds. */
  expires_in: number;
}

const LOOK_MS = 3_000;

interface Link {
  matrix: string | null;
  /** Who has sent the code, and is not linked before this page says yes. */
  claimed?: string | null;
}

/**
 * Signing in with Matrix without a password passing us: the server gives a code, the person sends it from their Matrix
 * client, and the page asks whether it has arrived, and then the person whether it was them: others may have seen it.
 */
export class SignIn {
  code = $state.raw<Code | null>(null);
  /** Who this browser is on Matrix; null when it is nobody there. */
  matrix = $state<string | null>(null);
  /** Who sent the code; waits for `confirm` or `refuse`. */
  claimed = $state<string | null>(null);
  asking = $state(false);
  expired = $state(false);
  problem = $state("");
  readonly #http: Http;
  readonly #linked: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #until = 0;
  #stopped = false;

  constructor(linked: () => void, http: Http = createHttp()) {
    this.#linked = linked;
    this.#http = http;
    document.addEventListener("visibilitychange", this.#back);
  }

  /** Asks whether this browser is somebody already. */
  async look(): Promise<void> {
    try {
      const link = await this.#http<Link>("GET", "/api/v1/matrix/link");
      this.matrix = link.matrix;
      this.claimed = link.matrix === null ? (link.claimed ?? null) : null;
    } catch {
      // It is asked again when a code is on its way; without one nothing depends on it.
    }
  }

  async ask(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    this.problem = "";
    try {
      this.code = await this.#http<Code>("POST", "/api/v1/matrix/code");
      this.expired = false;
      this.#until = Date.now() + this.code.expires_in * 1_000;
      this.#wait();
    } catch (error) {
      this.problem = (error instanceof HttpError && error.detail) || t("chat.matrix.failed");
    } finally {
      this.asking = false;
    }
  }

  /** The person says that it was them who sent the code. */
  confirm(): Promise<boolean> {
    const matrix = this.claimed;
    return this.#try(async () => {
      this.matrix = (await this.#http<Link>("POST", "/api/v1/matrix/link", { body: { matrix } })).matrix;
      this.#done();
    });
  }

  /** It was somebody else: nothing is linked, and the code is void. */
  async refuse(): Promise<void> {
    await this.#try(async () => {
      await this.#http("DELETE", "/api/v1/matrix/code");
      this.#forget();
      this.problem = t("chat.matrix.refused");
    });
  }

  /** This browser is nobody on Matrix any more. */
  signOut(): Promise<boolean> {
    return this.#try(async () => {
      await this.#http("DELETE", "/api/v1/matrix/link");
      this.matrix = null;
      this.#linked();
    });
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    document.removeEventListener("visibilitychange", this.#back);
  }

  /** False when it did not work; `problem` says why. */
  async #try(work: () => Promise<void>): Promise<boolean> {
    this.problem = "";
    try {
      await work();
      return true;
    } catch (error) {
      this.problem = (error instanceof HttpError && error.detail) || t("chat.matrix.failed");
      return false;
    }
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.code = null;
    this.claimed = null;
  }

  #done(): void {
    this.#forget();
    this.#linked();
  }

  #wait(): void {
    clearTimeout(this.#timer);
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#see(), LOOK_MS);
  }

  /** People come back to the page from their Matrix client, which they sent the code with. */
  readonly #back = () => {
    if (document.hidden || this.code === null || this.expired) return;
    clearTimeout(this.#timer);
    void this.#see();
  };

  async #see(): Promise<void> {
    await this.look();
    if (this.#stopped || this.code === null) return;
    if (this.matrix !== null) this.#done();
    else if (this.claimed === null && Date.now() >= this.#until) this.expired = true;
    else this.#wait();
  }
}
