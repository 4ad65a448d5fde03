/** What `RTCPeerConnection.getStats` says of a stream that is received (W3C webrtc-stats), cut to what is used. */

export interface Inbound {
  kind: "audio" | "video";
  packetsReceived: number;
  packetsLost: number;
  /** How often packets were asked for again. */
  nackCount: number;
  bytesReceived: number;
  jitterBufferDelay: number;
  jitterBufferEmittedCount: number;
  framesDecoded: number;
  framesPerSecond: number | null;
  totalDecodeTime: number;
}

/** Counters at one moment. */
export interface Snapshot {
  /** Milliseconds, of the browser's clock. */
  time: number;
  audio: Inbound | null;
  video: Inbound | null;
  /** Seconds there and back. */
  roundTrip: number | null;
  transport: Transport | null;
}

export type Transport = "udp" | "tcp" | "relay";

/** How it is doing, between two snapshots. */
export interface RtcReading {
  /** Seconds from the server to the screen. */
  delay: number | null;
  /** Seconds there and back. */
  roundTrip: number | null;
  frameRate: number | null;
  /** Bits per second. */
  bitrate: number | null;
  /** Share of the packets that did not arrive in time, 0 to 1. */
  loss: number | null;
  transport: Transport | null;
}

type Entry = Record<string, unknown> & { type: string; id: string };

export function snapshot(report: Iterable<[string, unknown]>, now: number): Snapshot {
  const entries = new Map([...report].map(([id, value]) => [id, value as Entry]));
  const found: Snapshot = { time: now, audio: null, video: null, roundTrip: null, transport: null };
  for (const entry of entries.values()) {
    if (entry.type !== "inbound-rtp") continue;
    if (entry.kind === "audio" || entry.kind === "video") found[entry.kind] = inbound(entry, entry.kind);
  }
  const pair = selectedPair(entries);
  if (pair) {
    found.roundTrip = number(pair.currentRoundTripTime);
    found.transport = transportOf(entries.get(String(pair.localCandidateId)));
  }
  return found;
}

export function reading(now: Snapshot, before: Snapshot | null): RtcReading {
  const seconds = before ? (now.time - before.time) / 1000 : 0;
  const lead = now.video ?? now.audio;
  return {
    delay: delayOf(now, before),
    roundTrip: now.roundTrip,
    frameRate: frameRateOf(now, before, seconds),
    bitrate: seconds > 0 ? (8 * (bytes(now) - bytes(before))) / seconds : null,
    loss: lead && before ? lossOf(now, before) : null,
    transport: now.transport,
  };
}

/** Whether anything came between the two that could be shown or heard. */
export function moved(now: Snapshot, before: Snapshot): boolean {
  if (now.video) return now.video.framesDecoded !== (before.video?.framesDecoded ?? 0);
  return (now.audio?.packetsReceived ?? 0) !== (before.audio?.packetsReceived ?? 0);
}

/** Seconds that the last frames waited for the picture to be even, were decoded, and were on their way. */
function delayOf(now: Snapshot, before: Snapshot | null): number | null {
  const kind = now.video ? "video" : "audio";
  const [a, b] = [before?.[kind] ?? null, now[kind]];
  if (!b) return null;
  const emitted = b.jitterBufferEmittedCount - (a?.jitterBufferEmittedCount ?? 0);
  if (emitted <= 0) return null;
  const waited = (b.jitterBufferDelay - (a?.jitterBufferDelay ?? 0)) / emitted;
  const decoded = b.framesDecoded - (a?.framesDecoded ?? 0);
  const decoding = decoded > 0 ? (b.totalDecodeTime - (a?.totalDecodeTime ?? 0)) / decoded : 0;
  return waited + decoding + (now.roundTrip ?? 0) / 2;
}

function frameRateOf(now: Snapshot, before: Snapshot | null, seconds: number): number | null {
  if (!now.video) return null;
  if (now.video.framesPerSecond !== null) return now.video.framesPerSecond;
  if (!before?.video || seconds <= 0) return null;
  return (now.video.framesDecoded - before.video.framesDecoded) / seconds;
}

function lossOf(now: Snapshot, before: Snapshot): number | null {
  let lost = 0;
  let received = 0;
  for (const kind of ["audio", "video"] as const) {
    lost += (now[kind]?.packetsLost ?? 0) - (before[kind]?.packetsLost ?? 0);
    received += (now[kind]?.packetsReceived ?? 0) - (before[kind]?.packetsReceived ?? 0);
  }
  // What is sent again and arrives after all is taken back, so that the count may go down.
  return lost + received > 0 ? Math.max(0, lost) / (Math.max(0, lost) + received) : null;
}

function bytes(at: Snapshot | null): number {
  return (at?.audio?.bytesReceived ?? 0) + (at?.video?.bytesReceived ?? 0);
}

function inbound(entry: Entry, kind: "audio" | "video"): Inbound {
  return {
    kind,
    packetsReceived: number(entry.packetsReceived) ?? 0,
    packetsLost: number(entry.packetsLost) ?? 0,
    nackCount: number(entry.nackCount) ?? 0,
    bytesReceived: number(entry.bytesReceived) ?? 0,
    jitterBufferDelay: number(entry.jitterBufferDelay) ?? 0,
    jitterBufferEmittedCount: number(entry.jitterBufferEmittedCount) ?? 0,
    framesDecoded: number(entry.framesDecoded) ?? 0,
    framesPerSecond: number(entry.framesPerSecond),
    totalDecodeTime: number(entry.totalDecodeTime) ?? 0,
  };
}

/** Chromium and Safari name the pair in the transport; Firefox marks the pair itself. */
export function selectedPair(entries: ReadonlyMap<string, Entry>): Entry | null {
  const all = [...entries.values()];
  const named = all.find(({ type }) => type === "transport")?.selectedCandidatePairId;
  const pair = named === undefined ? undefined : entries.get(String(named));
  const pairs = all.filter(({ type }) => type === "candidate-pair");
  return pair ?? pairs.find(({ selected }) => selected) ?? pairs.find(({ nominated }) => nominated) ?? null;
}

export function transportOf(candidate: Entry | undefined): Transport | null {
  if (!candidate) return null;
  if (candidate.candidateType === "relay") return "relay";
  return candidate.protocol === "tcp" ? "tcp" : candidate.protocol === "udp" ? "udp" : null;
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
