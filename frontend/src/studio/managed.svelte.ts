import type { StreamInfo } from "../lib/api";
import type { Directory } from "../lib/live/directory";
import type { StudioApi } from "./api";

/** The streams that one may manage: which they are comes from the list, how they are from the live events. */
export class Managed {
  error = $state.raw<unknown>(null);
  #listed = $state.raw<StreamInfo[] | null>(null);
  #asked = 0;

  constructor(
    private readonly api: StudioApi,
    private readonly live: { readonly directory: Directory },
  ) {}

  /** Null until the list is known. */
  get streams(): StreamInfo[] | null {
    const known = new Map((this.live.directory ?? []).map((stream) => [stream.name, stream]));
    return this.#listed?.map((stream) => known.get(stream.name) ?? stream) ?? null;
  }

  async refresh(): Promise<void> {
    this.#asked += 1;
    const asked = this.#asked;
    try {
      const streams = await this.api.streams();
      // An answer that was overtaken by a newer question says what is no longer so.
      if (asked !== this.#asked) return;
      this.#listed = streams;
      this.error = null;
    } catch (error) {
      if (asked === this.#asked) this.error = error;
    }
  }

  /** What this page has just made or taken away shows before the list is asked again. */
  add(stream: StreamInfo): void {
    this.#listed = [...(this.#listed ?? []).filter(({ name }) => name !== stream.name), stream];
  }

  drop(name: string): void {
    this.#listed = this.#listed?.filter((stream) => stream.name !== name) ?? null;
  }
}
