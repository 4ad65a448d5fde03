import { HttpError } from "../../lib/http";
import { type Sent, type SentReading, sent, sentReading } from "./outbound";
import { h264First, tuneAnswer } from "./sdp";
import { closeWhip, openWhip } from "./whip";

/** What is sent; tracks may be changed for others while it is. */
export interface Outgoing {
  video: MediaStreamTrack | null;
  audio: MediaStreamTrack;
  /** Bits per second of the picture. */
  bitrate: number;
  rate: number;
  simulcast: boolean;
}

export type PublishState =
  | { kind: "off" }
  | { kind: "connecting" }
  | { kind: "on" }
  /** It broke; `error` is why the last try failed, null at first. */
  | { kind: "again"; error: unknown }
  | { kind: "failed"; error: unknown };

/** No way through the network: the server answers, and its media port does not. */
export class NoWayError extends Error {}

export interface PublisherOptions {
  url: string;
  /** Makes what `authorization` there is, before every request for a session. */
  headers(): Promise<Record<string, string>>;
  onChange(state: PublishState): void;
  /** The server does not know the key, though it did once. */
  onKeyLost?(): void;
  connection?: () => RTCPeerConnection;
  fetcher?: typeof fetch;
  now?: () => number;
}

const CONNECT_LIMIT_MS = 12_000;
/** A connection that says it is disconnected often comes back by itself. */
const DISCONNECTED_LIMIT_MS = 4_000;
const GOODBYE_LIMIT_MS = 1_500;
const FIRST_WAIT_MS = 500;
const LAST_WAIT_MS = 10_000;
/** Refusals that do not pass by themselves. */
const FINAL = [400, 403, 404, 406, 413, 415, 422];

/**
 * A broadcast by WHIP (RFC 9725), for as long as it is wanted: begins it, and begins it again after a break with the same
 * settings. What is known of the first try decides whether there is a second: a refusal is told at once, but who has been
 * on the air stays so.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #now: () => number;
  #outgoing: Outgoing | null = null;
  #connection: RTCPeerConnection | null = null;
  #session: { resource: string; headers: Record<string, string> } | null = null;
  #attempt: AbortController | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wait = FIRST_WAIT_MS;
  #been = false;
  #state: PublishState = { kind: "off" };
  /** Counters of the connections before this one, so that what was dropped stays counted. */
  #dropped = 0;
  #last: Sent | null = null;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get state(): PublishState {
    return this.#state;
  }

  start(outgoing: Outgoing): void {
    if (this.#outgoing) return;
    this.#outgoing = outgoing;
    this.#been = false;
    this.#dropped = 0;
    this.#wait = FIRST_WAIT_MS;
    void this.#connect();
  }

  /** Another camera, or a screen instead: goes on without a break. */
  async change(change: Partial<Outgoing>): Promise<void> {
    if (!this.#outgoing) return;
    this.#outgoing = { ...this.#outgoing, ...change };
    const connection = this.#connection;
    if (!connection) return;
    const { video, audio } = this.#outgoing;
    const transceivers = connection.getTransceivers();
    if (transceivers.length < (video ? 2 : 1)) {
      // There was no picture, and nothing was agreed on for one.
      void this.#connect();
      return;
    }
    for (const { sender } of transceivers) {
      const kind = sender.track?.kind ?? "video";
      await sender.replaceTrack(kind === "audio" ? audio : video);
    }
    await this.#limit(connection);
  }

  /** The network is back: no use to sit out the rest of a long wait. */
  wake(): void {
    if (this.#state.kind !== "again" || this.#attempt) return;
    this.#wait = FIRST_WAIT_MS;
    void this.#connect();
  }

  async stop(): Promise<void> {
    this.#outgoing = null;
    // First the goodbye, then the connection: the other way round the server waits for its return.
    const ended = this.#end();
    const connection = this.#connection;
    this.#connection = null;
    this.#drop();
    this.#show({ kind: "off" });
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, GOODBYE_LIMIT_MS))]);
    connection?.close();
  }

  async stats(): Promise<SentReading | null> {
    const connection = this.#connection;
    if (!connection || this.#state.kind !== "on") return null;
    try {
      const report = (await connection.getStats()) as unknown as Iterable<[string, unknown]>;
      if (connection !== this.#connection) return null;
      const now = sent(report, this.#now());
      const reading = sentReading(now, this.#last);
      this.#last = now;
      return { ...reading, dropped: reading.dropped + this.#dropped };
    } catch {
      // Closed while it was asked.
      return null;
    }
  }

  async #connect(): Promise<void> {
    const outgoing = this.#outgoing;
    if (!outgoing) return;
    this.#drop();
    const attempt = new AbortController();
    this.#attempt = attempt;
    if (this.#been)
      this.#show({ kind: "again", error: this.#state.kind === "again" ? this.#state.error : null });
    else this.#show({ kind: "connecting" });
    try {
      // The session before is not ended: viewers would see the broadcast end with it, rather than wait for this one.
      const headers = await this.#options.headers();
      if (attempt.signal.aborted) return;
      await this.#open(outgoing, headers, attempt.signal);
    } catch (error) {
      if (!attempt.signal.aborted) this.#broke(error);
    }
  }

  async #open(outgoing: Outgoing, headers: Record<string, string>, signal: AbortSignal): Promise<void> {
    const connection = (this.#options.connection ?? (() => new RTCPeerConnection()))();
    this.#connection = connection;
    this.#last = null;
    this.#send(connection, outgoing);
    const offer = await connection.createOffer();
    const { url, fetcher } = this.#options;
    const session = await openWhip(url, offer.sdp ?? "", headers, signal, fetcher).catch((error: unknown) => {
      if (error instanceof HttpError && error.status === 401) this.#options.onKeyLost?.();
      throw error;
    });
    this.#session = { resource: session.resource, headers };
    // Called off while the server answered: it has a session that nobody wants.
    if (signal.aborted) {
      void this.#end();
      return;
    }
    this.#watch(connection);
    // Before the description, since that begins the search for ways.
    if (session.iceServers.length > 0) connection.setConfiguration({ iceServers: session.iceServers });
    await connection.setLocalDescription(offer);
    const startKbps = Math.round((outgoing.bitrate * 0.8) / 1000);
    await connection.setRemoteDescription({ type: "answer", sdp: tuneAnswer(session.answer, { startKbps }) });
    await this.#limit(connection);
  }

  #send(connection: RTCPeerConnection, { video, audio, bitrate, rate, simulcast }: Outgoing): void {
    const stream = new MediaStream();
    connection.addTransceiver(audio, { direction: "sendonly", streams: [stream] });
    if (!video) return;
    const sendEncodings: RTCRtpEncodingParameters[] = simulcast
      ? [
          { rid: "h", maxBitrate: bitrate, maxFramerate: rate },
          { rid: "m", maxBitrate: bitrate / 3, maxFramerate: rate, scaleResolutionDownBy: 2 },
        ]
      : [{ maxBitrate: bitrate, maxFramerate: rate }];
    const transceiver = connection.addTransceiver(video, {
      direction: "sendonly",
      streams: [stream],
      sendEncodings,
    });
    const codecs = globalThis.RTCRtpSender?.getCapabilities?.("video")?.codecs;
    if (codecs) transceiver.setCodecPreferences(h264First(codecs));
  }

  #watch(connection: RTCPeerConnection): void {
    const late = () => this.#broke(new NoWayError());
    this.#timer = setTimeout(late, CONNECT_LIMIT_MS);
    connection.onconnectionstatechange = () => {
      if (connection !== this.#connection) return;
      switch (connection.connectionState) {
        case "connected":
          clearTimeout(this.#timer);
          this.#attempt = null;
          this.#been = true;
          this.#wait = FIRST_WAIT_MS;
          this.#show({ kind: "on" });
          break;
        case "disconnected":
          clearTimeout(this.#timer);
          this.#timer = setTimeout(() => this.#broke(null), DISCONNECTED_LIMIT_MS);
          break;
        case "failed":
        case "closed":
          this.#broke(this.#been ? null : new NoWayError());
      }
    };
  }

  /** Bit rate and frame rate of what is sent now. */
  async #limit(connection: RTCPeerConnection): Promise<void> {
    if (!this.#outgoing) return;
    const { bitrate, rate } = this.#outgoing;
    for (const { sender } of connection.getTransceivers()) {
      if (sender.track?.kind !== "video") continue;
      const parameters = sender.getParameters();
      parameters.encodings.forEach((encoding, index) => {
        encoding.maxBitrate = index === 0 ? bitrate : bitrate / 3;
        encoding.maxFramerate = rate;
      });
      // Refused while a negotiation is under way, after which it is said again.
      await sender.setParameters(parameters).catch(() => {});
    }
  }

  #broke(error: unknown): void {
    if (!this.#outgoing) return;
    this.#drop();
    const final = error instanceof HttpError && FINAL.includes(error.status);
    if (final || !this.#been) {
      this.#outgoing = null;
      void this.#end();
      this.#show({ kind: "failed", error });
      return;
    }
    this.#show({ kind: "again", error });
    this.#timer = setTimeout(() => void this.#connect(), this.#wait);
    this.#wait = Math.min(this.#wait * 2, LAST_WAIT_MS);
  }

  /** Leaves the present connection, whatever it was doing. */
  #drop(): void {
    clearTimeout(this.#timer);
    this.#attempt?.abort();
    this.#attempt = null;
    const connection = this.#connection;
    this.#connection = null;
    if (this.#last) this.#dropped += sentReading(this.#last, null).dropped;
    this.#last = null;
    if (!connection) return;
    connection.onconnectionstatechange = null;
    connection.close();
  }

  /** Tells the server that the session is over; forgotten only when it has heard it. */
  async #end(): Promise<void> {
    const session = this.#session;
    if (!session) return;
    const gone = await closeWhip(session.resource, session.headers, this.#options.fetcher);
    if (gone && this.#session === session) this.#session = null;
  }

  #show(state: PublishState): void {
    this.#state = state;
    this.#options.onChange(state);
  }
}
