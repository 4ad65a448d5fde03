import { codecName } from "../../format/codecs";
import type { Chasing } from "../catchup";
import type { LadderEvents } from "./hls";
import { type Found, orderLevels, pictureName } from "./levels";
import type { Offer } from "./offers";

interface Representation {
  id: string;
  bandwidth: number;
}

interface Manifest {
  Period_asArray: {
    AdaptationSet_asArray?: { contentType?: string; Representation_asArray?: Representation[] }[];
  }[];
}

/** The part of dash.js 4 that is used here. */
export interface DashTrack {
  codec?: string | null;
  bitrateList: (Representation & { width: number; height: number })[];
}

export interface DashInstance extends Chasing {
  on(event: "manifestLoaded", handler: (event: { data: Manifest }) => void): void;
  on(event: "streamInitialized", handler: () => void): void;
  on(
    event: "qualityChangeRendered",
    handler: (event: { mediaType: string; newQuality: number }) => void,
  ): void;
  on(event: "playbackTimeUpdated", handler: () => void): void;
  updateSettings(settings: { streaming: { liveCatchup: { enabled: boolean } } }): void;
  updateSettings(settings: { streaming: { abr: Record<string, { video: number }> } }): void;
  getTracksFor(type: "video"): DashTrack[];
  getCurrentTrackFor(type: "video"): DashTrack | null;
  setCurrentTrack(track: DashTrack): void;
  getQualityFor(type: "video"): number;
  setQualityFor(type: "video", quality: number): void;
  getAverageThroughput(type: "video"): number;
}

/**
 * dash.js as a ladder; its own switching is off, as with hls.js. `offers` brings names and frame rates.
 *
 * Where dash.js has to choose by itself, at the start and in each new period, it goes by the bit rate. So its limits are
 * those of the representation that shall play, in every manifest anew, since what is measured changes.
 */
export function followDash(
  dash: DashInstance,
  sources: ReadonlySet<string>,
  offers: () => Promise<readonly Offer[]>,
  events: Pick<LadderEvents, "ready">,
): void {
  const setQuality = dash.setQualityFor.bind(dash);
  // OvenPlayer sets the first level, which is the lowest one, whenever it loads a source.
  dash.setQualityFor = () => {};
  let manifest: Manifest | null = null;
  let wanted: string | null = null;
  let rendered: string | undefined;

  function pin(): void {
    const all = manifest?.Period_asArray.at(-1)?.AdaptationSet_asArray ?? [];
    const found = all
      .filter(({ contentType }) => contentType === "video")
      .flatMap((set) => set.Representation_asArray ?? []);
    const target =
      found.find(({ id }) => id === wanted) ?? found.find(({ id }) => sources.has(id)) ?? found[0];
    if (!target) return;
    const { least, most } = limitsAround(
      target.bandwidth,
      found.map(({ bandwidth }) => bandwidth),
    );
    // At the start dash.js takes the best that is not above the initial bit rate.
    const abr = {
      initialBitrate: { video: most },
      minBitrate: { video: least },
      maxBitrate: { video: most },
    };
    dash.updateSettings({ streaming: { abr } });
  }

  const idAt = (quality: number) => dash.getCurrentTrackFor("video")?.bitrateList[quality]?.id;

  dash.on("manifestLoaded", ({ data }) => {
    manifest = data;
    pin();
  });
  dash.on("qualityChangeRendered", ({ mediaType, newQuality }) => {
    if (mediaType === "video") rendered = idAt(newQuality);
  });
  dash.on("streamInitialized", () => {
    void offers().then((known) => {
      const ordered = orderLevels(levelsOf(dash, sources, known));
      if (ordered.length === 0) return;
      events.ready({
        levels: ordered.map(({ level }) => level),
        early: false,
        playing: () => {
          const id = rendered ?? idAt(dash.getQualityFor("video"));
          const index = ordered.findIndex(({ level }) => level.id === id);
          return index < 0 ? null : index;
        },
        select: (index) => {
          const entry = ordered[index]?.from;
          if (!entry) return;
          wanted = entry.id;
          pin();
          const current = dash.getCurrentTrackFor("video");
          if (!current?.bitrateList.some(({ id }) => id === entry.id)) dash.setCurrentTrack(entry.track);
          setQuality("video", entry.quality);
        },
        bandwidth: () => {
          const kilobits = dash.getAverageThroughput("video");
          return kilobits > 0 ? kilobits * 1000 : null;
        },
      });
    });
  });
}

/**
 * Kilobits per second that only `bandwidth` (bits) lies between, of all that there are: half-way to its neighbours, since
 * the next manifest may have measured a little more, and dash.js compares fractions.
 */
export function limitsAround(bandwidth: number, all: readonly number[]): { least: number; most: number } {
  const below = Math.max(0, ...all.filter((other) => other < bandwidth));
  const above = Math.min(...all.filter((other) => other > bandwidth), 3 * bandwidth);
  return { least: (below + bandwidth) / 2000, most: (bandwidth + above) / 2000 };
}

function levelsOf(
  dash: DashInstance,
  sources: ReadonlySet<string>,
  known: readonly Offer[],
): (Found & { track: DashTrack; quality: number })[] {
  return dash.getTracksFor("video").flatMap((track) =>
    track.bitrateList.map(({ id, bandwidth: bitrate, width, height }, quality) => {
      const offer = known.find((candidate) => candidate.id === id);
      const base: Found = offer ?? {
        id,
        name: /-([^-]+)$/u.exec(id)?.[1] ?? pictureName(width, height, 0),
        source: sources.has(id),
        width,
        height,
        frameRate: 0,
        bitrate,
        codec: codecName(/codecs="([^"]*)"/u.exec(track.codec ?? "")?.[1] ?? ""),
      };
      return { ...base, track, quality };
    }),
  );
}
