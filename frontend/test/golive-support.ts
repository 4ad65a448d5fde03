/** Tracks, devices and connections without a camera or a network. */

export class FakeTrack extends EventTarget {
  readyState: "live" | "ended" = "live";
  contentHint = "";
  onended: (() => void) | null = null;
  readonly constraints: unknown[] = [];

  constructor(
    readonly kind: "audio" | "video",
    readonly label: string,
  ) {
    super();
  }

  stop(): void {
    this.readyState = "ended";
  }

  async applyConstraints(constraints: unknown): Promise<void> {
    this.constraints.push(constraints);
  }
}

export class FakeStream {
  constructor(readonly tracks: readonly unknown[] = []) {}
  getVideoTracks(): FakeTrack[] {
    return this.#of("video");
  }
  getAudioTracks(): FakeTrack[] {
    return this.#of("audio");
  }
  #of(kind: string): FakeTrack[] {
    return (this.tracks as FakeTrack[]).filter((track) => track.kind === kind);
  }
}

/** Locks of all pages of a browser: those of one that ends are gone with it. */
export class FakeLocks {
  readonly held = new Set<string>();

  async request(name: string, granted: () => Promise<void>): Promise<void> {
    this.held.add(name);
    await granted();
    this.held.delete(name);
  }

  async query() {
    return { held: [...this.held].map((name) => ({ name, mode: "exclusive" })) };
  }
}

export function named(name: string): Error {
  return Object.assign(new Error(name), { name });
}

export class FakeMedia {
  /** What is asked next fails with this. */
  fails: { camera?: string; microphone?: string; screen?: string } = {};
  screenSound = true;
  readonly asked: unknown[] = [];
  readonly tracks: FakeTrack[] = [];

  async getUserMedia(constraints: {
    video?: { deviceId?: { exact: string } };
    audio?: { deviceId?: { exact: string } };
  }) {
    this.asked.push(constraints);
    const kind = constraints.video ? "camera" : "microphone";
    const failure = this.fails[kind];
    const chosen = (constraints.video ?? constraints.audio)?.deviceId?.exact;
    if (chosen === "gone") throw named("OverconstrainedError");
    if (failure) throw named(failure);
    return this.#stream(new FakeTrack(constraints.video ? "video" : "audio", chosen ?? kind));
  }

  async getDisplayMedia(constraints: { audio: unknown }) {
    this.asked.push(constraints);
    if (this.fails.screen) throw named(this.fails.screen);
    const sound = constraints.audio && this.screenSound ? [new FakeTrack("audio", "screen")] : [];
    return this.#stream(new FakeTrack("video", "screen"), ...sound);
  }

  async enumerateDevices() {
    const device = (kind: string, deviceId: string, label: string) => ({ kind, deviceId, label });
    return [
      device("videoinput", "cam1", "Front"),
      device("videoinput", "cam2", ""),
      device("audioinput", "mic1", "Desk"),
      device("audiooutput", "out", "Loud"),
    ] as MediaDeviceInfo[];
  }

  #stream(...tracks: FakeTrack[]) {
    this.tracks.push(...tracks);
    return new FakeStream(tracks) as unknown as MediaStream;
  }
}

interface FakeSender {
  track: FakeTrack | null;
  parameters: { encodings: { maxBitrate?: number; maxFramerate?: number; rid?: string }[] };
  getParameters(): FakeSender["parameters"];
  setParameters(parameters: FakeSender["parameters"]): Promise<void>;
  replaceTrack(track: FakeTrack | null): Promise<void>;
}

export class FakeConnection {
  connectionState: RTCPeerConnectionState = "new";
  onconnectionstatechange: (() => void) | null = null;
  readonly senders: FakeSender[] = [];
  readonly did: string[] = [];
  readonly preferred: unknown[] = [];
  answer = "";
  report: [string, unknown][] = [];

  addTransceiver(
    track: FakeTrack,
    { sendEncodings = [{}] }: { sendEncodings?: FakeSender["parameters"]["encodings"] },
  ) {
    const sender: FakeSender = {
      track,
      parameters: { encodings: sendEncodings.map((encoding) => ({ ...encoding })) },
      getParameters: () => structuredClone(sender.parameters),
      setParameters: async (parameters) => {
        sender.parameters = parameters;
      },
      replaceTrack: async (next) => {
        sender.track = next;
      },
    };
    this.senders.push(sender);
    return { sender, setCodecPreferences: (codecs: unknown) => this.preferred.push(codecs) };
  }
  getTransceivers() {
    return this.senders.map((sender) => ({ sender }));
  }
  async createOffer() {
    return { type: "offer", sdp: "v=0 offer" };
  }
  setConfiguration(): void {
    this.did.push("configured");
  }
  async setLocalDescription() {
    this.did.push("local");
  }
  async setRemoteDescription({ sdp }: { sdp: string }) {
    this.did.push("remote");
    this.answer = sdp;
  }
  async getStats() {
    return this.report;
  }
  become(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }
  close(): void {
    this.connectionState = "closed";
  }
}

/** `fetch` of a WHIP server: answers in turn, the last for ever. */
export class FakeWhip {
  readonly asked: { method: string; url: string; headers: Headers; body: unknown }[] = [];
  answers: (Response | Error)[] = [];
  #count = 0;

  readonly fetch = async (url: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const method = init.method ?? "GET";
    this.asked.push({ method, url: String(url), headers: new Headers(init.headers), body: init.body });
    if (init.signal?.aborted) throw named("AbortError");
    if (method === "DELETE") return new Response(null, { status: 200 });
    const answer = this.answers.shift();
    if (answer instanceof Error) throw answer;
    this.#count += 1;
    return answer ?? created(`/app/show/whip/${this.#count}`);
  };

  get said(): string[] {
    return this.asked.map(({ method, url }) => `${method} ${new URL(url, "http://localhost").pathname}`);
  }
}

export function created(location: string, headers: Record<string, string> = {}): Response {
  return new Response("v=0 answer", { status: 201, headers: { location, ...headers } });
}
