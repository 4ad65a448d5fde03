import { dashConfig, hlsConfig } from "./config";
import type { Engine, Sample } from "./engine";
import { labelControls } from "./labels";
import { loadLibraries } from "./libraries";
import type { OvenPlayerInstance, OvenPlayerStatic, OvenSource } from "./ovenplayer-api";
import type { Source } from "./sources";

/**
 * OvenPlayer as an engine: one source at a time. Its own `autoFallback` moves on only after an error that it
 * notices, once down the list, and needs every library loaded beforehand; a playlist that hangs or a picture
 * that freezes is no error to it. So it is switched off, and the controller decides.
 */
export class OvenEngine implements Engine {
  onError: (reason: string) => void = () => {};
  /** Called when the browser refused sound and the player went on without. */
  onAutoMute: () => void = () => {};
  onUnmute: () => void = () => {};
  #player: OvenPlayerInstance | null = null;
  /** Counts loads, so that one which was overtaken while its library arrived does nothing. */
  #generation = 0;

  constructor(private readonly host: HTMLElement) {}

  get player(): OvenPlayerInstance | null {
    return this.#player;
  }

  async load(source: Source): Promise<void> {
    this.#generation += 1;
    const generation = this.#generation;
    const oven = await loadLibraries(source.type);
    if (generation !== this.#generation) return;
    const sources = [{ type: source.type, file: absolute(source.url), label: source.type }];
    // Keeping the player keeps volume, mute and full screen over a change of source.
    if (this.#player && this.#reload(this.#player, sources)) return;
    this.stop();
    this.#player = this.#create(oven, sources);
  }

  sample(): Sample | null {
    const video = this.#video();
    if (!video) return null;
    const { currentTime: time, paused, ended, readyState: ready } = video;
    return { time, paused, ended, ready, latency: this.#latency() };
  }

  seekToLive(): void {
    const video = this.#video();
    if (!video || video.seekable.length === 0) return;
    const behind = this.#latency();
    // The library's own idea of the edge allows for what the server holds back; seekable's end does not.
    const target =
      behind === null ? video.seekable.end(video.seekable.length - 1) - 2 : video.currentTime + behind - 2;
    video.currentTime = Math.max(target, video.currentTime);
  }

  play(): void {
    this.#player?.play();
  }

  unmute(): void {
    this.#player?.setMute(false);
  }

  stop(): void {
    this.#generation += 1;
    const player = this.#player;
    this.#player = null;
    try {
      player?.remove();
    } catch {
      // A player that broke while being set up may not come apart cleanly; its elements go all the same.
    }
    this.host.replaceChildren();
  }

  #create(oven: OvenPlayerStatic, sources: OvenSource[]): OvenPlayerInstance {
    // OvenPlayer replaces the element that it is given, so it gets one of its own.
    const place = document.createElement("div");
    this.host.replaceChildren(place);
    const player = oven.create(place, {
      sources,
      autoStart: true,
      autoFallback: false,
      autoMuteRetryOnNotAllowed: true,
      showBigPlayButton: false,
      expandFullScreenUI: true,
      hlsConfig,
      dashConfig,
    });
    labelControls(this.host);
    // Once ready, OvenPlayer may have drawn its controls anew.
    player.on("ready", () => labelControls(this.host));
    player.on("error", (error) => {
      if (player === this.#player) this.onError(`${error.code ?? "?"} ${error.message ?? ""}`.trim());
    });
    player.on("mute", ({ mute }) => {
      if (!mute) this.onUnmute();
      // Nobody has touched the page, so it was the browser that wanted silence.
      else if (!navigator.userActivation?.hasBeenActive) this.onAutoMute();
    });
    return player;
  }

  #reload(player: OvenPlayerInstance, sources: OvenSource[]): boolean {
    try {
      player.load(sources);
      return true;
    } catch {
      return false;
    }
  }

  #video(): HTMLVideoElement | null {
    try {
      return this.#player?.getMediaElement() ?? null;
    } catch {
      // Thrown between two sources, when OvenPlayer has no provider.
      return null;
    }
  }

  #latency(): number | null {
    try {
      const library = this.#player?.getMseInstance();
      const value = library?.getCurrentLiveLatency?.() ?? library?.latency;
      return value !== undefined && Number.isFinite(value) && value > 0 ? value : null;
    } catch {
      return null;
    }
  }
}

function absolute(url: string): string {
  return new URL(url, window.location.href).href;
}
