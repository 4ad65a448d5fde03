import { type ClientMessage, parseMessage, type ServerMessage } from "./protocol";

/**
 * `open` after the server's welcome. `crowded`: too many connections from this address; `gone`: there is no such
 * stream any more. Both are asked again, seldom. `out`: sent out; only the person comes back, with `reopen`.
 */
export type ConnectionStatus = "connecting" | "open" | "lost" | "crowded" | "gone" | "out";

/** What is used of a WebSocket. */
export type Socket = Pick<WebSocket, "send" | "close" | "onopen" | "onmessage" | "onclose" | "onerror"> & {
  readonly readyState: number;
};

export interface ConnectionOptions {
  url: string;
  /** Asked each time: the token and the newest `seq` may have changed. */
  hello(): ClientMessage;
  onMessage(message: ServerMessage): void;
  onStatus(status: ConnectionStatus): void;
  /** Told false when the server has no such stream; asked after a socket that never opened. */
  exists?: () => Promise<boolean>;
  /** For tests. */
  socket?: (url: string) => Socket;
  random?: () => number;
}

const PING_MS = 25_000;
/** From a ping, or from opening, to the answer. */
const ANSWER_MS = 10_000;
/** The same when the page has just come back, and the person waits. */
const CHECK_MS = 4_000;
/** What the server answers at once, with an acknowledgement or a refusal. */
const ANSWERED: ReadonlySet<ClientMessage["type"]> = new Set(["post", "join"]);
const FIRST_DELAY_MS = 500;
const LAST_DELAY_MS = 10_000;
const SELDOM_MS = 30_000;
const TRY_AGAIN_LATER = 1013;
/** Banned or kicked. */
const SENT_OUT = 4003;
const OPEN = 1;

/**
 * Keeps one WebSocket open for as long as the page is: says hello, pings, notices a dead line, and comes back ever
 * more slowly, each page at a moment of its own so that a restarted server is not run over.
 */
export class ChatConnection {
  readonly #options: ConnectionOptions;
  readonly #random: () => number;
  #socket: Socket | null = null;
  #status: ConnectionStatus = "connecting";
  #welcomed = false;
  #leaving = false;
  #failures = 0;
  #ping: ReturnType<typeof setInterval> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
  }

  /** Opens the first connection. */
  start(): void {
    window.addEventListener("online", this.#wake);
    document.addEventListener("visibilitychange", this.#wake);
    this.#show("connecting");
    this.#connect();
  }

  /** False when there is no connection: the caller keeps what must not be lost. */
  send(message: ClientMessage): boolean {
    if (!this.#welcomed || this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    // Somebody waits for the answer: a line that gives none is not waited on until the next ping.
    if (ANSWERED.has(message.type) && this.#deadline === undefined) this.#await(ANSWER_MS);
    return true;
  }

  /** Says hello anew, as when another page of this browser has become a guest. */
  reopen(): void {
    if (this.#socket === null && this.#retry === undefined && this.#status !== "out") return;
    this.#drop();
    this.#connect();
  }

  /** The server closes now, and is not to be asked again. */
  leave(): void {
    this.#leaving = true;
    this.#lost(SENT_OUT);
  }

  /** For good. */
  close(): void {
    window.removeEventListener("online", this.#wake);
    document.removeEventListener("visibilitychange", this.#wake);
    clearTimeout(this.#retry);
    this.#retry = undefined;
    this.#drop();
  }

  #connect(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    const create = this.#options.socket ?? ((url: string) => new WebSocket(url));
    const socket = create(this.#options.url);
    this.#socket = socket;
    this.#leaving = false;
    this.#await(ANSWER_MS);
    socket.onopen = () => {
      if (socket === this.#socket) socket.send(JSON.stringify(this.#options.hello()));
    };
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#received(event.data);
    };
    // An error is always followed by a close, which says more.
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#lost(event.code);
    };
  }

  #received(data: unknown): void {
    const message = parseMessage(data);
    if (message === null) return;
    if (message.type === "welcome") {
      this.#welcomed = true;
      this.#failures = 0;
      clearInterval(this.#ping);
      this.#ping = setInterval(() => this.#check(ANSWER_MS), PING_MS);
    }
    if (this.#welcomed) this.#answered();
    // First the content, then "open": whoever waits for that status finds the history there.
    this.#options.onMessage(message);
    if (message.type === "welcome") this.#show("open");
  }

  #lost(code: number): void {
    const opened = this.#welcomed;
    this.#drop();
    this.#failures += 1;
    if (this.#leaving) {
      this.#show("out");
      return;
    }
    if (code === SENT_OUT) {
      // Who was banned sees by the next welcome when it is over.
      this.#show("lost");
      this.#again(SELDOM_MS);
      return;
    }
    if (code === TRY_AGAIN_LATER) {
      this.#show("crowded");
      this.#again(SELDOM_MS);
      return;
    }
    this.#show("lost");
    this.#again(Math.min(FIRST_DELAY_MS * 2 ** (this.#failures - 1), LAST_DELAY_MS));
    if (!opened) void this.#ask();
  }

  /** A browser does not tell why a socket was refused; one refusal is for good. */
  async #ask(): Promise<void> {
    const exists = (await this.#options.exists?.()) ?? true;
    if (exists || this.#retry === undefined) return;
    this.#show("gone");
    this.#again(SELDOM_MS);
  }

  #again(delay: number): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), delay * (0.5 + this.#random() / 2));
  }

  /** The network is back, or the person: no reason to sit out a delay, and a good moment to look. */
  readonly #wake = () => {
    if (document.visibilityState === "hidden") return;
    if (this.#retry !== undefined) this.#connect();
    else if (this.#welcomed) this.#check(CHECK_MS);
  };

  #check(limit: number): void {
    if (this.send({ type: "ping" })) this.#await(limit);
  }

  #await(limit: number): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      // The closing handshake of a dead line would take as long as the line is dead.
      this.#lost(0);
    }, limit);
  }

  #answered(): void {
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = null;
    this.#welcomed = false;
    clearInterval(this.#ping);
    this.#answered();
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
    socket.close();
  }

  #show(status: ConnectionStatus): void {
    if (status === this.#status && status !== "connecting") return;
    this.#status = status;
    this.#options.onStatus(status);
  }
}

/** The chat of a stream on the server that this page came from. */
export function chatUrl(stream: string, location: Pick<Location, "protocol" | "host">): string {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return `${scheme}//${location.host}/api/v1/streams/${encodeURIComponent(stream)}/chat`;
}
