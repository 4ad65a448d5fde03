import { ApiError, getStream, type StreamInfo } from "../api";
import { applyEvent, type Directory } from "./directory";
import { embeddedStream } from "./embedded";
import { type FeedStatus, openFeed } from "./feed";

/** The directory as a reactive value. Close it when the page's component goes. */
export class LiveStore {
  directory = $state.raw<Directory>(null);
  status = $state<FeedStatus>("connecting");
  readonly #close: () => void;

  constructor(readonly stream?: string) {
    this.#close = openFeed({
      ...(stream !== undefined && { stream }),
      onEvent: (event) => {
        this.directory = applyEvent(this.directory, event);
      },
      onStatus: (status) => {
        this.status = status;
      },
    });
    if (stream === undefined) return;
    const embedded = embeddedStream(stream);
    // Asked as well as listened for: behind a proxy that holds events back, the page still shows the truth.
    if (embedded === undefined) void this.#ask(stream);
    else this.directory = embedded ? [embedded] : [];
  }

  /** This page's stream: undefined while not known yet, null when the server has no such stream. */
  get current(): StreamInfo | null | undefined {
    if (this.directory === null) return undefined;
    return this.directory.find((stream) => stream.name === this.stream) ?? null;
  }

  close(): void {
    this.#close();
  }

  async #ask(name: string): Promise<void> {
    try {
      const stream = await getStream(name);
      if (this.directory === null) this.directory = [stream];
    } catch (error) {
      // Any other failure is the feed's to report and repair.
      if (error instanceof ApiError && error.status === 404 && this.directory === null) this.directory = [];
    }
  }
}
