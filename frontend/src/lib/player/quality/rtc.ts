import type { LadderEvents } from "./hls";
import { type Found, orderLevels } from "./levels";
import type { Offer } from "./offers";

/** What OvenPlayer makes of a rendition that the server names (OvenMediaEngine's `playlist` notification). */
export interface RtcLevel {
  /** OvenMediaEngine writes digits in quotes. */
  bitrate: number | string;
  height: number;
  width: number;
  /** The rendition's name. */
  label: string;
}

/** The part of OvenPlayer that chooses among renditions; all of it works only while something plays. */
export interface RtcPlayer {
  getQualityLevels(): RtcLevel[] | null;
  getCurrentQuality(): number | null;
  setAutoQuality(auto: boolean): void;
  getProvider(): { setCurrentQuality(index: number): unknown } | null;
}

export interface RtcStream {
  /** What the server makes, by name; anything else is the broadcaster's own. */
  made(): ReadonlySet<string>;
  offers(): Promise<readonly Offer[]>;
}

const LOOK_MS = 200;

/**
 * WebRTC as a ladder. Here it is the server that sends what it likes, so Auto is its decision, by what it sees of loss
 * and of the way. Names and tracks are those of the LL-HLS playlist, with which a rendition is asked for beforehand.
 */
export function followRtc(
  player: RtcPlayer,
  stream: RtcStream,
  current: () => boolean,
  events: Pick<LadderEvents, "ready">,
): void {
  const provider = player.getProvider();
  const select = provider?.setCurrentQuality.bind(provider);
  // OvenPlayer asks for the first rendition of what it is about to leave whenever it loads something.
  if (provider) provider.setCurrentQuality = () => -1;
  // It tells nobody that the renditions have come.
  const timer = setInterval(() => {
    const levels = current() ? player.getQualityLevels() : [];
    if (levels?.length === 0 && current()) return;
    clearInterval(timer);
    if (levels && levels.length > 0) void tell([...levels]);
  }, LOOK_MS);

  async function tell(levels: RtcLevel[]): Promise<void> {
    const [known, made] = [await stream.offers(), stream.made()];
    if (!current()) return;
    const found = levels
      .map((level, index) => ({ ...describe(level, known, made), index }))
      .filter(({ height }) => height > 0);
    const ordered = orderLevels(found);
    if (ordered.length === 0) return;
    events.ready({
      levels: ordered.map(({ level }) => level),
      early: false,
      automatic: () => player.setAutoQuality(true),
      playing: () => {
        const now = player.getCurrentQuality();
        const at = ordered.findIndex(({ from }) => from.index === now);
        return at < 0 ? null : at;
      },
      select: (index) => {
        const entry = ordered[index]?.from;
        if (entry) select?.(entry.index);
      },
      bandwidth: () => null,
    });
  }
}

function describe(level: RtcLevel, known: readonly Offer[], made: ReadonlySet<string>): Found {
  const { label: name, width, height, bitrate } = level;
  const offer = known.find((candidate) => candidate.name === name);
  return {
    id: offer?.id ?? name,
    name,
    source: offer?.source ?? !made.has(name),
    width,
    height,
    frameRate: offer?.frameRate ?? Number(/p(\d+)$/u.exec(name)?.[1] ?? 0),
    bitrate: Number(bitrate) || (offer?.bitrate ?? 0),
    codec: offer?.codec ?? "",
  };
}
