import type { SourceInfo } from "../api";

/** The ways to play, best first: this list is the order in which they are tried. */
export const PROTOCOLS = ["webrtc", "llhls", "dash"] as const;

export type Protocol = (typeof PROTOCOLS)[number];

export interface Source {
  type: Protocol;
  url: string;
}

export interface Preferences {
  /** Goes first, whatever happened before: what the address asks for (`?source=dash`). */
  requested?: Protocol | null;
  /** Has failed lately: tried when everything else has failed too. */
  failed?: (type: Protocol) => boolean;
  /** What this browser can play at all. */
  playable?: (type: Protocol) => boolean;
}

export function isProtocol(value: unknown): value is Protocol {
  return (PROTOCOLS as readonly unknown[]).includes(value);
}

/** Some browsers are built or set up without WebRTC; everything else finds out by itself. */
export function canPlay(type: Protocol): boolean {
  return type !== "webrtc" || typeof RTCPeerConnection === "function";
}

/** What this page can play of what the server offers, in the order in which it is to be tried. */
export function orderSources(
  offered: readonly SourceInfo[],
  { requested = null, failed = () => false, playable = canPlay }: Preferences = {},
): Source[] {
  const good = PROTOCOLS.filter((type) => !failed(type));
  const bad = PROTOCOLS.filter(failed);
  const order = new Set([...(requested ? [requested] : []), ...good, ...bad]);
  return [...order].filter(playable).flatMap((type) => {
    const source = offered.find((candidate) => candidate.type === type);
    return source ? [{ type, url: source.url }] : [];
  });
}

/** The address as OvenPlayer wants it: WebRTC is arranged over a WebSocket of the same server. */
export function addressOf(source: Source, base: string = window.location.href): string {
  const url = new URL(source.url, base);
  if (source.type === "webrtc") url.protocol = url.protocol.replace(/^http/u, "ws");
  return url.href;
}

/** The sound alone, which the server has beside the LL-HLS source whatever plays. */
export function audioOnly(offered: readonly SourceInfo[]): SourceInfo | null {
  const master = offered.find(({ type }) => type === "llhls");
  return master ? { type: "llhls", url: master.url.replace(/[^/?]+(?=\?|$)/u, "audio.m3u8") } : null;
}

/** `?source=dash` puts DASH first: for support ("does the other one work for you?") and for tests. */
export function requestedProtocol(search: string): Protocol | null {
  const value = new URLSearchParams(search).get("source");
  return isProtocol(value) ? value : null;
}

export function sameSources(a: readonly SourceInfo[], b: readonly SourceInfo[]): boolean {
  return (
    a.length === b.length &&
    a.every((source, index) => source.type === b[index]?.type && source.url === b[index]?.url)
  );
}
