/** A little longer than the server shows the same picture. */
const EVERY = 12_000;
const MOST_DOUBLINGS = 4;

/**
 * The address changes with time, since a browser does not load again what it has. It is the same for everybody who
 * looks at about the same time, so that caches on the way still help.
 */
export function thumbnailAddress(url: string, now: number): string {
  return `${url}?t=${Math.floor(now / EVERY)}`;
}

/** Milliseconds until the next picture is asked for: after failures in a row, seldom. */
export function thumbnailWait(began: number, failures: number, now: number): number {
  return Math.max(0, began + EVERY * 2 ** Math.min(failures, MOST_DOUBLINGS) - now);
}

/** Whether this person asked the browser to load little: one picture is enough then. */
export function savesData(): boolean {
  return (navigator as { connection?: { saveData?: boolean } }).connection?.saveData ?? false;
}
