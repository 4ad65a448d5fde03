import { beforeEach, describe, expect, test, vi } from "vitest";
import { AUTO, type Choice, ChoiceMemory } from "../src/lib/player/quality/choice";
import {
  QualityController,
  type QualityOptions,
  type QualityView,
} from "../src/lib/player/quality/controller";
import { Governor } from "../src/lib/player/quality/governor";
import type { Level } from "../src/lib/player/quality/levels";
import { FakeLadder, LEVELS, level } from "./quality-support";
import { FakeStorage } from "./support";

let now: number;
let store: FakeStorage;
let asked: string[];
/** The server's reason for not making a level. */
let reasons: Record<string, string>;
let view: QualityView;
let reloads: number;

const named = (name: string): Choice => ({ kind: "level", name });
const settle = () => vi.waitFor(() => expect(view.pending).toBeNull());

function create(change: Partial<QualityOptions> = {}): QualityController {
  const created = new QualityController({
    memory: new ChoiceMemory(store),
    ask: async (level: Level) => {
      asked.push(level.name);
      return reasons[level.name] ?? null;
    },
    reload: () => {
      reloads += 1;
    },
    onChange: (changed) => {
      view = changed;
    },
    now: () => now,
    ...change,
  });
  view = created.view;
  return created;
}

beforeEach(() => {
  now = 1_000_000;
  store = new FakeStorage();
  asked = [];
  reasons = {};
  reloads = 0;
});

describe("a page that opens", () => {
  test("begins with the source and asks for nothing", () => {
    const ladder = new FakeLadder();
    create().use(ladder);
    expect(ladder.selected).toEqual(["1080p60"]);
    expect(asked).toEqual([]);
    expect(view.levels).toBe(LEVELS);
  });

  test("begins with what was chosen before, without the source first", () => {
    store.setItem("ghostlive.quality", "480p30");
    const ladder = new FakeLadder();
    create().use(ladder);
    expect(ladder.selected).toEqual(["480p30"]);
    expect(view.choice).toEqual(named("480p30"));
  });

  test("has the choice made ready behind the source where it cannot come first", async () => {
    store.setItem("ghostlive.quality", "480p30");
    const ladder = new FakeLadder(LEVELS, false);
    create().use(ladder);
    expect(ladder.selected).toEqual(["1080p60"]);
    await settle();
    expect(asked).toEqual(["480p30"]);
    expect(ladder.selected).toEqual(["1080p60", "480p30"]);
  });

  test("begins small when the viewer saves data, or the browser knows of a bad connection", () => {
    const saving = new FakeLadder();
    create({ limit: 480 }).use(saving);
    expect(saving.selected).toEqual(["480p30"]);
    const slow = new FakeLadder();
    create({ carries: 1_000_000 }).use(slow);
    expect(slow.selected).toEqual(["360p30"]);
  });

  test("begins with the best that the browser can play, where that is not the source", () => {
    const ladder = new FakeLadder(LEVELS.slice(1));
    create().use(ladder);
    expect(ladder.selected).toEqual(["720p60"]);
  });
});

describe("choosing", () => {
  test("asks the server first, and changes when it is ready", async () => {
    const ladder = new FakeLadder();
    const controller = create();
    controller.use(ladder);
    controller.choose(named("480p30"));
    expect(view.pending).toBe("480p30");
    expect(ladder.selected).toEqual(["1080p60"]);
    await settle();
    expect(ladder.selected).toEqual(["1080p60", "480p30"]);
    expect(new ChoiceMemory(store).recall()).toEqual(named("480p30"));
    controller.progress({ still: 0 });
    expect(view.playing).toBe("480p30");
  });

  test("the source needs no asking", () => {
    store.setItem("ghostlive.quality", "480p30");
    const ladder = new FakeLadder();
    const controller = create();
    controller.use(ladder);
    controller.choose({ kind: "source" });
    expect(ladder.selected).toEqual(["480p30", "1080p60"]);
    expect(asked).toEqual([]);
  });

  test("something else while the first is starting drops the first", async () => {
    const ladder = new FakeLadder();
    const controller = create();
    controller.use(ladder);
    controller.choose(named("720p60"));
    controller.choose(named("360p30"));
    await settle();
    expect(ladder.selected).toEqual(["1080p60", "360p30"]);
  });

  test("what is offered only since the page was opened is loaded with everything else", async () => {
    const controller = create();
    const ladder = new FakeLadder();
    controller.use(ladder);
    controller.offer([...LEVELS.slice(0, 2), level("240p30", 400_000)]);
    expect(view.levels.map(({ name }) => name)).toEqual(["1080p60", "720p60", "240p30"]);
    controller.choose(named("240p30"));
    expect([reloads, asked, ladder.selected]).toEqual([1, [], ["1080p60"]]);
    const again = new FakeLadder(view.levels);
    controller.use(again);
    expect(again.selected).toEqual(["240p30"]);
  });

  test("a list that says nothing new changes nothing", () => {
    const controller = create();
    controller.use(new FakeLadder());
    const before = view;
    controller.offer([...LEVELS]);
    controller.offer([]);
    expect(view).toBe(before);
  });

  test("no answer for half a minute is left to the player", async () => {
    vi.useFakeTimers();
    try {
      const ladder = new FakeLadder();
      const controller = create({ ask: () => new Promise(() => {}) });
      controller.use(ladder);
      controller.choose(named("480p30"));
      expect(view.pending).toBe("480p30");
      vi.advanceTimersByTime(30_000);
      expect(view.pending).toBeNull();
      expect(ladder.selected).toEqual(["1080p60", "480p30"]);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test("survives a reload of the player", async () => {
    const controller = create();
    controller.use(new FakeLadder());
    controller.choose(named("480p30"));
    await settle();
    const again = new FakeLadder();
    controller.use(null);
    controller.use(again);
    expect(again.selected).toEqual(["480p30"]);
  });

  test("sound alone leaves the levels to the menu, and back is one step", () => {
    const controller = create();
    controller.use(new FakeLadder());
    controller.choose({ kind: "audio" });
    controller.use(null);
    expect(view.levels).toBe(LEVELS);
    expect(view.choice).toEqual({ kind: "audio" });
    controller.choose(AUTO);
    const again = new FakeLadder();
    controller.use(again);
    expect(again.selected).toEqual(["1080p60"]);
  });

  test("sound alone that does not play brings the picture back, with a word", () => {
    const controller = create();
    controller.choose({ kind: "audio" });
    controller.offer(LEVELS);
    expect(view.levels).toBe(LEVELS);
    controller.noAudio();
    expect(view.choice).toEqual(AUTO);
    expect(view.notice).toEqual({ kind: "noAudio" });
    expect(new ChoiceMemory(store).recall()).toEqual(AUTO);
  });
});

describe("a level that is refused", () => {
  test("leaves the picture as it is and says why", async () => {
    reasons = { "720p60": "720p60 is not offered: no room." };
    const ladder = new FakeLadder();
    const controller = create();
    controller.use(ladder);
    controller.choose(named("720p60"));
    await settle();
    expect(ladder.selected).toEqual(["1080p60"]);
    expect(view.choice).toEqual(AUTO);
    expect(view.notice).toEqual({ kind: "refused", name: "720p60", text: "720p60 is not offered: no room." });
    expect(new ChoiceMemory(store).recall()).toEqual(AUTO);
    controller.dismiss();
    expect(view.notice).toBeNull();
  });

  test("by the time the player asks for it gives the source, and the wish stays for the next visit", () => {
    store.setItem("ghostlive.quality", "480p30");
    const ladder = new FakeLadder();
    const controller = create();
    controller.use(ladder);
    controller.refused(3, "gone");
    expect(ladder.selected).toEqual(["480p30", "1080p60"]);
    expect(view.notice).toEqual({ kind: "refused", name: "480p30", text: "gone" });
    expect(new ChoiceMemory(store).recall()).toEqual(named("480p30"));
  });

  test("is not asked for again at each reload", () => {
    store.setItem("ghostlive.quality", "480p30");
    const controller = create();
    controller.use(new FakeLadder());
    controller.refused(3, "");
    const again = new FakeLadder();
    controller.use(again);
    expect(again.selected).toEqual(["1080p60"]);
  });

  test("can be asked for again by the viewer", async () => {
    reasons = { "480p30": "no room" };
    const ladder = new FakeLadder();
    const controller = create();
    controller.use(ladder);
    controller.choose(named("480p30"));
    await settle();
    reasons = {};
    controller.choose(named("480p30"));
    await settle();
    expect(ladder.selected.at(-1)).toBe("480p30");
  });

  test("that is not the one that plays changes nothing", () => {
    const ladder = new FakeLadder();
    const controller = create();
    controller.use(ladder);
    controller.refused(2, "");
    controller.refused(17, "");
    expect(ladder.selected).toEqual(["1080p60"]);
  });

  test("a source that the browser cannot play after all gives the best rendition", () => {
    const ladder = new FakeLadder();
    const controller = create();
    controller.use(ladder);
    controller.refused(0, null);
    expect(ladder.selected).toEqual(["1080p60", "720p60"]);
    expect(view.notice).toEqual({ kind: "unplayable", name: "1080p60" });
  });
});

describe("auto", () => {
  /** So many seconds of picture that moves, or stands when `still` says so. */
  async function pass(
    controller: QualityController,
    seconds: number,
    still = (_: number) => 0,
  ): Promise<void> {
    for (let ms = 0; ms < seconds * 1000; ms += 250) {
      now += 250;
      controller.progress({ still: still(ms) });
      await Promise.resolve();
      await Promise.resolve();
    }
  }
  const standing = (ms: number) => ms;

  function start(): { controller: QualityController; ladder: FakeLadder } {
    const ladder = new FakeLadder();
    const controller = create();
    controller.use(ladder);
    return { controller, ladder };
  }

  test("stays with the source however little is measured, as long as it plays", async () => {
    const { controller, ladder } = start();
    ladder.carries = 500_000;
    await pass(controller, 300);
    expect(ladder.selected).toEqual(["1080p60"]);
  });

  test("goes down to what the connection carries when the picture stands", async () => {
    const { controller, ladder } = start();
    ladder.carries = 3_300_000;
    await pass(controller, 2.5, standing);
    expect(ladder.selected).toEqual(["1080p60", "720p30"]);
    expect(view.choice).toEqual(AUTO);
  });

  test("does not blame the connection when the broadcast itself stands", async () => {
    const { controller, ladder } = start();
    ladder.carries = 50_000_000;
    await pass(controller, 10, standing);
    expect(ladder.selected).toEqual(["1080p60"]);
  });

  test("takes one short stop for chance, two for a reason", async () => {
    const { controller, ladder } = start();
    ladder.carries = 2_000_000;
    await pass(controller, 1, standing);
    await pass(controller, 5);
    expect(ladder.selected).toEqual(["1080p60"]);
    await pass(controller, 1, standing);
    expect(ladder.selected).toEqual(["1080p60", "480p30"]);
  });

  test("goes up again after a calm while, and waits longer after a mistake", async () => {
    const { controller, ladder } = start();
    ladder.carries = 2_000_000;
    await pass(controller, 2.5, standing);
    ladder.carries = 20_000_000;
    await pass(controller, 25);
    expect(ladder.selected).toEqual(["1080p60", "480p30"]);
    await pass(controller, 8);
    expect(ladder.selected.at(-1)).toBe("1080p60");
    // It was a mistake.
    ladder.carries = 2_000_000;
    await pass(controller, 2.5, standing);
    expect(ladder.selected.at(-1)).toBe("480p30");
    ladder.carries = 20_000_000;
    await pass(controller, 50);
    expect(ladder.selected.at(-1)).toBe("480p30");
    await pass(controller, 15);
    expect(ladder.selected.at(-1)).toBe("1080p60");
  });

  test("never goes up over what the viewer wants to save", async () => {
    const ladder = new FakeLadder();
    const controller = create({ limit: 480 });
    controller.use(ladder);
    ladder.carries = 90_000_000;
    await pass(controller, 120);
    expect(ladder.selected).toEqual(["480p30"]);
  });

  test("leaves a choice of the viewer alone", async () => {
    const { controller, ladder } = start();
    controller.choose({ kind: "source" });
    ladder.carries = 500_000;
    await pass(controller, 10, standing);
    expect(ladder.selected).toEqual(["1080p60"]);
  });

  test("keeps to where it was when the player is loaded anew", async () => {
    const { controller, ladder } = start();
    ladder.carries = 2_000_000;
    await pass(controller, 2.5, standing);
    const again = new FakeLadder();
    controller.use(again);
    expect(again.selected).toEqual(["480p30"]);
  });

  test("a level that it wants and that is refused is not asked for over and over", async () => {
    reasons = { "480p30": "no room" };
    const { controller, ladder } = start();
    ladder.carries = 2_000_000;
    await pass(controller, 12, standing);
    expect(asked.filter((name) => name === "480p30")).toHaveLength(1);
    expect(ladder.selected).toEqual(["1080p60", "360p30"]);
  });

  test("knows nothing of a level that is not there", () => {
    expect(new Governor(LEVELS).observe({ now, still: 9000, level: 99, bandwidth: 1 })).toBeNull();
    expect(new Governor([]).start(1)).toBe(0);
  });
});
