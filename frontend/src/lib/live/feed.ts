import { eventsUrl } from "../api";
import { EVENT_TYPES, type LiveEvent, parseEvent } from "./events";

export type FeedStatus = "connecting" | "open" | "lost";

export interface FeedOptions {
  /** Only this stream's events; all streams without it. */
  stream?: string;
  onEvent(event: LiveEvent): void;
  onStatus(status: FeedStatus): void;
  /** For tests. */
  socket?: (url: string) => WebSocket;
  source?: (url: string) => EventSource;
}

const FIRST_DELAY_MS = 1_000;
const LAST_DELAY_MS = 15_000;
/** The server says at least every 15 s that it is there. */
const SILENCE_MS = 40_000;

/** A line to the server: told that it works, what comes, and once that it is over. */
interface Line {
  onOpen(): void;
  onEvents(type: string, data: string): void;
  onEnd(): void;
}

/**
 * The server's events, for as long as the page is open. They come by a WebSocket: an event stream would hold one of the
 * six connections that a browser has for each host, and six tabs all of them. Where a proxy lets no WebSocket
 * through, the event stream is tried by turns with it, ever more slowly.
 */
export function openFeed(options: FeedOptions): () => void {
  let hangUp: (() => void) | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let delay = FIRST_DELAY_MS;
  let bySocket = true;

  function connect() {
    clearTimeout(timer);
    timer = undefined;
    hangUp?.();
    let opened = false;
    const line: Line = {
      onOpen() {
        opened = true;
        delay = FIRST_DELAY_MS;
        options.onStatus("open");
      },
      onEvents(type, data) {
        const event = parseEvent(type, data);
        if (event) options.onEvent(event);
      },
      onEnd() {
        hangUp?.();
        options.onStatus("lost");
        if (!opened) bySocket = !bySocket;
        clearTimeout(timer);
        timer = setTimeout(connect, delay);
        delay = Math.min(delay * 2, LAST_DELAY_MS);
      },
    };
    hangUp = bySocket ? openSocket(options, line) : openSource(options, line);
  }

  options.onStatus("connecting");
  connect();
  // A phone that comes back into coverage should not sit out the rest of a long delay.
  window.addEventListener("online", connect);
  return () => {
    window.removeEventListener("online", connect);
    clearTimeout(timer);
    hangUp?.();
  };
}

function openSocket(options: FeedOptions, line: Line): () => void {
  const url = new URL(eventsUrl(options.stream), window.location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = (options.socket ?? ((address: string) => new WebSocket(address)))(url.href);
  let deadline: ReturnType<typeof setTimeout> | undefined;
  let over = false;

  function end() {
    if (over) return;
    hangUp();
    line.onEnd();
  }

  function heard() {
    clearTimeout(deadline);
    deadline = setTimeout(end, SILENCE_MS);
  }

  function hangUp() {
    over = true;
    clearTimeout(deadline);
    socket.close();
  }

  socket.onopen = () => {
    if (over) return;
    heard();
    line.onOpen();
  };
  socket.onmessage = ({ data }: MessageEvent<string>) => {
    if (over) return;
    heard();
    for (const [type, text] of readEvents(data)) line.onEvents(type, text);
  };
  socket.onclose = end;
  heard();
  return hangUp;
}

function openSource(options: FeedOptions, line: Line): () => void {
  const source = (options.source ?? ((url: string) => new EventSource(url)))(eventsUrl(options.stream));
  source.onopen = () => line.onOpen();
  source.onerror = () => {
    source.close();
    line.onEnd();
  };
  for (const type of EVENT_TYPES) {
    source.addEventListener(type, (message) => line.onEvents(type, (message as MessageEvent<string>).data));
  }
  return () => source.close();
}

/** The events in a piece of an event stream (HTML Living Standard §9.2.6), as this server writes it. */
export function readEvents(text: string): [type: string, data: string][] {
  return text.split("\n\n").flatMap((block): [string, string][] => {
    const found = /^event: (.*)\ndata: (.*)$/.exec(block);
    return found?.[1] !== undefined && found[2] !== undefined ? [[found[1], found[2]]] : [];
  });
}
