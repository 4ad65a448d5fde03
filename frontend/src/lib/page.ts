/** The stream that an address speaks of: `/{stream}` or `/embed/{stream}`. */
export function streamFromPath(path: string): string {
  const last = path.split("/").filter(Boolean).at(-1) ?? "";
  try {
    return decodeURIComponent(last);
  } catch {
    // Not valid percent-encoding: no stream has such a name, and the page will say so.
    return last;
  }
}
