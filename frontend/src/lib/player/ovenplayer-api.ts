/** The part of OvenPlayer that this program uses; the package brings no types. */

export interface OvenPlayerInstance {
  on(event: "error", handler: (error: { code?: number; message?: string }) => void): void;
  on(event: "mute", handler: (data: { mute: boolean }) => void): void;
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
  getMseInstance(): { latency?: number; getCurrentLiveLatency?: () => number } | null;
}

export interface OvenSource {
  type: string;
  file: string;
  label: string;
}

export interface OvenPlayerStatic {
  create(element: HTMLElement, config: Record<string, unknown>): OvenPlayerInstance;
}
