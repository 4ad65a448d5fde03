import { beforeEach, describe, expect, test } from "vitest";
import { type DashInstance, type DashTrack, followDash, limitsAround } from "../src/lib/player/quality/dash";
import { followHls, type HlsInstance, type HlsLevel } from "../src/lib/player/quality/hls";
import type { Ladder } from "../src/lib/player/quality/levels";

const SOURCES = new Set(["v0", "a0"]);
type Handler = (...data: unknown[]) => void;

let ladder: Ladder | null;
let refused: [index: number, text: string | null][];
const events = {
  ready: (found: Ladder) => {
    ladder = found;
  },
  refused: (index: number, text: string | null) => refused.push([index, text]),
};

beforeEach(() => {
  ladder = null;
  refused = [];
});

/** As much of hls.js as is used, with its levels from the lowest to the highest. */
class FakeHls {
  levels: HlsLevel[] = [];
  autoLevelEnabled = true;
  readonly set: string[] = [];
  readonly #handlers = new Map<string, Handler>();

  on(event: string, handler: Handler): void {
    this.#handlers.set(event, handler);
  }
  emit(event: string, data: unknown): void {
    this.#handlers.get(event)?.(event, data);
  }
  get currentLevel(): number {
    return 7;
  }
  set currentLevel(level: number) {
    this.set.push(`current ${level}`);
  }
  get nextLevel(): number {
    return 0;
  }
  set nextLevel(level: number) {
    this.set.push(`next ${level}`);
  }
  get loadLevel(): number {
    return 2;
  }
  set loadLevel(level: number) {
    this.autoLevelEnabled = false;
    this.set.push(`load ${level}`);
  }
}

function hlsLevel(id: string, name: string, height: number): HlsLevel {
  const uri = `http://localhost/app/show/5e551/${id}/media.m3u8`;
  return {
    name,
    uri,
    width: (height * 16) / 9,
    height,
    frameRate: 30,
    bitrate: height * 1000,
    videoCodec: "avc1.64001f",
  };
}

describe("hls.js", () => {
  let hls: FakeHls;

  beforeEach(() => {
    hls = new FakeHls();
    hls.levels = [
      hlsLevel("v0-360p30", "360p30", 360),
      hlsLevel("v0-480p30", "480p30", 480),
      hlsLevel("v0", "720p30", 720),
    ];
    followHls(hls as unknown as HlsInstance, SOURCES, events);
  });

  test("begins with what is selected while the playlist is read, and changes without a stop later", () => {
    const begin = events.ready;
    events.ready = (found) => {
      begin(found);
      found.select(0);
    };
    hls.emit("hlsManifestParsed", { levels: hls.levels });
    events.ready = begin;
    expect(hls.set).toEqual(["load 2"]);
    expect(ladder?.levels.map(({ name, source }) => [name, source])).toEqual([
      ["720p30", true],
      ["480p30", false],
      ["360p30", false],
    ]);
    ladder?.select(2);
    expect(hls.set).toEqual(["load 2", "next 0"]);
  });

  test("does not begin with the lowest level because OvenPlayer says so", () => {
    hls.currentLevel = 0;
    expect(hls.set).toEqual([]);
    expect(hls.currentLevel).toBe(7);
  });

  test("says what plays, also when a level has gone", () => {
    hls.emit("hlsManifestParsed", { levels: hls.levels });
    expect(ladder?.playing()).toBeNull();
    hls.emit("hlsLevelSwitched", { level: 1 });
    expect(ladder?.playing()).toBe(1);
    hls.levels = hls.levels.slice(1);
    ladder?.select(0);
    expect(hls.set.at(-1)).toBe("next 1");
    ladder?.select(2);
    expect(hls.set.at(-1)).toBe("next 1");
  });

  test("stays with the level that it took after an error", () => {
    hls.emit("hlsManifestParsed", { levels: hls.levels });
    hls.emit("hlsLevelSwitching", { level: 1 });
    expect(hls.set).toEqual(["load 1"]);
    hls.emit("hlsLevelSwitching", { level: 2 });
    expect(hls.set).toEqual(["load 1"]);
  });

  test("tells what the server refuses, in its words", () => {
    hls.emit("hlsManifestParsed", { levels: hls.levels });
    const answer = new XMLHttpRequest();
    Object.defineProperty(answer, "responseText", { value: '{"detail":"480p30 is not offered."}' });
    const error = { details: "levelLoadError", response: { code: 503 }, networkDetails: answer };
    hls.emit("hlsError", { ...error, context: { level: 1 } });
    expect(refused).toEqual([[1, "480p30 is not offered."]]);
    hls.emit("hlsError", {
      details: "fragLoadError",
      response: { code: 404 },
      frag: { type: "main", level: 0 },
    });
    expect(refused.at(-1)).toEqual([2, ""]);
    // The source is not refused, it is away for a moment; sound has no level; a slow answer is none.
    hls.emit("hlsError", { ...error, context: { level: 2 } });
    hls.emit("hlsError", {
      details: "fragLoadError",
      response: { code: 404 },
      frag: { type: "audio", level: 0 },
    });
    hls.emit("hlsError", { details: "levelLoadTimeOut", context: { level: 1 } });
    expect(refused).toHaveLength(2);
  });

  test("tells what the browser cannot play, the source included", () => {
    hls.emit("hlsManifestParsed", { levels: hls.levels });
    hls.emit("hlsError", { details: "bufferAddCodecError" });
    expect(refused).toEqual([[0, null]]);
  });

  test("measures between the first byte and the last", () => {
    hls.emit("hlsManifestParsed", { levels: hls.levels });
    expect(ladder?.bandwidth()).toBeNull();
    for (let count = 0; count < 20; count += 1) {
      const stats = { loaded: 125_000, loading: { start: 0, first: 900, end: 1000 } };
      hls.emit("hlsFragLoaded", { frag: { type: "main", stats } });
      hls.emit("hlsFragLoaded", { frag: { type: "audio", stats: { ...stats, loaded: 1 } } });
    }
    expect(ladder?.bandwidth()).toBe(10_000_000);
  });

  test("of sound alone has no levels", () => {
    hls.levels = [{ ...hlsLevel("a0", "a0", 0), videoCodec: undefined }];
    hls.emit("hlsManifestParsed", { levels: hls.levels });
    expect(ladder).toBeNull();
  });
});

interface ManifestLoaded {
  data: {
    Period_asArray: { AdaptationSet_asArray: { Representation_asArray: { bandwidth: number }[] }[] }[];
  };
}

/** As much of dash.js as is used: one set of H.264, and the source in HEVC when asked for. */
class FakeDash {
  readonly pins: number[] = [];
  readonly qualities: number[] = [];
  readonly tracks: DashTrack[];
  track: DashTrack;
  quality = 0;
  readonly #handlers = new Map<string, Handler>();
  #listed: number[] = [];

  constructor(tracks: DashTrack[]) {
    this.tracks = tracks;
    this.track = tracks[0] as DashTrack;
  }

  on(event: string, handler: Handler): void {
    this.#handlers.set(event, handler);
  }
  emit(event: string, data?: unknown): void {
    if (event === "manifestLoaded") {
      const { data: read } = data as ManifestLoaded;
      const sets = read.Period_asArray.at(-1)?.AdaptationSet_asArray ?? [];
      this.#listed = sets.flatMap(({ Representation_asArray: all }) => all.map(({ bandwidth }) => bandwidth));
    }
    this.#handlers.get(event)?.(data);
  }
  updateSettings({ streaming }: { streaming: { abr: Record<string, { video: number }> } }): void {
    const { initialBitrate, minBitrate, maxBitrate } = streaming.abr;
    expect(Object.keys(streaming.abr)).toHaveLength(3);
    expect(initialBitrate).toEqual(maxBitrate);
    const allowed = this.#listed.filter(
      (bits) => bits >= 1000 * (minBitrate?.video ?? 0) && bits <= 1000 * (maxBitrate?.video ?? 0),
    );
    this.pins.push(...allowed.map((bits) => bits / 1000));
    expect(allowed).toHaveLength(1);
  }
  getTracksFor = () => this.tracks;
  getCurrentTrackFor = () => this.track;
  setCurrentTrack(track: DashTrack): void {
    this.track = track;
  }
  getQualityFor = () => this.quality;
  setQualityFor(_: string, quality: number): void {
    this.quality = quality;
    this.qualities.push(quality);
  }
  getAverageThroughput = () => 2_000;
}

describe("dash.js", () => {
  const picture = (id: string, bandwidth: number, height: number) => ({
    id,
    bandwidth,
    width: height * 2,
    height,
  });
  const list = [
    picture("v0-360p30", 800_000, 360),
    picture("v0", 900_000, 720),
    picture("v0-720p30", 2_600_000, 720),
  ];
  const manifest = (sets = [list]) => ({
    data: {
      Period_asArray: [
        { AdaptationSet_asArray: sets.map((set) => ({ contentType: "video", Representation_asArray: set })) },
      ],
    },
  });

  async function follow(tracks: DashTrack[], sets = [list]): Promise<FakeDash> {
    const dash = new FakeDash(tracks);
    followDash(dash as unknown as DashInstance, SOURCES, async () => [], events);
    dash.emit("manifestLoaded", manifest(sets));
    dash.emit("streamInitialized");
    await Promise.resolve();
    await Promise.resolve();
    return dash;
  }

  test("begins with the source, also when a rendition has more bits", async () => {
    const dash = await follow([{ bitrateList: list }]);
    expect(dash.pins).toEqual([900]);
    expect(ladder?.levels.map(({ name }) => name)).toEqual(["720p", "720p30", "360p30"]);
    expect(ladder?.bandwidth()).toBe(2_000_000);
    // OvenPlayer's own idea of the first level.
    dash.setQualityFor("video", 0);
    expect(dash.qualities).toEqual([]);
  });

  test("plays what is selected, in each manifest and period anew", async () => {
    const dash = await follow([{ bitrateList: list }]);
    ladder?.select(2);
    expect(dash.pins.at(-1)).toBe(800);
    expect(dash.qualities).toEqual([0]);
    dash.emit(
      "manifestLoaded",
      manifest([[picture("v0", 1_000_000, 720), picture("v0-360p30", 850_000, 360)]]),
    );
    expect(dash.pins.at(-1)).toBe(850);
    // It is gone: the source.
    dash.emit("manifestLoaded", manifest([[picture("v0", 1_000_000, 720)]]));
    expect(dash.pins.at(-1)).toBe(1000);
  });

  test.each([531_431, 531_432, 800_001, 899_999])("keeps to it when %i bits were measured", (bits) => {
    const { least, most } = limitsAround(bits, [400_000, bits, 900_000]);
    expect(400_000).toBeLessThan(1000 * least);
    expect(bits * 1.0001).toBeGreaterThan(1000 * least);
    expect(bits).toBeLessThan(1000 * most);
    expect(900_000).toBeGreaterThan(1000 * most);
  });

  test("says what is on the screen, not what is asked for", async () => {
    const dash = await follow([{ bitrateList: list }]);
    dash.quality = 1;
    expect(ladder?.playing()).toBe(0);
    dash.emit("qualityChangeRendered", { mediaType: "video", newQuality: 1 });
    ladder?.select(2);
    expect(ladder?.playing()).toBe(0);
    dash.emit("qualityChangeRendered", { mediaType: "audio", newQuality: 0 });
    dash.emit("qualityChangeRendered", { mediaType: "video", newQuality: 0 });
    expect(ladder?.playing()).toBe(2);
  });

  test("changes the track for another codec", async () => {
    const source = {
      codec: 'video/mp4;codecs="hvc1.1.6.L120.90"',
      bitrateList: [picture("v0", 900_000, 720)],
    };
    const others = {
      codec: 'video/mp4;codecs="avc1.64001f"',
      bitrateList: [picture("v0-720p30", 2_600_000, 720)],
    };
    const dash = await follow([source, others], [source.bitrateList, others.bitrateList]);
    ladder?.select(1);
    expect(dash.track).toBe(others);
    expect(dash.pins.at(-1)).toBe(2600);
  });
});
