import type { SourceInfo } from "../api";

/**
 * The ways to play, best first: this list is the order in which they are tried. WebRTC is added by putting
 * its entry on top and giving `libraries.ts` nothing to load for it, as OvenPlayer brings its own.
 */
export const PROTOCOLS = ["llhls", "dash"] as const;

export type Protocol = (typeof PROTOCOLS)[number];

export interface Source {
  type: Protocol;
  url: string;
}

export function isProtocol(value: unknown): value is Protocol {
  return (PROTOCOLS as readonly unknown[]).includes(value);
}

/**
 * What this page can play of what the server offers, in order. `first` names protocols to put on top: what
 * the address asks for (`?source=dash`), then what worked for this viewer before.
 */
export function orderSources(
  offered: readonly SourceInfo[],
  first: readonly (Protocol | null)[] = [],
): Source[] {
  const order = [...new Set([...first.filter((type) => type !== null), ...PROTOCOLS])];
  return order.flatMap((type) => {
    const source = offered.find((candidate) => candidate.type === type);
    return source ? [{ type, url: source.url }] : [];
  });
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
