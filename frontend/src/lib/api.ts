/** What the server says about streams, and how to ask. The server's OpenAPI page is the reference. */

export type StreamState = "live" | "interrupted" | "offline";

export interface VideoTrack {
  id: string;
  kind: "video";
  /** RFC 6381, such as `avc1.64001f`. */
  codec: string;
  width: number | null;
  height: number | null;
  frame_rate: number | null;
  /** Bits per second, as measured. */
  bitrate: number | null;
}

export interface AudioTrack {
  id: string;
  kind: "audio";
  codec: string;
  sample_rate: number | null;
  channels: number | null;
  bitrate: number | null;
}

export type Track = VideoTrack | AudioTrack;

export interface SourceInfo {
  /** A protocol name; one that this page does not know is left alone. */
  type: string;
  url: string;
}

export interface StreamInfo {
  name: string;
  title: string | null;
  description: string | null;
  state: StreamState;
  /** ISO 8601, when the present state of being live began. */
  since: string | null;
  tracks: Track[];
  /** Empty while offline. */
  sources: SourceInfo[];
  /** How many watch at the moment. */
  viewers: number;
  /** Whether the stream has a chat. */
  chat: boolean;
  /** Names of what can be had besides what the broadcaster sends; empty while offline. */
  renditions: string[];
  /** Path of a small picture of what is shown now; null without video and while offline. */
  thumbnail: string | null;
}

/** Why a request failed: the HTTP status, or 0 when no answer came at all. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
    this.name = "ApiError";
  }
}

/** @throws {ApiError} with status 404 when there is no such stream. */
export function getStream(name: string, signal?: AbortSignal): Promise<StreamInfo> {
  return getJson<StreamInfo>(`/api/v1/streams/${encodeURIComponent(name)}`, signal);
}

/** The address of the event stream, of one stream or of all. */
export function eventsUrl(stream?: string): string {
  return stream === undefined ? "/api/v1/events" : `/api/v1/events?stream=${encodeURIComponent(stream)}`;
}

async function getJson<T>(url: string, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch(url, { headers: { accept: "application/json" }, signal: signal ?? null });
  } catch (error) {
    throw new ApiError(0, String(error));
  }
  if (!response.ok) throw new ApiError(response.status, response.statusText);
  return (await response.json()) as T;
}
