import { PictureClock, type PictureTime } from "./clock";

/** The picture's clock for a window of its own with the chat: the page with the picture tells it. */

type Channel = Pick<BroadcastChannel, "postMessage" | "close" | "onmessage">;

const TELL_MS = 500;
/** A page that has said nothing for so long is closed, or sleeps. */
const STALE_MS = 2_500;

/** Tells other pages of this browser where the picture is. The result ends it. */
export function shareClock(
  stream: string,
  clock: PictureClock,
  channel: Channel | null = open(stream),
): () => void {
  if (!channel) return () => {};
  const timer = setInterval(() => channel.postMessage(clock.read()), TELL_MS);
  return () => {
    clearInterval(timer);
    channel.postMessage(null);
    channel.close();
  };
}

/** The clock of the page that has the picture, if one is open; `close` is to be called. */
export function sharedClock(
  stream: string,
  channel: Channel | null = open(stream),
  now: () => number = () => performance.now(),
): { clock: PictureClock; close: () => void } {
  const clock = new PictureClock();
  if (!channel) return { clock, close: () => {} };
  let told: { time: PictureTime; heard: number; moving: boolean } | null = null;
  channel.onmessage = ({ data }) => {
    const time = readTime(data);
    told = time && { time, heard: now(), moving: time.at !== null && time.at > (told?.time.at ?? time.at) };
  };
  clock.follow(() => {
    if (!told) return null;
    const age = now() - told.heard;
    if (age > STALE_MS) return null;
    const { at, behind } = told.time;
    return { at: at === null ? null : at + (told.moving ? Math.min(age, TELL_MS) : 0), behind };
  });
  return { clock, close: () => channel.close() };
}

/** Null where browsers have no such thing, or keep it from a frame. */
function open(stream: string): Channel | null {
  try {
    return new BroadcastChannel(`ghostlive.picture.${stream}`);
  } catch {
    return null;
  }
}

/** Other versions of this page may speak on the same channel. */
function readTime(data: unknown): PictureTime | null {
  if (typeof data !== "object" || data === null) return null;
  const { at, behind } = data as Partial<PictureTime>;
  return { at: numberOf(at), behind: numberOf(behind) };
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
