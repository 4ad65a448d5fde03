import type { Dated } from "./clock";
import type { DashInstance } from "./quality/dash";
import type { HlsInstance } from "./quality/hls";
import type { RtcPlayer } from "./quality/rtc";

/** The part of OvenPlayer that this program uses; the package brings no types. */

export interface OvenPlayerInstance extends RtcPlayer {
  on(event: "error", handler: (error: OvenError) => void): void;
  on(event: "mute", handler: (data: { mute: boolean }) => void): void;
  on(event: "volumeChanged", handler: (data: { volume: number; mute: boolean }) => void): void;
  /** WebRTC: made, with nothing set on it. */
  on(event: "peerConnectionPrepared", handler: (connection: RTCPeerConnection) => void): void;
  /** The library is there, and has not loaded anything. */
  on(event: "hlsPrepared", handler: (hls: HlsInstance) => void): void;
  on(event: "dashPrepared", handler: (dash: DashInstance) => void): void;
  on(event: "stateChanged" | "ready" | "destroy", handler: () => void): void;
  load(sources: OvenSource[]): unknown;
  play(): void;
  stop(): void;
  remove(): void;
  setMute(mute: boolean): void;
  getMute(): boolean | null;
  getState(): string | null;
  getMediaElement(): HTMLVideoElement | null;
  /** hls.js or dash.js, whichever is at work. */
  getMseInstance(): (Dated & { latency?: number; getCurrentLiveLatency?: () => number }) | null;
}

export interface OvenError {
  code?: number;
  message?: string;
  /** What is behind it; of 501, the server's words. The object is the same for every error of its code. */
  error?: unknown;
}

export interface OvenSource {
  type: string;
  file: string;
  label: string;
}

export interface OvenPlayerStatic {
  create(element: HTMLElement, config: Record<string, unknown>): OvenPlayerInstance;
}
