import { chaseWhenNear } from "./catchup";
import { momentOf, type PictureTime } from "./clock";
import { dashConfig, hlsConfig } from "./config";
import type { Engine, Sample } from "./engine";
import { type Failure, failureOf } from "./failure";
import { labelControls } from "./labels";
import { loadLibraries } from "./libraries";
import type { OvenError, OvenPlayerInstance, OvenPlayerStatic, OvenSource } from "./ovenplayer-api";
import { followDash } from "./quality/dash";
import { followHls, type LadderEvents } from "./quality/hls";
import type { Ladder } from "./quality/levels";
import type { Offer } from "./quality/offers";
import { followRtc } from "./quality/rtc";
import { onPictureRefused } from "./rtc/lacking";
import { RtcMeter } from "./rtc/meter";
import { addressOf, type Source } from "./sources";

/** What the engine tells of levels, and has to know for it. */
export interface LevelHooks {
  /** The levels of what was loaded; null when it is gone. */
  onLadder(ladder: Ladder | null): void;
  /** The player could not have a level: the server's words, or null when the browser cannot play it. */
  onRefused(index: number, text: string | null): void;
  /** Ids of the tracks that the broadcaster sends. */
  sources(): ReadonlySet<string>;
  /** Names of what the server makes of them. */
  made(): ReadonlySet<string>;
  /** What the server offers. */
  offers(): Promise<readonly Offer[]>;
  /** OvenPlayer has drawn its controls, or they are gone. */
  onControls(): void;
}

/**
 * OvenPlayer as an engine: one source at a time. Its own `autoFallback` moves on only after an error that it
 * notices, once down the list, and needs every library loaded beforehand; a playlist that hangs or a picture
 * that freezes is no error to it. So it is switched off, and the controller decides.
 */
export class OvenEngine implements Engine {
  onError: (failure: Failure) => void = () => {};
  /** Called when the browser refused sound and the player went on without. */
  onAutoMute: () => void = () => {};
  onUnmute: () => void = () => {};
  #player: OvenPlayerInstance | null = null;
  /** What the player was given last. */
  #source: Source | null = null;
  #rtc: RtcMeter | null = null;
  /** There has been a picture; OvenPlayer takes it away before it tells of an error. */
  #played = false;
  /** Where a picture stood still that the browser says goes on. */
  #held: number | null = null;
  #volume = 100;
  /** Counts loads, so that one which was overtaken while its library arrived does nothing. */
  #generation = 0;

  constructor(
    private readonly host: HTMLElement,
    private readonly hooks: LevelHooks,
    private muted = false,
  ) {}

  get player(): OvenPlayerInstance | null {
    return this.#player;
  }

  /** How WebRTC is doing; null while something else plays. */
  get rtc(): RtcMeter | null {
    return this.#rtc;
  }

  link(): "connecting" | "connected" | null {
    if (this.#source?.type !== "webrtc") return null;
    return this.#rtc?.connection.connectionState === "connected" ? "connected" : "connecting";
  }

  prepare(source: Source): void {
    // It fails again, and is told, when it is needed.
    loadLibraries(source.type).catch(() => {});
  }

  async load(source: Source): Promise<void> {
    this.#generation += 1;
    const generation = this.#generation;
    const oven = await loadLibraries(source.type);
    if (generation !== this.#generation) return;
    this.#forget();
    this.#source = source;
    const sources = [{ type: source.type, file: addressOf(source), label: source.type }];
    // Keeping the player keeps volume, mute and full screen over a change of source.
    if (this.#player && this.#reload(this.#player, sources)) return;
    this.#remove();
    this.#player = this.#create(oven, sources);
  }

  sample(): Sample | null {
    const video = this.#video();
    if (!video) return null;
    const { currentTime, paused, ended, readyState: ready } = video;
    this.#played ||= ready >= 2 && currentTime > 0;
    this.#held = this.#rtc?.frozen ? (this.#held ?? currentTime) : null;
    return { time: this.#held ?? currentTime, paused, ended, ready, latency: this.#latency() };
  }

  /** Which moment of the broadcast is on the screen. */
  picture(): PictureTime | null {
    if (!this.#video()) return null;
    const at = this.#rtc ? null : momentOf(this.#library());
    return { at, behind: this.#latency() };
  }

  /** Frames that were on the screen so far. */
  frames(): number | null {
    return this.#video()?.getVideoPlaybackQuality().totalVideoFrames ?? null;
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
    this.#forget();
    this.#remove();
  }

  #forget(): void {
    this.#rtc?.stop();
    this.#rtc = null;
    this.#held = null;
    this.#played = false;
    this.#source = null;
    this.hooks.onLadder(null);
  }

  #remove(): void {
    const player = this.#player;
    this.#player = null;
    try {
      player?.remove();
    } catch {
      // A player that broke while being set up may not come apart cleanly; its elements go all the same.
    }
    this.host.replaceChildren();
    this.hooks.onControls();
  }

  #create(oven: OvenPlayerStatic, sources: OvenSource[]): OvenPlayerInstance {
    // OvenPlayer replaces the element that it is given, so it gets one of its own.
    const place = document.createElement("div");
    this.host.replaceChildren(place);
    const player = oven.create(place, {
      sources,
      autoStart: true,
      mute: this.muted,
      volume: this.#volume,
      autoFallback: false,
      autoMuteRetryOnNotAllowed: true,
      showBigPlayButton: false,
      expandFullScreenUI: true,
      hlsConfig,
      dashConfig,
    });
    this.#controls();
    // Once ready, OvenPlayer may have drawn its controls anew.
    player.on("ready", () => this.#controls());
    player.on("hlsPrepared", (hls) => followHls(hls, this.hooks.sources(), this.#levels()));
    player.on("dashPrepared", (dash) => {
      chaseWhenNear(dash);
      followDash(dash, this.hooks.sources(), () => this.hooks.offers(), this.#levels());
    });
    player.on("peerConnectionPrepared", (connection) => this.#connect(player, connection));
    player.on("error", (error) => {
      if (player === this.#player) this.onError(this.#failure(error));
    });
    player.on("volumeChanged", ({ volume }) => {
      this.#volume = volume;
    });
    player.on("mute", ({ mute }) => {
      this.muted = mute;
      if (!mute) this.onUnmute();
      // Nobody has touched the page, so it was the browser that wanted silence.
      else if (!navigator.userActivation?.hasBeenActive) this.onAutoMute();
    });
    return player;
  }

  #connect(player: OvenPlayerInstance, connection: RTCPeerConnection): void {
    if (player !== this.#player || this.#source?.type !== "webrtc") return;
    this.#rtc?.stop();
    const meter = new RtcMeter(connection);
    this.#rtc = meter;
    onPictureRefused(connection, () => {
      if (this.#rtc === meter) this.onError({ reason: "negotiation", detail: "" });
    });
    const stream = { made: () => this.hooks.made(), offers: () => this.hooks.offers() };
    followRtc(player, stream, () => this.#rtc === meter, this.#levels());
  }

  #failure(error: OvenError): Failure {
    const said = error.code === 501 && typeof error.error === "string" ? error.error : "";
    // The object is one for all errors of its code: what this one says would be said by the next.
    if (error.code === 501) delete error.error;
    const detail = error.code !== undefined && error.code >= 500 ? said : (error.message ?? "");
    return failureOf(error.code, detail, this.#played);
  }

  #controls(): void {
    labelControls(this.host);
    this.hooks.onControls();
  }

  /** Hooks for what is being loaded now; they do nothing once something else is. */
  #levels(): LadderEvents {
    const generation = this.#generation;
    return {
      ready: (ladder) => {
        if (generation === this.#generation) this.hooks.onLadder(ladder);
      },
      refused: (index, text) => {
        if (generation === this.#generation) this.hooks.onRefused(index, text);
      },
    };
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

  #library(): ReturnType<OvenPlayerInstance["getMseInstance"]> {
    try {
      return this.#player?.getMseInstance() ?? null;
    } catch {
      // As with `#video`.
      return null;
    }
  }

  #latency(): number | null {
    if (this.#rtc) return this.#rtc.reading?.delay ?? null;
    try {
      const library = this.#library();
      const value = library?.getCurrentLiveLatency?.() ?? library?.latency;
      return value !== undefined && Number.isFinite(value) && value > 0 ? value : null;
    } catch {
      return null;
    }
  }
}
