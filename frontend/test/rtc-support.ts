interface Change {
  lost?: number;
  frames?: number;
  told?: boolean;
  video?: boolean;
  protocol?: string;
  kind?: string;
  pair?: "named" | "selected" | "nominated" | "none";
}

/** What `getStats` says after so many seconds of 2.5 Mb/s with 30 frames and 50 sounds a second. */
export function statsReport(seconds: number, change: Change = {}): [string, unknown][] {
  const { lost = 0, told = true, video = true, protocol = "udp", kind = "host", pair = "named" } = change;
  const frames = change.frames ?? Math.round(seconds * 30);
  const entries: Record<string, unknown>[] = [
    {
      id: "audio",
      type: "inbound-rtp",
      kind: "audio",
      packetsReceived: seconds * 50,
      packetsLost: 0,
      bytesReceived: seconds * 16_000,
      jitterBufferDelay: seconds * 48_000 * 0.06,
      jitterBufferEmittedCount: seconds * 48_000,
    },
    { id: "local", type: "local-candidate", protocol, candidateType: kind },
    { id: "out", type: "outbound-rtp", kind: "video" },
    {
      id: "pair",
      type: "candidate-pair",
      currentRoundTripTime: 0.04,
      ...(protocol && { localCandidateId: "local" }),
      ...(pair === "selected" && { selected: true }),
      ...(pair === "nominated" && { nominated: true }),
    },
    { id: "transport", type: "transport", ...(pair === "named" && { selectedCandidatePairId: "pair" }) },
  ];
  if (video) {
    entries.push({
      id: "video",
      type: "inbound-rtp",
      kind: "video",
      packetsReceived: seconds * 300,
      packetsLost: lost,
      bytesReceived: seconds * 312_500,
      jitterBufferDelay: seconds * 30 * 0.04,
      jitterBufferEmittedCount: seconds * 30,
      framesDecoded: frames,
      totalDecodeTime: frames * 0.005,
      ...(told && { framesPerSecond: 30 }),
    });
  }
  return entries.map((entry) => [String(entry.id), entry]);
}

/** A WebSocket that is told what happens. */
export class FakeSocket {
  url = "";
  readyState = 0;
  readonly said: unknown[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onclose: (() => void) | null = null;

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  hear(message: unknown): void {
    this.onmessage?.({ data: JSON.stringify(message) } as MessageEvent);
  }

  send(text: string): void {
    this.said.push(JSON.parse(text));
  }

  close(): void {
    this.readyState = 3;
  }
}

/** A peer connection without a network. */
export class FakePeer extends EventTarget {
  signalingState = "new";
  remoteDescription: RTCSessionDescriptionInit | null = null;
  /** What became of the picture that was offered. */
  picture: string | null = "recvonly";
  connectionState: RTCPeerConnectionState = "new";
  localDescription: RTCSessionDescriptionInit | null = null;
  refuses = false;
  readonly candidates: unknown[] = [];
  onconnectionstatechange: (() => void) | null = null;
  onicecandidate: ((event: { candidate: unknown }) => void) | null = null;

  async setRemoteDescription(sdp: RTCSessionDescriptionInit): Promise<void> {
    if (this.refuses) throw new Error("no common codec");
    this.remoteDescription = sdp;
    this.signalingState = "have-remote-offer";
    this.dispatchEvent(new Event("signalingstatechange"));
  }

  async setLocalDescription(): Promise<void> {
    this.localDescription = { type: "answer", sdp: "mine" };
    this.signalingState = "stable";
    this.dispatchEvent(new Event("signalingstatechange"));
  }

  getTransceivers() {
    const of = (kind: string, currentDirection: string | null) => ({
      receiver: { track: { kind } },
      currentDirection,
    });
    return [of("audio", "recvonly"), ...(this.picture === null ? [] : [of("video", this.picture)])];
  }

  async addIceCandidate(candidate: unknown): Promise<void> {
    this.candidates.push(candidate);
  }

  found(candidate: unknown): void {
    this.onicecandidate?.({ candidate });
  }

  become(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  close(): void {
    this.connectionState = "closed";
  }
}
