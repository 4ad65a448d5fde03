/** Where the picture is, in the broadcast's time. */
export interface PictureTime {
  /** Milliseconds since 1970, by the server's clock, of what is on the screen; null where only the delay is known. */
  at: number | null;
  /** Seconds behind the broadcast; null where only the moment is known. */
  behind: number | null;
}

/** Tells what goes along with the picture how far it is. The page makes one; its player, while there is one, sets it. */
export class PictureClock {
  #look: (() => PictureTime | null) | null = null;
  #end: (() => void) | null = null;

  /**
   * A player says where it is, and how to take the picture away. The result takes both back, unless another one has come
   * meanwhile.
   */
  follow(look: () => PictureTime | null, end: (() => void) | null = null): () => void {
    this.#look = look;
    this.#end = end;
    return () => {
      if (this.#look !== look) return;
      this.#look = null;
      this.#end = null;
    };
  }

  /** The person may not watch any more, so what a player has in its buffer is not for them either. */
  end(): void {
    this.#end?.();
  }

  /** Null while nothing plays. */
  read(): PictureTime | null {
    return this.#look?.() ?? null;
  }
}

/** The part of hls.js and dash.js that says which moment is on the screen. */
export interface Dated {
  /** hls.js, by EXT-X-PROGRAM-DATE-TIME. */
  readonly playingDate?: Date | null;
  /** dash.js, by availabilityStartTime, in seconds since 1970. */
  timeAsUTC?: () => number;
}

/** Clocks that were never set begin in 1970. */
const PLAUSIBLE_MS = 1e12;

/** The moment on the screen, in milliseconds since 1970; null when the library does not know it. */
export function momentOf(library: Dated | null): number | null {
  if (!library) return null;
  const at = library.playingDate?.getTime() ?? (library.timeAsUTC?.() ?? Number.NaN) * 1000;
  return Number.isFinite(at) && at > PLAUSIBLE_MS ? at : null;
}
