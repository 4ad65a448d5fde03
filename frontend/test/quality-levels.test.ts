import { describe, expect, test } from "vitest";
import { ChoiceMemory } from "../src/lib/player/quality/choice";
import { connectionLimits } from "../src/lib/player/quality/connection";
import {
  bestWithin,
  closestLevel,
  type Found,
  lowestLevel,
  orderLevels,
} from "../src/lib/player/quality/levels";
import { parseOffers, refusalText, trackOf } from "../src/lib/player/quality/offers";
import { audioOnly } from "../src/lib/player/sources";
import { LEVELS, level } from "./quality-support";
import { FakeStorage } from "./support";

function found(change: Partial<Found>): Found {
  const { width = 1280, height = 720 } = change;
  const base = { id: "x", name: "", source: false, frameRate: 30, bitrate: 1, codec: "H.264" };
  return { ...base, ...change, width, height };
}

describe("the order of the menu", () => {
  const names = (levels: Found[]) => orderLevels(levels).map(({ level }) => level.name);

  test("is the source, then from the largest to the smallest", () => {
    const levels = [
      found({ name: "360p30", height: 360 }),
      found({ name: "720p30" }),
      found({ name: "720p60", frameRate: 60 }),
      found({ name: "540p30", height: 540, source: true }),
    ];
    expect(names(levels)).toEqual(["540p30", "720p60", "720p30", "360p30"]);
  });

  test("names what has no name by its shorter side and its rate", () => {
    expect(names([found({ width: 1080, height: 1920, frameRate: 59.94 })])).toEqual(["1080p60"]);
    expect(names([found({ frameRate: 0 })])).toEqual(["720p"]);
  });

  test("numbers what a streamer calls the same", () => {
    const levels = [found({ name: "small", bitrate: 2 }), found({ name: "small" })];
    expect(names(levels)).toEqual(["small H.264", "small H.264 (2)"]);
  });

  test("tells two of one name apart by codec", () => {
    expect(names([found({ name: "720p30" }), found({ name: "720p30", codec: "AV1" })])).toEqual([
      "720p30 H.264",
      "720p30 AV1",
    ]);
  });
});

describe("a name that was chosen elsewhere", () => {
  const closest = (name: string, levels = LEVELS) => levels[closestLevel(name, levels)]?.name;

  test.each([
    ["480p30", "480p30"],
    ["1080p60", "1080p60"],
    // Nothing of that name: no more than was chosen, as much as there is.
    ["720p50", "720p30"],
    ["1080p30", "720p60"],
    ["2160p60", "1080p60"],
    ["540p30", "480p30"],
    // Less than there is: the least.
    ["144p30", "360p30"],
    ["cinema", "1080p60"],
  ])("%s gives %s", (name, here) => {
    expect(closest(name)).toBe(here);
  });

  test("may be the source of this stream", () => {
    expect(closest("720p60", [level("720p60", 1, { source: true }), level("360p30", 1)])).toBe("720p60");
  });

  test("limits by size and by bits", () => {
    expect(LEVELS[bestWithin(LEVELS, { height: 480 })]?.name).toBe("480p30");
    expect(LEVELS[bestWithin(LEVELS, { bitrate: 3_000_000 })]?.name).toBe("720p30");
    expect(LEVELS[bestWithin(LEVELS, { bitrate: 1 })]?.name).toBe("360p30");
    expect(lowestLevel(LEVELS)).toBe(4);
  });
});

describe("what is remembered", () => {
  test.each([
    { kind: "auto" } as const,
    { kind: "audio" } as const,
    { kind: "source" } as const,
    { kind: "level", name: "480p30" } as const,
    { kind: "level", name: "For the train" } as const,
  ])("$kind", (choice) => {
    const store = new FakeStorage();
    new ChoiceMemory(store).remember({ kind: "source" });
    new ChoiceMemory(store).remember(choice);
    expect(new ChoiceMemory(store).recall()).toEqual(choice);
  });

  test("no level whose name means something else", () => {
    const store = new FakeStorage();
    new ChoiceMemory(store).remember({ kind: "level", name: "audio" });
    expect(new ChoiceMemory(store).recall()).toEqual({ kind: "auto" });
  });

  test("nothing, where the browser keeps nothing", () => {
    const refuse = () => {
      throw new DOMException("denied", "SecurityError");
    };
    const memory = new ChoiceMemory({ getItem: refuse, setItem: refuse, removeItem: refuse });
    memory.remember({ kind: "audio" });
    expect(memory.recall()).toEqual({ kind: "auto" });
    expect(new ChoiceMemory(null).recall()).toEqual({ kind: "auto" });
  });

  test("not what somebody else has put there", () => {
    const store = new FakeStorage();
    store.setItem("ghostlive.quality", "{}<script>".repeat(10));
    expect(new ChoiceMemory(store).recall()).toEqual({ kind: "auto" });
  });
});

describe("the playlist's offers", () => {
  const MASTER = `#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="Audio a0",URI="5e551/a0/media.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=6128000,CODECS="hvc1.1.6.L120.90,mp4a.40.2",RESOLUTION=1920x1080,FRAME-RATE=60.000,AUDIO="aac",NAME="1080p60"
5e551/v0/media.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=1528000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=854x480,FRAME-RATE=30.000,AUDIO="aac",NAME="480p30, small"
5e551/v0-480p30/media.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=128000,CODECS="mp4a.40.2",AUDIO="aac",NAME="a0"
5e551/a0/media.m3u8
`;

  test("are its variants with a picture", () => {
    const offers = parseOffers(MASTER, "http://localhost/app/show/master.m3u8?x=1", new Set(["v0", "a0"]));
    expect(offers).toEqual([
      {
        id: "v0",
        url: "http://localhost/app/show/5e551/v0/media.m3u8",
        name: "1080p60",
        source: true,
        width: 1920,
        height: 1080,
        frameRate: 60,
        bitrate: 6_128_000,
        codec: "H.265",
      },
      {
        id: "v0-480p30",
        url: "http://localhost/app/show/5e551/v0-480p30/media.m3u8",
        name: "480p30, small",
        source: false,
        width: 854,
        height: 480,
        frameRate: 30,
        bitrate: 1_528_000,
        codec: "H.264",
      },
    ]);
  });

  test("of a page of something else are none", () => {
    expect(parseOffers("<html>not found</html>", "http://localhost/", new Set())).toEqual([]);
    expect(trackOf("http://localhost/app/show/5e551/v0-480p30/media.m3u8?_HLS_msn=1")).toBe("v0-480p30");
  });

  test("are refused in the server's words", () => {
    expect(refusalText('{"detail":"720p60 is not offered: no room."}')).toBe(
      "720p60 is not offered: no room.",
    );
    expect(refusalText("720p60 is not offered\n")).toBe("720p60 is not offered");
    expect(refusalText("<html>502 Bad gateway</html>")).toBe("");
    expect(refusalText("[]")).toBe("");
    expect(refusalText("")).toBe("");
  });
});

test("sound alone is beside the LL-HLS source", () => {
  const sources = [
    { type: "dash", url: "/app/show/manifest.mpd" },
    { type: "llhls", url: "/app/show/master.m3u8?token=a/b" },
  ];
  expect(audioOnly(sources)).toEqual({ type: "llhls", url: "/app/show/audio.m3u8?token=a/b" });
  expect(audioOnly(sources.slice(0, 1))).toBeNull();
});

test("a browser's word on its connection counts only where it is bad", () => {
  const none = { limit: Number.POSITIVE_INFINITY, carries: null };
  expect(connectionLimits(undefined)).toEqual(none);
  expect(connectionLimits({ effectiveType: "4g", downlink: 1.5, saveData: false })).toEqual(none);
  expect(connectionLimits({ effectiveType: "3g", downlink: 0.7 })).toEqual({ ...none, carries: 700_000 });
  expect(connectionLimits({ effectiveType: "4g", downlink: 10, saveData: true }).limit).toBe(480);
});
