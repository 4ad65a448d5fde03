import type { StreamInfo } from "../api";

/**
 * What the server wrote into the page about its stream, so that the picture need not wait for a question and an
 * answer: null when there is no such stream, undefined when it wrote nothing (as the development server does).
 */
export function embeddedStream(name: string): StreamInfo | null | undefined {
  const text = document.getElementById("stream")?.textContent;
  if (!text) return undefined;
  try {
    const info = JSON.parse(text) as StreamInfo | null;
    return info === null || info.name === name ? info : undefined;
  } catch {
    return undefined;
  }
}
