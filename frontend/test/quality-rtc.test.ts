import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { AUTO, ChoiceMemory } from "../src/lib/player/quality/choice";
import { QualityController } from "../src/lib/player/quality/controller";
import type { Ladder } from "../src/lib/player/quality/levels";
import type { Offer } from "../src/lib/player/quality/offers";
import { followRtc, type RtcLevel } from "../src/lib/player/quality/rtc";
import { FakeLadder, LEVELS } from "./quality-support";
import { FakeStorage } from "./support";

const RENDITIONS: RtcLevel[] = [
  { label: "1080p60", width: 1920, height: 1080, bitrate: 6_000_000 },
  { label: "audio", width: 0, height: 0, bitrate: 128_000 },
  { label: "720p30", width: 1280, height: 720, bitrate: 0 },
];

function offer(id: string, name: string, source: boolean): Offer {
  const [height = 0, frameRate = 0] = name.split("p").map(Number);
  const width = (height * 16) / 9;
  return {
    id,
    name,
    source,
    width,
    height,
    frameRate,
    bitrate: 2_600_000,
    codec: "H.264",
    url: `/${id}/media.m3u8`,
  };
}

class FakePlayer {
  levels: RtcLevel[] = [];
  current = 0;
  readonly did: string[] = [];
  readonly provider = {
    setCurrentQuality: (index: number) => {
      this.did.push(`take ${index}`);
      return index;
    },
  };
  getQualityLevels = () => this.levels;
  getCurrentQuality = () => this.current;
  setAutoQuality = (auto: boolean) => void this.did.push(`auto ${auto}`);
  getProvider = () => this.provider;
}

describe("OvenPlayer's renditions as a ladder", () => {
  let player: FakePlayer;
  let ladder: Ladder | null;
  let current: boolean;

  function follow(offers: Offer[] = [], made: string[] = ["720p30"]): void {
    followRtc(player, { made: () => new Set(made), offers: async () => offers }, () => current, {
      ready: (found) => {
        ladder = found;
      },
    });
  }

  beforeEach(() => {
    vi.useFakeTimers();
    player = new FakePlayer();
    ladder = null;
    current = true;
  });

  afterEach(() => void vi.useRealTimers());

  test("is there when the server has told of them, without what has no picture", async () => {
    follow([offer("v0-720p30", "720p30", false)]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(ladder).toBeNull();
    player.levels = RENDITIONS;
    await vi.advanceTimersByTimeAsync(300);
    expect((ladder as Ladder | null)?.levels).toEqual([
      { id: "1080p60", name: "1080p60", source: true, height: 1080, frameRate: 60, bitrate: 6_000_000 },
      { id: "v0-720p30", name: "720p30", source: false, height: 720, frameRate: 30, bitrate: 2_600_000 },
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("chooses by the server's order, and leaves the choice to it", async () => {
    player.levels = RENDITIONS;
    follow();
    await vi.advanceTimersByTimeAsync(300);
    const found = ladder as unknown as Ladder;
    expect(found.playing()).toBe(0);
    found.select(1);
    found.automatic?.();
    expect(player.did).toEqual(["take 2", "auto true"]);
    player.current = 2;
    expect(found.playing()).toBe(1);
    player.current = 1;
    expect(found.playing()).toBeNull();
    // As OvenPlayer does before it loads something else.
    player.provider.setCurrentQuality(0);
    expect(player.did).toHaveLength(2);
  });

  test("is not told of a connection that is gone", async () => {
    follow();
    current = false;
    player.levels = RENDITIONS;
    await vi.advanceTimersByTimeAsync(300);
    expect(ladder).toBeNull();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a server that chooses in Auto", () => {
  class Automatic extends FakeLadder {
    handed = 0;
    readonly automatic = () => {
      this.handed += 1;
    };
  }

  let store: FakeStorage;
  let asked: string[];
  let answers: (string | null)[];

  function create(limit?: number): QualityController {
    return new QualityController({
      memory: new ChoiceMemory(store),
      ask: async (level) => {
        asked.push(level.name);
        return answers.shift() ?? null;
      },
      reload: () => {},
      onChange: () => {},
      ...(limit !== undefined && { limit }),
    });
  }

  const settled = () => new Promise((resolve) => setTimeout(resolve));

  beforeEach(() => {
    store = new FakeStorage();
    asked = [];
    answers = [];
  });

  test("is left alone, whatever the picture does", () => {
    const [quality, ladder] = [create(), new Automatic(LEVELS, false)];
    quality.use(ladder);
    for (let look = 0; look < 20; look += 1) quality.progress({ still: look * 250 });
    expect([ladder.selected, ladder.handed, asked]).toEqual([[], 0, []]);
  });

  test("gets the choice back when the viewer chooses Auto again", async () => {
    const [quality, ladder] = [create(), new Automatic(LEVELS, false)];
    quality.use(ladder);
    quality.choose({ kind: "level", name: "480p30" });
    await settled();
    expect(asked).toEqual(["480p30"]);
    expect(ladder.selected).toEqual(["480p30"]);
    quality.choose(AUTO);
    expect(ladder.handed).toBe(1);
    // The same once more is a change again.
    quality.choose({ kind: "level", name: "480p30" });
    await settled();
    expect(ladder.selected).toEqual(["480p30", "480p30"]);
  });

  test("keeps it when what the viewer chose is refused", async () => {
    const [quality, ladder] = [create(), new Automatic(LEVELS, false)];
    answers = ["no room"];
    quality.use(ladder);
    quality.choose({ kind: "level", name: "480p30" });
    await settled();
    expect([ladder.selected, ladder.handed]).toEqual([[], 0]);
    expect(quality.view).toMatchObject({ choice: AUTO, notice: { kind: "refused", text: "no room" } });
  });

  test("holds what was chosen earlier until it can be had", async () => {
    new ChoiceMemory(store).remember({ kind: "level", name: "480p30" });
    const [quality, ladder] = [create(), new Automatic(LEVELS, false)];
    quality.use(ladder);
    expect(ladder.selected).toEqual(["1080p60"]);
    await settled();
    expect(ladder.selected).toEqual(["1080p60", "480p30"]);
  });

  test("knows nothing of a viewer who saves data", async () => {
    const [quality, ladder] = [create(480), new Automatic(LEVELS, false)];
    quality.use(ladder);
    await settled();
    expect(ladder.selected.at(-1)).toBe("480p30");
  });
});
