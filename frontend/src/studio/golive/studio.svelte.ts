import { HttpError } from "../../lib/http";
import {
  CaptureError,
  type Devices,
  listDevices,
  type MediaSource,
  mediaSource,
  openCamera,
  openMicrophone,
  openScreen,
  pictureConstraints,
  screenConstraints,
} from "./capture";
import { Mixer } from "./mixer";
import type { SentReading } from "./outbound";
import { darkPicture } from "./placeholder";
import { type Outgoing, Publisher, type PublishState } from "./publisher";
import { bitrateOf, type PictureKind, type Settings, SettingsMemory, widthOf } from "./settings";
import type { Ticket } from "./ticket";
import { whipUrl } from "./whip";

const STATS_MS = 1_000;

export interface GoLiveTools {
  media: MediaSource | null;
  mixer(): Mixer;
  publisher(options: ConstructorParameters<typeof Publisher>[0]): Publisher;
  memory: SettingsMemory;
}

export function browserTools(): GoLiveTools {
  return {
    media: mediaSource(),
    mixer: () => new Mixer(),
    publisher: (options) => new Publisher(options),
    memory: new SettingsMemory(),
  };
}

/** A broadcast from this page: what is captured, how it is sent, and how that goes. */
export class GoLive {
  settings = $state<Settings>() as Settings;
  devices = $state.raw<Devices>({ cameras: [], microphones: [] });
  /** What the preview shows; null while there is nothing. */
  picture = $state.raw<MediaStreamTrack | null>(null);
  /** Whether a microphone, or the sound of a screen, is heard. */
  hears = $state.raw({ microphone: false, screen: false });
  muted = $state(false);
  problems = $state.raw<readonly CaptureError[]>([]);
  /** The person has ended the sharing, in the browser's own bar. */
  unshared = $state(false);
  opening = $state(false);
  /** Devices were asked for, and there is sound to measure. */
  open = $state(false);
  publishing = $state.raw<PublishState>({ kind: "off" });
  stats = $state.raw<SentReading | null>(null);
  /** When the broadcast went on the air, in milliseconds since 1970. */
  since = $state<number | null>(null);

  readonly #tools: GoLiveTools;
  #mixer: Mixer | null = null;
  #microphone: MediaStreamTrack | null = null;
  #screenSound: MediaStreamTrack | null = null;
  #dark: ReturnType<typeof darkPicture> | null = null;
  #publisher: Publisher | null = null;
  #ticket: Ticket | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #lock: WakeLockSentinel | null = null;
  #closed = false;

  constructor(tools: GoLiveTools = browserTools()) {
    this.#tools = tools;
    this.settings = tools.memory.recall();
  }

  /** Nothing to broadcast with: an old browser, or a page that did not come over HTTPS. */
  get usable(): boolean {
    return this.#tools.media !== null && typeof RTCPeerConnection === "function";
  }

  get sharesScreens(): boolean {
    return this.#tools.media?.getDisplayMedia !== undefined;
  }

  /** On the air, or about to be. */
  get live(): boolean {
    return this.publishing.kind !== "off" && this.publishing.kind !== "failed";
  }

  level(): number {
    return this.#mixer?.level() ?? 0;
  }

  /** Opens the devices that the settings name. Has to be called from a click, or browsers refuse. */
  async preview(): Promise<void> {
    if (!this.#tools.media || this.opening) return;
    this.opening = true;
    this.#mix();
    try {
      // First, as the click that it needs does not count for long.
      const problems = [await this.#openPicture(), await this.#openSound()].filter((found) => found !== null);
      this.problems = problems;
      await this.#mixer?.wake();
      await this.refresh();
    } finally {
      this.opening = false;
      if (this.#closed) this.close();
    }
  }

  /** Devices that came or went. */
  async refresh(): Promise<void> {
    if (this.#tools.media) this.devices = await listDevices(this.#tools.media);
  }

  async choosePicture(picture: PictureKind): Promise<void> {
    this.#set({ picture });
    // A screen is asked for by a click of its own: choosing with the arrow keys is none.
    if (this.open && picture !== "screen") await this.#again(() => this.#openPicture());
    else if (this.open && !this.live) this.#closePicture();
  }

  async chooseCamera(camera: string): Promise<void> {
    this.#set({ camera });
    if (this.open && this.settings.picture === "camera") await this.#again(() => this.#openPicture());
  }

  /** Null: none. */
  async chooseMicrophone(microphone: string | null): Promise<void> {
    this.#set(microphone === null ? { silent: true } : { silent: false, microphone });
    if (this.open) await this.#again(() => this.#openSound());
  }

  async shareScreen(): Promise<void> {
    this.#mix();
    await this.#again(() => this.#openPicture());
    await this.#mixer?.wake();
  }

  async chooseVoice(voice: boolean): Promise<void> {
    this.#set({ voice });
    if (this.open) await this.#again(() => this.#openSound());
  }

  /** Size, rate and bit rate; also on the air. */
  async chooseQuality(change: Partial<Pick<Settings, "size" | "rate" | "bitrate">>): Promise<void> {
    this.#set(change);
    const { settings, picture } = this;
    const wanted = settings.picture === "screen" ? screenConstraints(settings) : pictureConstraints(settings);
    // A camera that cannot goes on as it was.
    await picture?.applyConstraints?.(wanted).catch(() => {});
    await this.#publisher?.change({ bitrate: bitrateOf(settings), rate: settings.rate });
  }

  choose(change: Partial<Pick<Settings, "screenSound" | "simulcast" | "mirror">>): void {
    this.#set(change);
  }

  mute(muted: boolean): void {
    this.muted = muted;
    this.#mixer?.mute(muted);
  }

  start(stream: string, ticket: Ticket): void {
    if (this.live || !this.#mixer) return;
    this.#ticket = ticket;
    const publisher = this.#tools.publisher({
      url: whipUrl(stream),
      headers: () => ticket.headers(),
      onChange: (state) => this.#published(state),
      onKeyLost: () => ticket.lost(),
    });
    this.#publisher = publisher;
    this.since = null;
    this.stats = null;
    publisher.start(this.#outgoing(this.#mixer));
    void this.#keepAwake();
    this.#timer = setInterval(() => void this.#measure(publisher), STATS_MS);
  }

  async stop(): Promise<void> {
    const [publisher, ticket] = [this.#publisher, this.#ticket];
    this.#publisher = null;
    this.#ticket = null;
    this.#rest();
    this.publishing = { kind: "off" };
    await publisher?.stop();
    await ticket?.release();
    if (!this.picture) this.#light();
  }

  /** The network is back. */
  wake(): void {
    this.#publisher?.wake();
  }

  /** The page is seen again; browsers let the screen sleep as soon as it is not. */
  seen(): void {
    if (this.live) void this.#keepAwake();
  }

  /** Gives everything back. */
  close(): void {
    this.#closed = true;
    void this.stop();
    this.#closePicture();
    this.#microphone?.stop();
    this.#microphone = null;
    this.#mixer?.close();
    this.#mixer = null;
    this.open = false;
    this.#light();
  }

  #mix(): void {
    this.#mixer ??= this.#tools.mixer();
    this.open = true;
  }

  #set(change: Partial<Settings>): void {
    Object.assign(this.settings, change);
    this.#tools.memory.remember($state.snapshot(this.settings));
  }

  async #again(open: () => Promise<CaptureError | null>): Promise<void> {
    if (this.opening) return;
    this.opening = true;
    try {
      const problem = await open();
      this.problems = problem ? [problem] : [];
      await this.refresh();
    } finally {
      this.opening = false;
      if (this.#closed) this.close();
    }
  }

  async #openPicture(): Promise<CaptureError | null> {
    const { media } = this.#tools;
    const { picture } = this.settings;
    if (!media) return null;
    const before = this.picture;
    try {
      if (picture === "none") this.#closePicture();
      else if (picture === "camera") {
        // Phones have one camera at a time.
        if (before && !this.live) this.#closePicture();
        this.#showPicture(await openCamera(media, this.settings), null);
      } else {
        const { video, audio } = await openScreen(media, this.settings);
        this.#showPicture(video, audio);
      }
    } catch (error) {
      return error instanceof CaptureError ? error : new CaptureError("unknown", "camera");
    }
    this.unshared = false;
    await this.#publisher?.change({ video: this.#video() });
    return null;
  }

  #showPicture(track: MediaStreamTrack, sound: MediaStreamTrack | null): void {
    this.#closePicture();
    const { picture, rate } = this.settings;
    track.contentHint = picture === "screen" && rate < 30 ? "detail" : "motion";
    track.onended = () => this.#lost(track);
    this.picture = track;
    this.#screenSound = sound;
    this.#mixer?.set("screen", sound);
    this.hears = { ...this.hears, screen: sound !== null };
  }

  #closePicture(): void {
    for (const track of [this.picture, this.#screenSound]) {
      if (track) track.onended = null;
      track?.stop();
    }
    this.picture = null;
    this.#screenSound = null;
    this.#mixer?.set("screen", null);
    this.hears = { ...this.hears, screen: false };
  }

  /** The sharing was ended, or the camera unplugged: on the air, viewers see that nothing is shown. */
  #lost(track: MediaStreamTrack): void {
    if (this.picture !== track) return;
    this.unshared = this.settings.picture === "screen";
    if (!this.unshared) this.problems = [new CaptureError("missing", "camera")];
    this.#closePicture();
    void this.#publisher?.change({ video: this.#video() });
  }

  async #openSound(): Promise<CaptureError | null> {
    const { media } = this.#tools;
    if (!media || !this.#mixer) return null;
    let track: MediaStreamTrack | null = null;
    let problem: CaptureError | null = null;
    try {
      if (!this.settings.silent) track = await openMicrophone(media, this.settings);
    } catch (error) {
      problem = error instanceof CaptureError ? error : new CaptureError("unknown", "microphone");
      // What was heard until now is heard on.
      if (this.#microphone) return problem;
    }
    this.#microphone?.stop();
    this.#microphone = track;
    this.#mixer.set("microphone", track);
    this.hears = { ...this.hears, microphone: track !== null };
    if (track) {
      track.onended = () => {
        if (this.#microphone !== track) return;
        this.problems = [new CaptureError("missing", "microphone")];
        this.hears = { ...this.hears, microphone: false };
      };
    }
    return problem;
  }

  #outgoing(mixer: Mixer): Outgoing {
    const { rate, simulcast } = this.settings;
    return {
      video: this.#video(),
      audio: mixer.track,
      bitrate: bitrateOf(this.settings),
      rate,
      simulcast,
    };
  }

  #video(): MediaStreamTrack | null {
    if (this.picture || this.settings.picture === "none") {
      this.#light();
      return this.picture;
    }
    this.#dark ??= darkPicture(widthOf(this.settings.size), this.settings.size);
    return this.#dark.track;
  }

  #light(): void {
    this.#dark?.stop();
    this.#dark = null;
  }

  #published(state: PublishState): void {
    this.publishing = state;
    if (state.kind === "on") this.since ??= Date.now();
    if (state.kind !== "failed") return;
    this.#rest();
    this.#publisher = null;
    const ticket = this.#ticket;
    this.#ticket = null;
    // Refused or not, what was made for it is of no more use.
    if (!(state.error instanceof HttpError && state.error.status === 0)) void ticket?.release();
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.stats = null;
    void this.#lock?.release().catch(() => {});
    this.#lock = null;
  }

  async #measure(publisher: Publisher): Promise<void> {
    const found = await publisher.stats();
    if (publisher === this.#publisher) this.stats = found;
  }

  /** A phone that sleeps sends nothing. */
  async #keepAwake(): Promise<void> {
    if (this.#lock && !this.#lock.released) return;
    try {
      const lock = (await navigator.wakeLock?.request("screen")) ?? null;
      if (this.live) this.#lock = lock;
      else void lock?.release();
    } catch {
      // The battery is low, or the browser has none: the broadcast goes on all the same.
    }
  }
}
