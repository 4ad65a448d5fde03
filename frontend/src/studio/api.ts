import type { AudioTrack, StreamInfo, VideoTrack } from "../lib/api";
import { type Http, HttpError, type Method } from "../lib/http";
import { ModerationApi } from "./moderation/api";

/** What the server says to who may manage streams. The server's OpenAPI page is the reference. */

export interface User {
  name: string;
  role: "owner" | "admin" | "streamer" | "moderator";
}

export interface Key {
  id: number;
  /** The last characters of the key, to tell keys apart. */
  hint: string;
  label: string;
  created_at: string;
  last_used_at: string | null;
}

export interface NewKey extends Key {
  /** The key itself. The server tells it once and keeps only a hash. */
  secret: string;
}

export interface IngestAddress {
  protocol: string;
  url: string;
}

export interface Publisher {
  protocol: string;
  agent: string;
  address: string;
  since: string;
}

interface Measured {
  measured_bitrate?: number | null;
}

export interface IngestVideo extends VideoTrack, Measured {
  measured_frame_rate?: number | null;
  /** Seconds between the keyframes, as measured. */
  keyframe_interval?: number | null;
  b_frames?: boolean | null;
}

export type IngestTrack = IngestVideo | (AudioTrack & Measured);

export interface AdviceItem {
  code: string;
  severity: "problem" | "warning" | "hint";
  values: Record<string, unknown>;
}

export interface Ingest {
  addresses: IngestAddress[];
  publisher: Publisher | null;
  tracks: IngestTrack[];
  advice: AdviceItem[];
}

export interface Rendition {
  id: string;
  name: string;
  kind: "video" | "audio";
  /** As `h264`. */
  codec: string;
  width: number;
  height: number;
  /** As encoded now, when it was thinned. */
  frame_rate: number | null;
  bitrate: number;
  /** Null for what the encoder of the streamer sends. */
  mode: RenditionMode | null;
  /** One that this page does not know is shown as it is. */
  state: string;
  /** FFmpeg's name, while it runs. */
  encoder: string;
  hardware: boolean;
  /** Seconds of media that could be made in a second. */
  speed: number | null;
  /** Cores. */
  cpu: number | null;
  frames_dropped: number;
  reason: string;
  viewers: number;
}

export interface TranscodeWarning {
  code: string;
  values: Record<string, unknown>;
}

export interface Machine {
  cores: number;
  cores_used: number;
  memory: number;
  memory_used: number;
  workers: number;
}

export interface Renditions {
  live: boolean;
  renditions: Rendition[];
  left_out: { name: string; reason: string }[];
  warnings: TranscodeWarning[];
  machine: Machine | null;
}

export type RenditionMode = "demand" | "always" | "never";
export type RenditionCodec = "h264" | "av1" | "vp8";

/** A row of a ladder. */
export interface RenditionSetting {
  height: number;
  /** 0: the source's. */
  frame_rate: number;
  /** Bits per second; 0: the server chooses. */
  bitrate: number;
  codec: RenditionCodec;
  mode: RenditionMode;
  /** Empty: named after its size and rate. */
  name: string;
}

export interface Ladder {
  /** The stream's own; null while it has the server's default. */
  renditions: RenditionSetting[] | null;
  default: RenditionSetting[];
}

/** The calls of somebody who has signed in. `onSignedOut` is told when the session turns out to be over. */
export class StudioApi {
  constructor(
    private readonly http: Http,
    private readonly onSignedOut: () => void,
  ) {}

  async streams(): Promise<StreamInfo[]> {
    return (await this.#call<{ streams: StreamInfo[] }>("GET", "/api/v1/studio/streams")).streams;
  }

  create(stream: { name: string; title?: string }): Promise<{ stream: StreamInfo; key: NewKey }> {
    return this.#call("POST", "/api/v1/streams", stream);
  }

  change(name: string, change: { title?: string; description?: string }): Promise<StreamInfo> {
    return this.#call("PATCH", address(name), change);
  }

  remove(name: string): Promise<void> {
    return this.#call("DELETE", address(name));
  }

  end(name: string): Promise<void> {
    return this.#call("POST", address(name, "end"));
  }

  ingest(name: string, signal?: AbortSignal): Promise<Ingest> {
    return this.#call("GET", address(name, "ingest"), undefined, signal);
  }

  async keys(name: string): Promise<Key[]> {
    return (await this.#call<{ keys: Key[] }>("GET", address(name, "keys"))).keys;
  }

  addKey(name: string, key: { label: string; revoke_others: boolean }): Promise<NewKey> {
    return this.#call("POST", address(name, "keys"), key);
  }

  revokeKey(name: string, id: number): Promise<void> {
    return this.#call("DELETE", address(name, "keys", id));
  }

  /** The calls about the stream's chat. */
  moderation(name: string): ModerationApi {
    return new ModerationApi((method, url, body, signal) => this.#call(method, url, body, signal), name);
  }

  renditions(name: string, signal?: AbortSignal): Promise<Renditions> {
    return this.#call("GET", address(name, "renditions"), undefined, signal);
  }

  ladder(name: string): Promise<Ladder> {
    return this.#call("GET", address(name, "ladder"));
  }

  /** Null gives the stream the server's default again. */
  changeLadder(name: string, renditions: RenditionSetting[] | null): Promise<Ladder> {
    return this.#call("PUT", address(name, "ladder"), { renditions });
  }

  async #call<T>(method: Method, url: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    try {
      return await this.http<T>(method, url, { body, ...(signal && { signal }) });
    } catch (error) {
      if (error instanceof HttpError && error.status === 401) this.onSignedOut();
      throw error;
    }
  }
}

function address(name: string, ...rest: (string | number)[]): string {
  return ["/api/v1/streams", encodeURIComponent(name), ...rest].join("/");
}
