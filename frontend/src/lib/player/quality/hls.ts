import { codecName } from "../../format/codecs";
import { type Ladder, orderLevels } from "./levels";
import { refusalText, trackOf } from "./offers";

/** The part of hls.js that is used here. */
export interface HlsLevel {
  name?: string | undefined;
  uri: string;
  width: number;
  height: number;
  frameRate: number;
  bitrate: number;
  videoCodec?: string | undefined;
}

interface Stats {
  loaded: number;
  loading: { first: number; end: number };
}

interface HlsEvents {
  hlsManifestParsed: { levels: HlsLevel[] };
  hlsLevelSwitching: { level: number };
  hlsLevelSwitched: { level: number };
  hlsFragLoaded: { frag: { type: string; stats: Stats }; part?: { stats: Stats } | null };
  hlsError: {
    details: string;
    context?: { level?: number | null } | null;
    frag?: { type: string; level: number } | null;
    response?: { code?: number } | null;
    networkDetails?: unknown;
  };
}

export interface HlsInstance {
  on<E extends keyof HlsEvents>(event: E, handler: (event: E, data: HlsEvents[E]) => void): void;
  readonly levels: HlsLevel[];
  readonly autoLevelEnabled: boolean;
  currentLevel: number;
  nextLevel: number;
  loadLevel: number;
}

export interface LadderEvents {
  /** The levels are known. */
  ready(ladder: Ladder): void;
  /** A level cannot be had: the server's words for it, or null when the browser cannot play it. */
  refused(index: number, text: string | null): void;
}

/** So many loads say how fast the connection is. */
const LOADS = 8;
const GONE = [404, 410, 503];
/** The browser said that it can play the codec, and cannot. */
const CODEC_ERRORS = ["bufferAddCodecError", "bufferIncompatibleCodecsError"];

/**
 * hls.js as a ladder. Its own switching is off: every level but the source costs the server an encoder, so which one
 * plays is decided in one place (`controller.ts`).
 */
export function followHls(hls: HlsInstance, sources: ReadonlySet<string>, events: LadderEvents): void {
  // OvenPlayer sets the first level, which is the lowest one, whenever it loads a source.
  const prototype: object = Object.getPrototypeOf(hls);
  Object.defineProperty(hls, "currentLevel", {
    get: () => Reflect.get(prototype, "currentLevel", hls),
    set: () => {},
  });
  const loads: Stats[] = [];
  let order: HlsLevel[] = [];
  let playing: number | null = null;
  let started = false;
  const indexOf = (level: number | undefined | null) => order.indexOf(hls.levels[level ?? -1] as HlsLevel);

  hls.on("hlsManifestParsed", (_, { levels }) => {
    const found = levels.map((level) => {
      const id = trackOf(level.uri);
      return {
        id,
        name: level.name ?? "",
        source: sources.has(id),
        width: level.width,
        height: level.height,
        frameRate: level.frameRate,
        bitrate: level.bitrate,
        codec: codecName(level.videoCodec ?? ""),
        level,
      };
    });
    const ordered = orderLevels(found.filter(({ height }) => height > 0));
    order = ordered.map(({ from }) => from.level);
    if (order.length === 0) return;
    events.ready({
      levels: ordered.map(({ level }) => level),
      early: true,
      playing: () => playing,
      select: (index) => {
        const level = hls.levels.indexOf(order[index] as HlsLevel);
        if (level < 0) return;
        if (started) hls.nextLevel = level;
        else hls.loadLevel = level;
      },
      bandwidth: () => bandwidth(loads),
    });
    started = true;
  });
  hls.on("hlsLevelSwitching", (_, { level }) => {
    // After an error hls.js takes another level and goes on by itself; it shall stay with that one.
    if (hls.autoLevelEnabled) hls.loadLevel = level;
  });
  hls.on("hlsLevelSwitched", (_, { level }) => {
    playing = indexOf(level);
  });
  hls.on("hlsFragLoaded", (_, { frag, part }) => {
    if (frag.type !== "main") return;
    loads.push(part?.stats ?? frag.stats);
    if (loads.length > LOADS) loads.shift();
  });
  hls.on("hlsError", (_, { details, context, frag, response, networkDetails }) => {
    const gone = GONE.includes(response?.code ?? 0);
    const unplayable = CODEC_ERRORS.includes(details);
    const listed = gone && details === "levelLoadError";
    if (!listed && !unplayable && !(gone && details === "fragLoadError" && frag?.type === "main")) return;
    const index = indexOf(listed ? context?.level : (frag?.level ?? hls.loadLevel));
    // Nobody refuses the source: it is away for a moment, or its segment is old.
    if (index < 0 || (order[index] && sources.has(trackOf(order[index].uri)) && !unplayable)) return;
    const body = listed && networkDetails instanceof XMLHttpRequest ? networkDetails.responseText : "";
    events.refused(index, unplayable ? null : refusalText(body));
  });
}

/** From the first byte to the last: before it the server may have waited for something to send. */
function bandwidth(loads: readonly Stats[]): number | null {
  const bits = loads.reduce((sum, { loaded }) => sum + loaded * 8, 0);
  const ms = loads.reduce((sum, { loading }) => sum + Math.max(loading.end - loading.first, 1), 0);
  return loads.length < LOADS / 2 ? null : (bits / ms) * 1000;
}
