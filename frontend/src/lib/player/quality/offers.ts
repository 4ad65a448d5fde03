import { codecName } from "../../format/codecs";
import type { Found } from "./levels";

/** A variant of a multivariant playlist that has a picture. */
export interface Offer extends Found {
  /** Of its media playlist. */
  url: string;
}

/** The id of the track in the address of anything that belongs to it: `…/{session}/{track}/media.m3u8`. */
export function trackOf(url: string): string {
  return decodeURIComponent(new URL(url, "http://localhost").pathname.split("/").at(-2) ?? "");
}

/** What a multivariant playlist (RFC 8216 §4.3.4.2) offers, in its order. */
export function parseOffers(playlist: string, base: string, sources: ReadonlySet<string>): Offer[] {
  const offers: Offer[] = [];
  let attributes: Map<string, string> | null = null;
  for (const line of playlist.split(/\r?\n/u)) {
    if (line.startsWith("#EXT-X-STREAM-INF:")) attributes = parseAttributes(line);
    else if (attributes && line && !line.startsWith("#")) {
      const [width = 0, height = 0] = (attributes.get("RESOLUTION") ?? "").split("x").map(Number);
      const url = new URL(line, base).href;
      const id = trackOf(url);
      if (height) {
        offers.push({
          id,
          url,
          name: attributes.get("NAME") ?? "",
          source: sources.has(id),
          width,
          height,
          frameRate: Number(attributes.get("FRAME-RATE") ?? 0),
          bitrate: Number(attributes.get("BANDWIDTH") ?? 0),
          codec: codecName(attributes.get("CODECS")?.split(",")[0] ?? ""),
        });
      }
      attributes = null;
    }
  }
  return offers;
}

function parseAttributes(line: string): Map<string, string> {
  const found = line.matchAll(/([A-Z0-9-]+)=("[^"]*"|[^,]*)/gu);
  return new Map([...found].map(([, key = "", value = ""]) => [key, value.replaceAll('"', "")]));
}

/** What the server offers of a stream; null when it cannot be asked. */
export async function askOffers(master: string, sources: ReadonlySet<string>): Promise<Offer[] | null> {
  try {
    const response = await fetch(master);
    return response.ok ? parseOffers(await response.text(), response.url, sources) : null;
  } catch {
    return null;
  }
}

/**
 * Has the server start a rendition, so that the player finds it running: the answer comes with the first picture.
 * Why it is refused, as the server says it, or null when it is not.
 */
export async function askFor(url: string, signal: AbortSignal): Promise<string | null> {
  let response: Response;
  try {
    response = await fetch(url, { signal, cache: "no-store" });
  } catch {
    // No answer is no refusal: the player finds out for itself.
    return null;
  }
  const body = await response.text().catch(() => "");
  return response.ok ? null : refusalText(body);
}

/** The sentence of a refusal: a problem document's, or a short plain text. */
export function refusalText(body: string): string {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === "object" && value !== null && "detail" in value) return String(value.detail);
    return "";
  } catch {
    const text = body.trim();
    return text.length > 300 || text.startsWith("<") ? "" : text;
  }
}
