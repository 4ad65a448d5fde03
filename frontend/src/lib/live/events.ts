import type { StreamInfo } from "../api";

/** What the event stream tells, as the page uses it. */
export type LiveEvent =
  | { type: "streams"; streams: StreamInfo[] }
  | { type: "stream"; stream: StreamInfo }
  | { type: "removed"; name: string };

export const EVENT_TYPES = ["streams", "stream", "removed"] as const;

/** Null for anything that is not understood: a newer server must not break an older page. */
export function parseEvent(type: string, data: string): LiveEvent | null {
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  if (type === "streams" && "streams" in value && Array.isArray(value.streams)) {
    return { type, streams: value.streams.filter(isStream) };
  }
  if (type === "stream" && isStream(value)) return { type, stream: value };
  if (type === "removed" && "name" in value && typeof value.name === "string") {
    return { type, name: value.name };
  }
  return null;
}

function isStream(value: unknown): value is StreamInfo {
  return (
    typeof value === "object" &&
    value !== null &&
    "name" in value &&
    typeof value.name === "string" &&
    "state" in value &&
    "sources" in value &&
    Array.isArray(value.sources) &&
    "tracks" in value &&
    Array.isArray(value.tracks)
  );
}
