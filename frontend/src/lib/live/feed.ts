import { eventsUrl } from "../api";
import { EVENT_TYPES, type LiveEvent, parseEvent } from "./events";

export type FeedStatus = "connecting" | "open" | "lost";

export interface FeedOptions {
  /** Only this stream's events; all streams without it. */
  stream?: string;
  onEvent(event: LiveEvent): void;
  onStatus(status: FeedStatus): void;
  /** For tests. */
  source?: (url: string) => EventSource;
}

const FIRST_DELAY_MS = 1_000;
const LAST_DELAY_MS = 15_000;

/**
 * The server's events, for as long as the page is open. The browser reconnects by itself after a broken
 * connection, but gives up for good on an HTTP error, as from a proxy while the server restarts; then this
 * opens a new one, ever more slowly.
 */
export function openFeed(options: FeedOptions): () => void {
  const create = options.source ?? ((url: string) => new EventSource(url));
  let current: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let delay = FIRST_DELAY_MS;

  function connect() {
    clearTimeout(timer);
    timer = undefined;
    current?.close();
    const source = create(eventsUrl(options.stream));
    current = source;
    source.onopen = () => {
      delay = FIRST_DELAY_MS;
      options.onStatus("open");
    };
    source.onerror = () => {
      options.onStatus("lost");
      if (source.readyState !== source.CLOSED || timer !== undefined) return;
      timer = setTimeout(connect, delay);
      delay = Math.min(delay * 2, LAST_DELAY_MS);
    };
    for (const type of EVENT_TYPES) {
      source.addEventListener(type, (message) => {
        const event = parseEvent(type, (message as MessageEvent<string>).data);
        if (event) options.onEvent(event);
      });
    }
  }

  options.onStatus("connecting");
  connect();
  // A phone that comes back into coverage should not sit out the rest of a long delay.
  window.addEventListener("online", connect);
  return () => {
    window.removeEventListener("online", connect);
    clearTimeout(timer);
    current?.close();
  };
}
