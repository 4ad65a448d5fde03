/** Modules and globals of packages without types, cut to what is used. */

interface DashSettings {
  streaming?: Record<string, unknown>;
  [group: string]: unknown;
}

interface DashPlayer {
  initialize(...args: unknown[]): void;
  updateSettings(settings: DashSettings): void;
  clearDefaultUTCTimingSources(): void;
}

interface DashStatic {
  MediaPlayer: (() => { create(): DashPlayer }) & Record<string, unknown>;
}

interface Window {
  Hls?: unknown;
  dashjs?: DashStatic;
}

declare module "dashjs/dist/dash.mediaplayer.min.js" {
  const dashjs: DashStatic;
  export default dashjs;
}

declare module "ovenplayer" {
  const OvenPlayer: import("./ovenplayer-api").OvenPlayerStatic;
  export default OvenPlayer;
}
