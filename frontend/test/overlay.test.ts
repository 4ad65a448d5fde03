import { flushSync, mount, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { popOut, popOutUrl } from "../src/embed/popout";
import { PictureClock } from "../src/lib/player/clock";
import { shareClock, sharedClock } from "../src/lib/player/clockchannel";
import Overlay from "../src/overlay/Overlay.svelte";
import { overlayOptions } from "../src/overlay/options";
import { ADA, BO, FakeSocket, message } from "./chat-support";

const shown = () => [...document.querySelectorAll('[data-testid="overlay-message"]')];
const texts = () => shown().map((item) => item.textContent?.replace(/\s+/gu, " ").trim());

describe("the options of the overlay", () => {
  test("have standards", () => {
    const standard = { size: 28, fade: 0, names: true, pictures: false, align: "left" };
    expect(overlayOptions("")).toEqual(standard);
    expect(overlayOptions("?size=big&fade=&names=yes&align=up")).toEqual(standard);
  });

  test("are read from the address and kept in their limits", () => {
    const read = { size: 40, fade: 12.5, names: false, pictures: true, align: "right" };
    expect(overlayOptions("?size=40&fade=12.5&names=off&pictures=on&align=right")).toEqual(read);
    expect(overlayOptions("?size=1e9&fade=-3")).toMatchObject({ size: 120, fade: 0 });
    expect(overlayOptions("?size=0&fade=1e9")).toMatchObject({ size: 10, fade: 3_600 });
  });
});

describe("the overlay", () => {
  let page: object;

  const open = (search: string) => {
    window.history.replaceState(null, "", `/overlay/demo${search}`);
    page = mount(Overlay, { target: document.body });
    flushSync();
  };

  beforeEach(() => {
    FakeSocket.all = [];
    vi.stubGlobal("WebSocket", FakeSocket);
  });

  afterEach(async () => {
    await unmount(page);
    document.body.replaceChildren();
    vi.unstubAllGlobals();
    window.localStorage.clear();
    window.history.replaceState(null, "", "/");
  });

  test("shows what was and is said, and what is taken away goes", () => {
    open("");
    FakeSocket.last.welcome({ messages: [message(1, ADA, "one")] });
    flushSync();
    FakeSocket.last.tell("message", { seq: 2, message: message(2, BO, "<b>two</b>") });
    flushSync();
    expect(texts()).toEqual(["Ada one", "Bo <b>two</b>"]);
    expect(shown()[0]?.classList.contains("fading")).toBe(false);
    FakeSocket.last.tell("deleted", { seq: 3, ids: [1] });
    flushSync();
    expect(texts()).toEqual(["Bo <b>two</b>"]);
    expect(document.querySelector("input, textarea, button, a")).toBeNull();
  });

  test("begins empty where messages go after a while, and leaves names out when asked to", () => {
    open("?fade=5&names=off");
    FakeSocket.last.welcome({ messages: [message(1, ADA, "long ago")] });
    flushSync();
    expect(shown()).toHaveLength(0);
    FakeSocket.last.tell("message", { seq: 2, message: message(2, BO, "now") });
    flushSync();
    expect(texts()).toEqual(["now"]);
    expect(shown()[0]?.classList.contains("fading")).toBe(true);
  });

  test("shows the room's emotes, and pictures of strangers only when asked to", async () => {
    const media = {
      url: "/api/v1/chat/media/1",
      thumb: "/api/v1/chat/media/1?w=1",
      type: "image/png",
      alt: "a cat",
    };
    const messages = [
      message(1, ADA, "hi :wave: :no:"),
      { ...message(2, BO, "cat.png"), kind: "image", media },
      { ...message(3, BO, ""), kind: "unreadable" },
    ];
    const emotes = [{ code: "wave", url: "/api/v1/chat/media/2" }];
    open("");
    FakeSocket.last.welcome({ messages, emotes });
    flushSync();
    expect(texts()).toEqual(["Ada hi :no:", "Bo [a cat]"]);
    expect(document.querySelector("img")?.getAttribute("src")).toBe("/api/v1/chat/media/2");
    await unmount(page);
    open("?pictures=on");
    FakeSocket.last.welcome({ messages, emotes });
    flushSync();
    const picture = () => shown()[1]?.querySelector("img")?.getAttribute("src");
    await vi.waitFor(() => expect(picture()).toBe("/api/v1/chat/media/1?w=1"));
    expect(document.querySelector("button, dialog")).toBeNull();
  });

  test("shows formatted text as the page does, with nothing in it to be pressed", async () => {
    const html = `<b>big</b> <a href="https://example.org/">there</a> <span class="spoiler">the end</span><img src="/api/v1/chat/media/3" alt=":cat:">`;
    open("");
    FakeSocket.last.welcome({ messages: [{ ...message(1, ADA, "big there"), html }] });
    await vi.waitFor(() => expect(shown()[0]?.querySelector("b")?.textContent).toBe("big"));
    expect(texts()).toEqual(["Ada big there Spoiler"]);
    expect(shown()[0]?.querySelector("img.emote")?.getAttribute("src")).toBe("/api/v1/chat/media/3");
    expect(document.querySelector("input, textarea, button, a")).toBeNull();
  });

  test("is nobody, also in the browser of somebody who has a name", () => {
    window.localStorage.setItem("ghostlive.guest", "secret");
    open("");
    FakeSocket.last.open();
    expect(FakeSocket.last.take()).toEqual([{ type: "hello" }]);
  });
});

describe("the window with the chat", () => {
  test("has an address of its own", () => {
    expect(popOutUrl("a b")).toBe("/embed/a%20b?chat=only");
  });

  test("is one for each stream; the browser may refuse it", () => {
    const opened = { focus: vi.fn() };
    const open = vi.spyOn(window, "open").mockReturnValue(opened as unknown as Window);
    expect(popOut("demo")).toBe(true);
    expect(opened.focus).toHaveBeenCalled();
    expect(open.mock.calls[0]?.[1]).toContain("demo");
    open.mockReturnValue(null);
    expect(popOut("demo")).toBe(false);
    open.mockRestore();
  });

  test("follows the picture of the page that is open beside it", () => {
    vi.useFakeTimers();
    const near = {
      postMessage: (data: unknown) => far.onmessage?.({ data } as MessageEvent),
      close: vi.fn(),
      onmessage: null,
    };
    const far: {
      postMessage: () => void;
      close: () => void;
      onmessage: ((event: MessageEvent) => void) | null;
    } = {
      postMessage: () => {},
      close: vi.fn(),
      onmessage: null,
    };
    let now = 0;
    let at = 2_000_000_000_000;
    const clock = new PictureClock();
    clock.follow(() => ({ at, behind: 3 }));
    const shared = sharedClock("demo", far as never, () => now);
    expect(shared.clock.read()).toBeNull();
    const stop = shareClock("demo", clock, near as never);
    const pass = (ms: number) => {
      now += ms;
      at += ms;
      vi.advanceTimersByTime(ms);
    };
    pass(500);
    pass(500);
    expect(shared.clock.read()).toEqual({ at, behind: 3 });
    now += 200;
    expect(shared.clock.read()).toEqual({ at: at + 200, behind: 3 });
    now += 5_000;
    expect(shared.clock.read()).toBeNull();
    pass(500);
    stop();
    expect(shared.clock.read()).toBeNull();
    shared.close();
    expect(far.close).toHaveBeenCalled();
    far.onmessage?.({ data: { at: "soon", behind: {} } } as MessageEvent);
    expect(shared.clock.read()).toEqual({ at: null, behind: null });
    vi.useRealTimers();
  });

  test("goes along with nothing where browsers have no channels", () => {
    vi.stubGlobal("BroadcastChannel", undefined);
    expect(sharedClock("demo").clock.read()).toBeNull();
    expect(() => shareClock("demo", new PictureClock())()).not.toThrow();
    vi.unstubAllGlobals();
  });
});
