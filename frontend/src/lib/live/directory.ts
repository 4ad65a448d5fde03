import type { StreamInfo } from "../api";
import type { LiveEvent } from "./events";

/** The streams that a page knows. Null until the server has said anything. */
export type Directory = readonly StreamInfo[] | null;

/** Pure: the directory after an event. A snapshot replaces everything, as after a server restart. */
export function applyEvent(directory: Directory, event: LiveEvent): Directory {
  const known = directory ?? [];
  switch (event.type) {
    case "streams":
      return event.streams;
    case "stream":
      return known.some((stream) => stream.name === event.stream.name)
        ? known.map((stream) => (stream.name === event.stream.name ? event.stream : stream))
        : [...known, event.stream];
    case "removed":
      return known.filter((stream) => stream.name !== event.name);
  }
}

/** On the air, the newest broadcast first. An interrupted one may be back at once, but has no picture: it comes last. */
export function onAir(directory: Directory): StreamInfo[] {
  return (directory ?? [])
    .filter((stream) => stream.state !== "offline")
    .sort(
      (a, b) =>
        Number(a.state === "interrupted") - Number(b.state === "interrupted") ||
        (b.since ?? "").localeCompare(a.since ?? "") ||
        a.name.localeCompare(b.name),
    );
}

export function offAir(directory: Directory): StreamInfo[] {
  return (directory ?? [])
    .filter((stream) => stream.state === "offline")
    .sort((a, b) => displayTitle(a).localeCompare(displayTitle(b)));
}

export function displayTitle(stream: Pick<StreamInfo, "name" | "title">): string {
  return stream.title?.trim() || stream.name;
}
