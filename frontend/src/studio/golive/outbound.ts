import { selectedPair, type Transport, transportOf } from "../../lib/player/rtc/stats";

/** Counters of what is sent, at one moment. */
export interface Sent {
  /** Milliseconds. */
  time: number;
  bytes: number;
  /** Of all that the camera gave. */
  captured: number;
  encoded: number;
  packets: number;
  lost: number;
  frameRate: number | null;
  width: number;
  height: number;
  roundTrip: number | null;
  /** What holds the picture back: `cpu`, `bandwidth`, or `none`. */
  limitation: string;
  transport: Transport | null;
}

/** How the broadcast is doing. */
export interface SentReading {
  /** Bits per second. */
  bitrate: number | null;
  frameRate: number | null;
  width: number;
  height: number;
  /** Frames that were not sent, of those that the camera gave, since the start. */
  dropped: number;
  /** Share of the packets that did not arrive, 0 to 1. */
  loss: number | null;
  /** Seconds there and back. */
  roundTrip: number | null;
  limitation: string;
  transport: Transport | null;
}

type Entry = Record<string, unknown> & { type: string; id: string };

export function sent(report: Iterable<[string, unknown]>, now: number): Sent {
  const entries = new Map([...report].map(([id, value]) => [id, value as Entry]));
  const found: Sent = {
    time: now,
    bytes: 0,
    captured: 0,
    encoded: 0,
    packets: 0,
    lost: 0,
    frameRate: null,
    width: 0,
    height: 0,
    roundTrip: null,
    limitation: "none",
    transport: null,
  };
  for (const entry of entries.values()) {
    if (entry.type === "outbound-rtp") outbound(entry, entries, found);
    else if (entry.type === "remote-inbound-rtp") found.lost += number(entry.packetsLost) ?? 0;
  }
  const pair = selectedPair(entries);
  if (pair) {
    found.roundTrip = number(pair.currentRoundTripTime);
    found.transport = transportOf(entries.get(String(pair.localCandidateId)));
  }
  return found;
}

export function sentReading(now: Sent, before: Sent | null): SentReading {
  const seconds = before ? (now.time - before.time) / 1000 : 0;
  const packets = before ? now.packets - before.packets : 0;
  const lost = before ? Math.max(0, now.lost - before.lost) : 0;
  return {
    bitrate: seconds > 0 && before ? (8 * Math.max(0, now.bytes - before.bytes)) / seconds : null,
    frameRate: now.frameRate,
    width: now.width,
    height: now.height,
    dropped: Math.max(0, now.captured - now.encoded),
    loss: packets > 0 ? Math.min(1, lost / packets) : null,
    roundTrip: now.roundTrip,
    limitation: now.limitation,
    transport: now.transport,
  };
}

function outbound(entry: Entry, entries: ReadonlyMap<string, Entry>, found: Sent): void {
  found.bytes += number(entry.bytesSent) ?? 0;
  found.packets += number(entry.packetsSent) ?? 0;
  if (entry.kind !== "video") return;
  const height = number(entry.frameHeight) ?? 0;
  // Of several sizes of a picture the largest speaks for all.
  if (height < found.height) return;
  found.height = height;
  found.width = number(entry.frameWidth) ?? 0;
  found.encoded = number(entry.framesEncoded) ?? 0;
  found.frameRate = number(entry.framesPerSecond);
  found.limitation = String(entry.qualityLimitationReason ?? "none");
  const source = entries.get(String(entry.mediaSourceId));
  found.captured = number(source?.frames) ?? found.encoded;
}

function number(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
