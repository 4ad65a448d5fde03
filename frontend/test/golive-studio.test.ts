import { flushSync, mount, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { StreamInfo } from "../src/lib/api";
import GoLivePage from "../src/studio/golive/GoLivePage.svelte";
import type { Mixer } from "../src/studio/golive/mixer";
import type { Outgoing, Publisher, PublisherOptions, PublishState } from "../src/studio/golive/publisher";
import { DEFAULTS, SettingsMemory } from "../src/studio/golive/settings";
import { GoLive, type GoLiveTools } from "../src/studio/golive/studio.svelte";
import { Ticket } from "../src/studio/golive/ticket";
import { Navigation } from "../src/studio/navigation.svelte";
import type { Route } from "../src/studio/route";
import { FakeMedia, FakeStream, FakeTrack } from "./golive-support";
import { key } from "./studio-support";
import { FakeStorage, stream } from "./support";

class FakeMixer {
  readonly inputs = new Map<string, FakeTrack | null>();
  readonly track = new FakeTrack("audio", "mix");
  muted = false;
  closed = false;
  async wake(): Promise<void> {}
  set(name: string, track: FakeTrack | null): void {
    this.inputs.set(name, track);
  }
  mute(muted: boolean): void {
    this.muted = muted;
  }
  level(): number {
    return 0.5;
  }
  close(): void {
    this.closed = true;
  }
}

class FakePublisher {
  sent: Outgoing | null = null;
  stopped = 0;
  woken = 0;
  readonly changes: Partial<Outgoing>[] = [];
  constructor(readonly options: PublisherOptions) {}
  start(outgoing: Outgoing): void {
    this.sent = outgoing;
    this.become({ kind: "connecting" });
  }
  become(state: PublishState): void {
    this.options.onChange(state);
  }
  async change(change: Partial<Outgoing>): Promise<void> {
    this.changes.push(change);
  }
  wake(): void {
    this.woken += 1;
  }
  async stats() {
    return null;
  }
  async stop(): Promise<void> {
    this.stopped += 1;
  }
}

let media: FakeMedia;
let mixer: FakeMixer;
let publishers: FakePublisher[];
let store: FakeStorage;
let golive: GoLive;
let revoked: number;
let locks: { released: boolean; release(): Promise<void> }[];

const publisher = () => publishers.at(-1) as FakePublisher;
const ticket = () =>
  new Ticket(
    {
      addKey: async () => ({ ...key(1), secret: "gl_1" }),
      revokeKey: async () => {
        revoked += 1;
      },
    },
    "show",
    "This browser",
    null,
  );

function create(): GoLive {
  return new GoLive({
    media: media as unknown as GoLiveTools["media"],
    mixer: () => mixer as unknown as Mixer,
    publisher: (options) => {
      publishers.push(new FakePublisher(options));
      return publisher() as unknown as Publisher;
    },
    memory: new SettingsMemory(store),
  });
}

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("MediaStream", FakeStream);
  vi.stubGlobal("RTCPeerConnection", class {});
  HTMLCanvasElement.prototype.getContext = (() => null) as never;
  HTMLCanvasElement.prototype.captureStream = () =>
    new FakeStream([new FakeTrack("video", "dark")]) as unknown as MediaStream;
  locks = [];
  Object.assign(navigator, {
    wakeLock: {
      request: async () => {
        const lock = {
          released: false,
          release: async () => {
            lock.released = true;
          },
        };
        locks.push(lock);
        return lock;
      },
    },
  });
  media = new FakeMedia();
  mixer = new FakeMixer();
  publishers = [];
  store = new FakeStorage();
  revoked = 0;
  golive = create();
});

afterEach(() => {
  golive.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("the preview", () => {
  test("opens camera and microphone, and lists those with a name", async () => {
    expect(golive.picture).toBeNull();
    await golive.preview();
    expect(golive.picture?.label).toBe("camera");
    expect(mixer.inputs.get("microphone")?.label).toBe("microphone");
    expect(golive.devices.cameras.map(({ label }) => label)).toEqual(["Front"]);
    expect(golive.devices.microphones.map(({ label }) => label)).toEqual(["Desk"]);
    expect(golive.problems).toEqual([]);
  });

  test("shows what there is when one of the two is not to be had", async () => {
    media.fails = { microphone: "NotFoundError" };
    await golive.preview();
    expect(golive.picture?.label).toBe("camera");
    expect(golive.hears.microphone).toBe(false);
    expect(golive.problems).toMatchObject([{ kind: "microphone", problem: "missing" }]);
    media.fails = {};
    await golive.chooseMicrophone("mic1");
    expect(golive.hears.microphone).toBe(true);
    expect(golive.problems).toEqual([]);
  });

  test("follows what is chosen, and gives back what is not shown any more", async () => {
    await golive.preview();
    const [camera, microphone] = media.tracks;
    await golive.chooseCamera("cam1");
    expect(golive.picture?.label).toBe("cam1");
    expect(camera?.readyState).toBe("ended");
    await golive.chooseMicrophone(null);
    expect(microphone?.readyState).toBe("ended");
    expect(mixer.inputs.get("microphone")).toBeNull();
    await golive.choosePicture("none");
    expect(golive.picture).toBeNull();
    expect(create().settings).toMatchObject({ camera: "cam1", silent: true, picture: "none" });
  });

  test("a screen waits for a click of its own, and brings its sound", async () => {
    await golive.preview();
    await golive.choosePicture("screen");
    expect(golive.picture).toBeNull();
    await golive.shareScreen();
    expect(golive.picture?.label).toBe("screen");
    expect(mixer.inputs.get("screen")?.label).toBe("screen");
    expect(golive.hears).toEqual({ microphone: true, screen: true });
    (golive.picture as unknown as FakeTrack).onended?.();
    expect(golive.unshared).toBe(true);
    expect(golive.picture).toBeNull();
    expect(mixer.inputs.get("screen")).toBeNull();
  });

  test("gives everything back when the page goes", async () => {
    await golive.preview();
    golive.close();
    expect(media.tracks.map(({ readyState }) => readyState)).toEqual(["ended", "ended"]);
    expect(mixer.closed).toBe(true);
  });

  test("a camera that was allowed after the page had gone is let go of", async () => {
    const opening = golive.preview();
    golive.close();
    await opening;
    expect(media.tracks.every(({ readyState }) => readyState === "ended")).toBe(true);
  });
});

describe("the broadcast", () => {
  beforeEach(() => golive.preview());

  test("sends what the settings say, counts from the first moment, keeps the screen awake", async () => {
    await golive.chooseQuality({ size: 1080, rate: 60 });
    golive.start("show", ticket());
    expect(publisher().options.url).toBe("/app/show/whip");
    expect(publisher().sent).toMatchObject({ video: { label: "camera" }, bitrate: 6_300_000, rate: 60 });
    expect(golive.live).toBe(true);
    expect(golive.since).toBeNull();
    publisher().become({ kind: "on" });
    const since = golive.since;
    expect(since).toBe(Date.now());
    vi.advanceTimersByTime(5_000);
    publisher().become({ kind: "again", error: null });
    publisher().become({ kind: "on" });
    expect(golive.since).toBe(since);
    await vi.advanceTimersByTimeAsync(1);
    expect(locks).toHaveLength(1);
    const first = locks[0];
    if (first) first.released = true;
    golive.seen();
    await vi.advanceTimersByTimeAsync(1);
    expect(locks).toHaveLength(2);
    await golive.stop();
    expect([publisher().stopped, revoked, locks[1]?.released]).toEqual([1, 0, true]);
    expect(golive.live).toBe(false);
  });

  test("revokes its key afterwards", async () => {
    golive.start("show", ticket());
    await publisher().options.headers();
    await golive.stop();
    expect(revoked).toBe(1);
  });

  test("a refusal is shown, and the key given back", async () => {
    golive.start("show", ticket());
    await publisher().options.headers();
    publisher().become({ kind: "failed", error: new Error("no") });
    await vi.advanceTimersByTimeAsync(1);
    expect([golive.live, revoked, locks[0]?.released]).toEqual([false, 1, true]);
    golive.start("show", ticket());
    expect(publishers).toHaveLength(2);
  });

  test("another size, camera or screen goes out at once; without a picture, a dark one", async () => {
    golive.start("show", ticket());
    await golive.chooseQuality({ bitrate: 4000 });
    expect(publisher().changes.at(-1)).toEqual({ bitrate: 4_000_000, rate: 30 });
    await golive.choosePicture("screen");
    // Until the screen is chosen, the camera is on.
    expect(golive.picture?.label).toBe("camera");
    await golive.shareScreen();
    expect(publisher().changes.at(-1)).toMatchObject({ video: { label: "screen" } });
    (golive.picture as unknown as FakeTrack).onended?.();
    expect(publisher().changes.at(-1)).toMatchObject({ video: { label: "dark" } });
    await golive.shareScreen();
    expect(publisher().changes.at(-1)).toMatchObject({ video: { label: "screen" } });
  });

  test("the microphone is muted and heard again, what is shared is heard on", () => {
    golive.mute(true);
    expect([golive.muted, mixer.muted]).toEqual([true, true]);
    golive.mute(false);
    expect(mixer.muted).toBe(false);
  });

  test("the network is back", () => {
    golive.start("show", ticket());
    golive.wake();
    expect(publisher().woken).toBe(1);
  });
});

describe("the page", () => {
  let shown: ReturnType<typeof mount> | null = null;
  const streams: StreamInfo[] = [stream("offline"), stream("offline", { name: "other", title: "Other" })];

  function show(name: string | null): Navigation {
    history.replaceState(null, "", name ? `/studio/golive?stream=${name}` : "/studio/golive");
    const navigation = new Navigation();
    const api = {} as never;
    shown = mount(GoLivePage, { target: document.body, props: { api, navigation, name, streams } });
    flushSync();
    return navigation;
  }

  beforeEach(() => {
    HTMLDialogElement.prototype.showModal = function (this: HTMLDialogElement) {
      this.open = true;
    };
  });

  afterEach(async () => {
    if (shown) await unmount(shown);
    shown = null;
    document.body.replaceChildren();
  });

  test("says why it does nothing where the browser gives no camera", () => {
    show("demo");
    expect(document.querySelector("[data-testid=golive-unusable]")?.textContent).toContain("HTTPS");
    expect(document.querySelector("[data-testid=golive-start]")?.getAttribute("aria-disabled")).toBe("true");
  });

  test("names its stream in the address, and goes where it is sent while off the air", () => {
    const navigation = show(null);
    expect(window.location.search).toBe("?stream=demo");
    expect(navigation.guard?.({ page: "streams" })).toBe(true);
  });
});

describe("leaving", () => {
  test("a guard keeps the screen, by link and by the back button", () => {
    history.replaceState(null, "", "/studio/golive?stream=demo");
    const navigation = new Navigation();
    const asked: Route[] = [];
    navigation.guard = (route) => {
      asked.push(route);
      return false;
    };
    const stop = navigation.start();
    document.body.innerHTML = '<a href="/studio/demo">x</a>';
    document.querySelector("a")?.click();
    history.replaceState(null, "", "/studio");
    window.dispatchEvent(new PopStateEvent("popstate"));
    expect(asked).toEqual([{ page: "stream", name: "demo" }, { page: "streams" }]);
    expect(navigation.route).toEqual({ page: "golive", name: "demo" });
    expect(window.location.pathname + window.location.search).toBe("/studio/golive?stream=demo");
    navigation.guard = null;
    document.querySelector("a")?.click();
    expect(navigation.route).toEqual({ page: "stream", name: "demo" });
    stop();
    document.body.replaceChildren();
  });
});

test("the settings that a newcomer finds", () => {
  expect(DEFAULTS).toMatchObject({ picture: "camera", size: 720, rate: 30, simulcast: false, mirror: true });
});
