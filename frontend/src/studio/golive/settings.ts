import { browserStore, type Store } from "../../lib/store";

export const PICTURES = ["camera", "screen", "none"] as const;
export const SIZES = [1080, 720, 480, 360] as const;
export const RATES = [60, 30, 15] as const;
/** Kilobits per second; 0 goes by size and rate. */
export const BITRATES = [0, 800, 1500, 2500, 4000, 6000, 8000] as const;

export type PictureKind = (typeof PICTURES)[number];

/** What somebody broadcasts with; device ids are the browser's, empty for its default. */
export interface Settings {
  picture: PictureKind;
  camera: string;
  microphone: string;
  /** No microphone at all. */
  silent: boolean;
  /** The sound of what is shared, too. */
  screenSound: boolean;
  /** Against echo and noise: good for a voice, bad for music. */
  voice: boolean;
  /** Lines. */
  size: (typeof SIZES)[number];
  rate: (typeof RATES)[number];
  bitrate: (typeof BITRATES)[number];
  /** Smaller pictures beside the large one, made here rather than by the server. */
  simulcast: boolean;
  /** The preview is a mirror; what is sent never is. */
  mirror: boolean;
}

export const DEFAULTS: Settings = {
  picture: "camera",
  camera: "",
  microphone: "",
  silent: false,
  screenSound: true,
  voice: true,
  size: 720,
  rate: 30,
  bitrate: 0,
  simulcast: false,
  mirror: true,
};

/** Kilobits per second that look good at 30 frames a second, by lines. */
const GOOD: Record<Settings["size"], number> = { 1080: 4500, 720: 2500, 480: 1200, 360: 800 };
const BY_RATE: Record<Settings["rate"], number> = { 60: 1.4, 30: 1, 15: 0.7 };

/** Bits per second for the picture. */
export function bitrateOf({ bitrate, size, rate }: Pick<Settings, "bitrate" | "size" | "rate">): number {
  return (bitrate || Math.round((GOOD[size] * BY_RATE[rate]) / 100) * 100) * 1000;
}

/** Sixteen to nine, as cameras and players have it. */
export function widthOf(size: number): number {
  return Math.round((size * 16) / 9 / 2) * 2;
}

const KEY = "ghostlive.golive";

/** Remembers how somebody broadcasts, in this browser. */
export class SettingsMemory {
  constructor(private readonly store: Store | null = browserStore()) {}

  recall(): Settings {
    let value: unknown = null;
    try {
      value = JSON.parse(this.store?.getItem(KEY) ?? "null");
    } catch {
      // Forbidden, or not ours.
    }
    if (typeof value !== "object" || value === null) return { ...DEFAULTS };
    const found = value as Partial<Record<keyof Settings, unknown>>;
    return {
      picture: among(PICTURES, found.picture, DEFAULTS.picture),
      camera: text(found.camera),
      microphone: text(found.microphone),
      silent: flag(found.silent, DEFAULTS.silent),
      screenSound: flag(found.screenSound, DEFAULTS.screenSound),
      voice: flag(found.voice, DEFAULTS.voice),
      size: among(SIZES, found.size, DEFAULTS.size),
      rate: among(RATES, found.rate, DEFAULTS.rate),
      bitrate: among(BITRATES, found.bitrate, DEFAULTS.bitrate),
      simulcast: flag(found.simulcast, DEFAULTS.simulcast),
      mirror: flag(found.mirror, DEFAULTS.mirror),
    };
  }

  remember(settings: Settings): void {
    try {
      this.store?.setItem(KEY, JSON.stringify(settings));
    } catch {
      // Only a convenience is lost.
    }
  }
}

function among<T>(allowed: readonly T[], value: unknown, otherwise: T): T {
  return (allowed as readonly unknown[]).includes(value) ? (value as T) : otherwise;
}

function text(value: unknown): string {
  return typeof value === "string" && value.length <= 200 ? value : "";
}

function flag(value: unknown, otherwise: boolean): boolean {
  return typeof value === "boolean" ? value : otherwise;
}
