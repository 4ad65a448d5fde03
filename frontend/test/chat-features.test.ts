import { flushSync, mount, tick, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import ChatPanel from "../src/chat/ChatPanel.svelte";
import { ADA, BO, FakeSocket, message } from "./chat-support";

const YOU = { ...ADA, can: ["post", "react", "edit"] };
const MODERATOR = { ...ADA, role: "moderator", can: ["post", "react", "edit", "moderate"] };
const RULES = {
  slow: 0,
  followers: 0,
  approve: false,
  links: true,
  emotes: false,
  readonly: false,
  guests: "open",
  shield: false,
};
const STREAMER = { id: "u_1", name: "Boss", hue: 9, role: "streamer" } as const;

/** Parts come by an import, which takes long on a busy machine. */
const PATIENT = { timeout: 20_000 };
vi.setConfig({ testTimeout: 40_000 });

let panel: object;

const all = <T extends HTMLElement>(testid: string) => [
  ...document.querySelectorAll<T>(`[data-testid="${testid}"]`),
];
const find = <T extends HTMLElement>(testid: string) => all<T>(testid)[0] as T;
const row = (id: number) => document.querySelector<HTMLElement>(`[data-message="${id}"]`) as HTMLElement;
const inside = (id: number, testid: string) =>
  row(id).querySelector<HTMLElement>(`[data-testid="${testid}"]`) as HTMLElement;
const field = () => find<HTMLTextAreaElement>("chat-field");
const server = () => FakeSocket.last;

/** A part that is loaded when it is first used. */
async function loaded<T extends HTMLElement>(testid: string): Promise<T> {
  await vi.waitFor(() => expect(find(testid)).toBeDefined(), PATIENT);
  return find<T>(testid);
}

async function tell(type: string, members: object): Promise<void> {
  server().tell(type, members);
  await tick();
}

async function write(text: string): Promise<void> {
  field().value = text;
  field().setSelectionRange(text.length, text.length);
  field().dispatchEvent(new Event("input", { bubbles: true }));
  await tick();
}

function press(key: string, target: HTMLElement = field()): void {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  flushSync();
}

function point(id: number): void {
  row(id).focus();
  flushSync();
}

async function open(members: object = {}): Promise<void> {
  panel = mount(ChatPanel, { target: document.body, props: { stream: "demo" } });
  flushSync();
  server().welcome({ you: YOU, rules: RULES, ...members });
  await tick();
  server().take();
}

beforeEach(() => {
  FakeSocket.all = [];
  vi.stubGlobal("WebSocket", FakeSocket);
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
  Element.prototype.scrollIntoView = () => {};
  HTMLDialogElement.prototype.showModal = function () {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = function () {
    this.open = false;
    this.dispatchEvent(new Event("close"));
  };
});

afterEach(async () => {
  await unmount(panel);
  document.body.replaceChildren();
  vi.unstubAllGlobals();
});

describe("reactions", () => {
  const reacted = { ...message(1, BO), reactions: [{ key: "👍", count: 2 }] };

  test("are shown, added and taken back; one's own are marked", async () => {
    await open({ messages: [reacted], mine: { 1: ["👍"] } });
    const chip = await loaded("chat-reaction");
    expect([chip.textContent?.trim(), chip.getAttribute("aria-pressed")]).toEqual(["👍 2", "true"]);
    chip.click();
    expect(server().take()).toEqual([{ type: "react", id: 1, key: "👍", on: false }]);
    await tell("reactions", { seq: 2, id: 1, reactions: [{ key: "👍", count: 1 }] });
    expect(find("chat-reaction").getAttribute("aria-pressed")).toBe("false");
    await tell("reactions", { seq: 3, id: 1, reactions: [] });
    expect(find("chat-reaction")).toBeUndefined();
  });

  test("a refused one is not marked any more", async () => {
    await open({ messages: [reacted] });
    (await loaded("chat-reaction")).click();
    await tick();
    expect(find("chat-reaction").getAttribute("aria-pressed")).toBe("true");
    await tell("error", { code: "too_fast", text: "" });
    expect(find("chat-reaction").getAttribute("aria-pressed")).toBe("false");
  });

  test("are picked by keyboard, and the focus comes back to the message", async () => {
    await open({ messages: [message(1, BO)] });
    point(1);
    inside(1, "chat-react").click();
    const picker = await loaded("reaction-picker");
    await vi.waitFor(() => expect(document.activeElement).toBe(picker.querySelector("button")), PATIENT);
    (document.activeElement as HTMLElement).click();
    await tick();
    expect(server().take()).toEqual([{ type: "react", id: 1, key: "👍", on: true }]);
    expect(document.activeElement).toBe(row(1));
  });

  test("who may not react sees them, and cannot press", async () => {
    await open({ you: null, messages: [reacted] });
    expect((await loaded<HTMLButtonElement>("chat-reaction")).disabled).toBe(true);
  });
});

describe("editing", () => {
  test("the arrow up brings the last own message into the field, and Enter sends the change", async () => {
    await open({ messages: [message(1, ADA, "helo"), message(2, BO, "hi")] });
    press("ArrowUp");
    await tick();
    expect(find("chat-editing")).toBeDefined();
    expect(field().value).toBe("helo");
    await write("hello");
    press("Enter");
    await tick();
    expect(server().take()).toEqual([{ type: "edit", id: 1, text: "hello" }]);
    expect([field().value, find("chat-editing")]).toEqual(["", undefined]);
    await tell("edited", {
      seq: 3,
      message: { ...message(1, ADA, "hello"), edited: "2026-01-01T12:01:00Z" },
    });
    expect(inside(1, "chat-text").textContent).toBe("hello");
    expect(row(1).textContent).toContain("(edited)");
  });

  test("Escape leaves it as it was, and what did not change is not sent", async () => {
    await open({ messages: [message(1, ADA, "hello")] });
    press("ArrowUp");
    await tick();
    press("Enter");
    await tick();
    press("ArrowUp");
    await tick();
    await write("other");
    press("Escape");
    await tick();
    expect([field().value, find("chat-editing")]).toEqual(["", undefined]);
    expect(server().take()).toEqual([]);
  });

  test("not of others, and the arrow keeps its meaning in a text", async () => {
    await open({ messages: [message(1, BO, "hi")] });
    press("ArrowUp");
    expect(find("chat-editing")).toBeUndefined();
    point(1);
    expect(inside(1, "chat-edit")).toBeNull();
  });

  test("a message that goes while it is changed", async () => {
    await open({ messages: [message(1, ADA, "hello")] });
    press("ArrowUp");
    await tick();
    await tell("deleted", { seq: 2, ids: [1] });
    await tick();
    expect([field().value, find("chat-editing")]).toEqual(["", undefined]);
  });

  test("reactions outlive an edit that does not speak of them", async () => {
    await open({ messages: [{ ...message(1, BO), reactions: [{ key: "👍", count: 1 }] }] });
    await tell("edited", { seq: 2, message: message(1, BO, "new") });
    await loaded("chat-reaction");
  });
});

describe("what is taken away leaves a mark", () => {
  test("without its words, and several together as one", async () => {
    await open({ messages: [1, 2, 3, 4].map((id) => message(id, BO)) });
    await tell("deleted", { seq: 5, ids: [2, 3] });
    expect(all("chat-removed").map(({ textContent }) => textContent?.trim())).toEqual([
      "2 messages were removed",
    ]);
    expect(document.body.textContent).not.toContain("message 2");
  });
});

describe("from Matrix", () => {
  const lee = { id: "m_abc", name: "Lee", hue: 1, role: "guest", matrix: "@lee:example.org" } as const;

  test("formatted text, a picture to enlarge, a sticker, a notice, what cannot be read", async () => {
    const url = "/api/v1/chat/media/1";
    await open({
      messages: [
        { ...message(1, lee, "bold"), html: "<b>bold</b><script>x</script>" },
        {
          ...message(2, lee, "cat.png"),
          kind: "image",
          media: {
            url,
            thumb: `${url}?w=400`,
            width: 800,
            height: 400,
            alt: "A cat",
            type: "image/png",
            size: 1,
          },
        },
        { ...message(3, lee, "hi"), kind: "sticker", media: { url, width: null, height: null, alt: "" } },
        { ...message(4, lee, "told"), kind: "notice" },
        { ...message(5, lee, ""), kind: "unreadable" },
        { ...message(6, lee, "x"), kind: "image", media: { url: "https://evil.example/x.png" } },
      ],
    });
    const picture = await loaded("chat-picture");
    expect(inside(1, "chat-text").innerHTML).toBe("<b>bold</b>");
    const image = picture.querySelector("img") as HTMLImageElement;
    expect([image.getAttribute("src"), image.width, image.height, image.alt]).toEqual([
      `${url}?w=400`,
      260,
      130,
      "A cat",
    ]);
    picture.click();
    await tick();
    expect(find("chat-picture-large").getAttribute("src")).toBe(url);
    expect(row(3).querySelector("img")?.getAttribute("src")).toBe(url);
    expect(row(4).className).toContain("notice");
    expect(inside(5, "chat-text").textContent).toContain("encrypted");
    // An address of somebody else is not loaded.
    expect(row(6).querySelector("img")).toBeNull();
  });

  test("a picture that is looked at stays when its message is not drawn any more", async () => {
    const media = { url: "/api/v1/chat/media/1", width: 8, height: 4, alt: "A cat" };
    await open({ messages: [{ ...message(1, lee, "cat.png"), kind: "image", media }] });
    (await loaded("chat-picture")).click();
    await tick();
    for (let id = 2; id <= 80; id += 1) server().tell("message", { seq: id, message: message(id, BO) });
    await tick();
    expect(row(1)).toBeNull();
    expect(find("chat-picture-large")).toBeDefined();
    find("chat-picture-large").closest("dialog")?.close();
    await tick();
    expect(find("chat-picture-large")).toBeUndefined();
    expect(document.activeElement?.getAttribute("role")).toBe("log");
  });

  test("the room's link and address, and a code to sign in", async () => {
    vi.stubGlobal("fetch", async (_url: string, { method }: RequestInit) =>
      Response.json(
        method === "POST" ? { code: "77-88", bot: "@_ghostlive:here", expires_in: 600 } : { matrix: null },
      ),
    );
    await open({
      matrix: { alias: "#live_demo:here", room: "!r", link: "https://matrix.to/#/%23live_demo:here" },
    });
    find("chat-matrix").click();
    const link = (await loaded<HTMLAnchorElement>("matrix-link")) as HTMLAnchorElement;
    expect(link.href).toBe("https://matrix.to/#/%23live_demo:here");
    expect(find<HTMLInputElement>("matrix-alias").value).toBe("#live_demo:here");
    find("matrix-sign-in").click();
    expect((await loaded<HTMLInputElement>("matrix-code")).value).toBe("77-88");
  });
});

describe("completion and commands", () => {
  test("a name is completed by keyboard, and the field says what is chosen", async () => {
    await open({ messages: [message(1, BO), message(2, { ...BO, id: "g9", name: "Bob" })] });
    server().tell("people", { people: 2, names: [] });
    await write("hi @b");
    const list = await loaded("chat-completion");
    expect([...list.children].map(({ textContent }) => textContent?.trim())).toEqual(["Bo", "Bob"]);
    press("ArrowDown");
    await tick();
    const chosen = field().getAttribute("aria-activedescendant") as string;
    expect(document.getElementById(chosen)?.textContent?.trim()).toBe("Bob");
    press("Enter");
    await tick();
    expect(field().value).toBe("hi @Bob ");
    expect(
      server()
        .take()
        .filter(({ type }) => type === "post"),
    ).toEqual([]);
  });

  test("Escape closes the list, and then Enter sends", async () => {
    await open({ messages: [message(1, BO)] });
    await write("@b");
    await loaded("chat-completion");
    press("Escape");
    await tick();
    expect(find("chat-completion")).toBeUndefined();
    press("Enter");
    expect(server().take()).toContainEqual(expect.objectContaining({ type: "post", text: "@b" }));
  });

  test("a slash is a command, two are a text that begins with one", async () => {
    await open();
    await write("/slow 10");
    press("Enter");
    await write("//slow");
    press("Enter");
    expect(server().take()).toEqual([
      { type: "command", text: "slow 10" },
      expect.objectContaining({ type: "post", text: "/slow" }),
    ]);
  });

  test("/me is what one does, and a message like others", async () => {
    await open();
    await write("/me  waves");
    press("Enter");
    await write("/me");
    press("Enter");
    expect(server().take()).toEqual([
      expect.objectContaining({ type: "post", text: "waves", emote: true }),
      { type: "command", text: "me" },
    ]);
    await tick();
    expect(document.querySelector('[data-testid="chat-pending"] .emote')?.textContent).toBe("waves");
  });

  test("the answer is a line of its own, which can be closed", async () => {
    await open();
    await tell("notice", { text: "Slow mode is on.\nTurn it off with /slow off.", level: "info" });
    expect(find("chat-notice").textContent).toContain("Slow mode is on.");
    find("chat-notice").querySelector("button")?.click();
    await tick();
    expect(find("chat-notice")).toBeUndefined();
  });

  test("codes of the room's pictures are pictures", async () => {
    await open({
      emotes: [{ code: "party", url: "/api/v1/chat/media/p" }],
      messages: [message(1, BO, "wow :party:")],
    });
    expect(inside(1, "chat-text").querySelector("img")?.getAttribute("src")).toBe("/api/v1/chat/media/p");
    await tell("emotes", { emotes: [] });
    expect(inside(1, "chat-text").textContent).toBe("wow :party:");
  });
});

describe("rules", () => {
  test("stand above the field; in slow mode with the time that is left", async () => {
    await open({ rules: { ...RULES, slow: 30 } });
    expect((await loaded("chat-rules")).textContent).toContain("Slow mode: one message every");
    await write("hello");
    press("Enter");
    const [post] = server().take();
    await tell("ack", { txn: post?.txn, id: 5, seq: 5 });
    await loaded("chat-slow-left");
    await tell("rules", { rules: RULES });
    await vi.waitFor(() => expect(find("chat-rules")).toBeUndefined(), PATIENT);
  });

  test("who may not write sees why instead of the field", async () => {
    await open({ rules: { ...RULES, readonly: true } });
    expect((await loaded("chat-rules")).textContent).toContain("Only moderators");
    expect(field()).toBeUndefined();
    await tell("rules", { rules: RULES });
    expect(field()).toBeDefined();
  });

  test("a held message says so, and is gone when it is let through", async () => {
    await open();
    await write("may I?");
    press("Enter");
    const [post] = server().take();
    await tell("ack", { txn: post?.txn, id: null, held: true, text: "A moderator looks at it first." });
    expect(find("chat-pending").dataset.state).toBe("held");
    expect(find("chat-notice").textContent).toContain("A moderator looks at it first.");
    await tell("message", { seq: 9, message: message(9, ADA, "may I?") });
    expect(find("chat-pending")).toBeUndefined();
    expect(row(9)).not.toBeNull();
  });

  test("a held message that is refused comes back with the reason", async () => {
    await open();
    await write("may I?");
    press("Enter");
    const [post] = server().take();
    await tell("ack", { txn: post?.txn, id: null, held: true, text: "" });
    await tell("error", {
      code: "not_approved",
      text: "A moderator did not let it through.",
      txn: post?.txn,
    });
    expect(find("chat-pending").dataset.state).toBe("failed");
    expect(find("chat-error").textContent).toBe("A moderator did not let it through.");
  });

  test("slow mode is sat out, with the time that is left", async () => {
    vi.useFakeTimers();
    await open({ rules: { ...RULES, slow: 10 } });
    await write("again");
    press("Enter");
    const [post] = server().take();
    await tell("error", { code: "slow_mode", text: "Wait.", retry_after: 7, txn: post?.txn });
    expect(find("chat-pending").dataset.state).toBe("waiting");
    await vi.advanceTimersByTimeAsync(7_000);
    expect(
      server()
        .take()
        .filter(({ type }) => type === "post"),
    ).toEqual([post]);
    vi.useRealTimers();
  });

  test("who must sign in is shown how, also from Matrix", async () => {
    await open({ you: null, matrix: { alias: "#live_demo:here", room: "!r", link: "" } });
    find<HTMLInputElement>("chat-name-field").value = "Zed";
    find("chat-name-field").dispatchEvent(new Event("input", { bubbles: true }));
    await tick();
    find("chat-join").click();
    await tell("error", { code: "sign_in_needed", text: "New guests have to sign in here." });
    expect(find("chat-error").textContent).toBe("New guests have to sign in here.");
    expect(find("chat-sign-in").querySelector("a")?.getAttribute("href")).toBe("/login");
    find("chat-sign-in").querySelector("button")?.click();
    await loaded("matrix-dialog");
  });

  test("a pinned message stands above all, until it is taken away", async () => {
    await open({ messages: [message(1, BO, "read this")], pinned: message(1, BO, "read this") });
    expect((await loaded("chat-pinned")).textContent).toContain("read this");
    expect(find("chat-unpin")).toBeUndefined();
    await tell("pinned", { message: { ...message(1, BO, "read this"), html: "<b>read</b> this" } });
    await vi.waitFor(() => expect(find("chat-pinned").querySelector("b")).not.toBeNull(), PATIENT);
    await tell("deleted", { seq: 2, ids: [1] });
    expect(find("chat-pinned")).toBeUndefined();
  });

  test("who is sent out comes back only by the button", async () => {
    await open();
    await tell("kicked", { text: "Calm down." });
    expect(find("chat-kicked").textContent).toContain("Calm down.");
    expect(find("chat").dataset.status).toBe("out");
    expect(FakeSocket.all).toHaveLength(1);
    find("chat-kicked").querySelector("button")?.click();
    expect(FakeSocket.all).toHaveLength(2);
    server().welcome({ you: YOU });
    await tick();
    expect(find("chat-kicked")).toBeUndefined();
  });

  test("a line that is closed by keyboard leaves the focus in the chat", async () => {
    await open({ messages: [message(1, BO)], pinned: message(1, BO) });
    await tell("notice", { text: "Well done.", level: "warn" });
    for (const line of ["chat-notice", "chat-pinned"]) {
      const button = [...(await loaded(line)).querySelectorAll("button")].at(-1);
      button?.focus();
      button?.click();
      await tick();
      expect(find(line)).toBeUndefined();
      expect(document.activeElement?.getAttribute("role")).toBe("log");
    }
  });

  test("a challenge is answered beside the page", async () => {
    await open({ you: null });
    await tell("challenge", { nonce: "n.", bits: 6 });
    await vi.waitFor(
      () => expect(server().take()).toContainEqual({ type: "work", nonce: "n.", answer: expect.any(String) }),
      PATIENT,
    );
  });
});

describe("moderation", () => {
  const held = (id: number) => ({
    id,
    at: "2026-01-01T12:00:00Z",
    author: BO,
    text: `held ${id}`,
    reason: "new here",
  });

  test("nobody else is shown anything of it", async () => {
    await open({ messages: [message(1, BO)], held: [] });
    point(1);
    expect(inside(1, "chat-ban")).toBeNull();
    expect(find("mod-tools")).toBeUndefined();
    inside(1, "chat-name").click();
    await loaded("chat-card");
    expect(find("card-kick")).toBeUndefined();
    expect(server().take()).toEqual([]);
  });

  test("the card of somebody: what is known, and what can be done", async () => {
    await open({
      you: MODERATOR,
      messages: [message(1, BO, "spam"), message(2, ADA), message(3, BO, "more spam")],
    });
    point(1);
    inside(1, "chat-name").click();
    await loaded("card-kick");
    expect(server().take()).toEqual([{ type: "who", author: "g2" }]);
    await tell("who", { author: "g2", tag: "crow-12", warnings: 2, watched: 300, trusted: false });
    expect(find("card-known").textContent).toContain("crow-12");
    expect(find("chat-card").textContent).toContain("more spam");
    find("card-warn").click();
    await tick();
    find<HTMLInputElement>("card-warn-reason").value = "no spam";
    find("card-warn-reason").dispatchEvent(new Event("input", { bubbles: true }));
    await tick();
    find("card-warn-reason").closest("form")?.requestSubmit();
    expect(server().take()).toEqual([{ type: "act", act: "warn", reason: "no spam", author: "g2" }]);
    for (const [testid, act] of [
      ["card-kick", { act: "kick" }],
      ["card-timeout", { act: "timeout", seconds: 60 }],
      ["card-trust", { act: "trust", value: true }],
    ] as const) {
      point(1);
      inside(1, "chat-name").click();
      (await loaded(testid)).click();
      await tick();
      expect(server().take()).toContainEqual({ type: "act", ...act, author: "g2" });
      expect(find("chat-card")).toBeUndefined();
      expect(document.activeElement).toBe(row(1));
    }
  });

  test("only the streamer makes moderators, and not of a browser's guest", async () => {
    const lee = { id: "m_abc", name: "Lee", hue: 1, role: "guest", matrix: "@lee:example.org" } as const;
    await open({
      you: { ...STREAMER, can: ["post", "moderate"] },
      messages: [message(1, BO), message(2, lee)],
    });
    point(1);
    inside(1, "chat-name").click();
    await loaded("card-kick");
    expect(find("card-moderator")).toBeUndefined();
    point(2);
    inside(2, "chat-name").click();
    (await loaded("card-moderator")).click();
    expect(server().take()).toContainEqual({ type: "act", act: "moderator", value: true, author: "m_abc" });
  });

  test("all of somebody is taken away only when it is said twice", async () => {
    await open({ you: MODERATOR, messages: [message(1, BO)] });
    point(1);
    inside(1, "chat-name").click();
    (await loaded("card-delete-all")).click();
    await tick();
    server().take();
    find("card-delete-all-sure").click();
    expect(server().take()).toEqual([{ type: "act", act: "delete_all", author: "g2" }]);
  });

  test("a ban from the card, also of watching", async () => {
    await open({ you: MODERATOR, messages: [message(1, BO)] });
    point(1);
    inside(1, "chat-name").click();
    (await loaded("card-ban")).click();
    await loaded("ban-confirm");
    find("ban-watching").click();
    await tick();
    expect(find("ban-confirm").closest("dialog")?.textContent).toContain("neither write nor watch");
    find("ban-confirm").click();
    expect(server().take()).toContainEqual({ type: "ban", id: 1, seconds: 600, watching: true });
  });

  test("a card that was opened from the list of people gives the focus back to its button", async () => {
    await open({ people: 2 });
    find("chat-count").click();
    await tell("people", { people: 2, names: [ADA, BO] });
    await loaded("chat-people");
    const names = [...find("chat-people").querySelectorAll("button")];
    names.find((name) => name.textContent === "Bo")?.click();
    press("Escape", await loaded("chat-card"));
    expect(find("chat-card")).toBeUndefined();
    expect(document.activeElement).toBe(find("chat-count"));
  });

  test("the streamer is nobody's to ban", async () => {
    await open({ you: MODERATOR, messages: [message(1, STREAMER)] });
    point(1);
    expect(inside(1, "chat-ban")).toBeNull();
  });

  test("what waits is decided one by one or all at once", async () => {
    await open({ you: MODERATOR, held: [held(1), held(2), held(3)] });
    const button = await loaded("mod-held");
    expect(button.dataset.count).toBe("3");
    button.click();
    await tick();
    (find("held-allow") as HTMLElement).click();
    expect(server().take()).toEqual([{ type: "decide", ids: [1], allow: true }]);
    await tell("held", { add: [held(4)], remove: [1] });
    expect(all("held").map(({ dataset }) => dataset.held)).toEqual(["2", "3", "4"]);
    all("held-queue")[0]?.querySelector<HTMLElement>(":scope > .row button:last-child")?.click();
    expect(server().take()).toEqual([{ type: "decide", ids: [2, 3, 4], allow: false }]);
    await tell("held", { add: [], remove: [2, 3, 4] });
    await tick();
    expect(find("held-queue")).toBeUndefined();
    await vi.waitFor(() => expect(document.activeElement).toBe(find("mod-rules")), PATIENT);
  });

  test("a picture that waits is described, and shown to who wants to see it", async () => {
    const at = (id: number) => `/api/v1/streams/demo/chat/held/${id}/media/`;
    const media = (id: number) => ({ url: `${at(id)}cat`, thumb: `${at(id)}cat?w=640`, alt: "cat.png" });
    const image = { ...held(1), kind: "image", text: "Look at her", media: media(1) };
    const foreign = { ...held(4), kind: "image", media: { url: "https://example.org/x", thumb: "x" } };
    const html = `<b>bold</b> <img class="emote" src="${at(3)}wave" alt=":wave:">`;
    await open({
      you: MODERATOR,
      held: [image, { ...held(2), kind: "sticker", media: media(2) }, { ...held(3), html }, foreign],
    });
    (await loaded("mod-held")).click();
    await tick();
    await vi.waitFor(() => expect(all("held")[2]?.querySelector("b")?.textContent).toBe("bold"), PATIENT);
    const [cat, sticker, wave, other] = all("held");
    expect(wave?.querySelector("img.emote")?.getAttribute("src")).toBe(`${at(3)}wave`);
    expect(cat?.textContent).toContain("Picture: Look at her");
    expect(sticker?.textContent).toContain("Sticker:");
    expect(other?.querySelector("button[aria-expanded]")).toBeNull();
    const [show, ...others] = all("covered");
    expect(others).toHaveLength(1);
    expect(show?.getAttribute("aria-expanded")).toBe("false");
    expect(cat?.querySelector("img"), "not loaded before it is wanted").toBeNull();
    show?.click();
    await tick();
    const picture = cat?.querySelector("img");
    expect([picture?.getAttribute("src"), picture?.alt]).toEqual([`${at(1)}cat?w=640`, "cat.png"]);
    expect(sticker?.querySelector("img")).toBeNull();
    picture?.dispatchEvent(new Event("error"));
    await tick();
    expect(cat?.querySelector("[role=status]")?.textContent).toContain("cat.png");
    expect(cat?.querySelector("img")).toBeNull();
    show?.click();
    await tick();
    show?.click();
    await tick();
    expect(cat?.querySelector("img"), "it is tried again").not.toBeNull();
  });

  test("the shield is one button", async () => {
    await open({ you: MODERATOR });
    const shield = await loaded("mod-shield");
    shield.click();
    expect(server().take()).toEqual([{ type: "act", act: "shield", value: true }]);
    await tell("rules", { rules: { ...RULES, shield: true } });
    expect(shield.getAttribute("aria-pressed")).toBe("true");
    shield.click();
    expect(server().take()).toEqual([{ type: "act", act: "shield", value: false }]);
  });

  test("rules are changed one at a time, and a clear is asked for twice", async () => {
    await open({ you: MODERATOR });
    (await loaded("mod-rules")).click();
    await tick();
    find("rule-links").click();
    const slow = find<HTMLSelectElement>("rule-slow");
    slow.value = "10";
    slow.dispatchEvent(new Event("change", { bubbles: true }));
    find("mod-clear").click();
    await tick();
    await tick();
    expect(document.activeElement).toBe(find("mod-clear-sure"));
    find("mod-clear-sure").click();
    expect(server().take()).toEqual([
      { type: "act", act: "rules", value: { links: false } },
      { type: "act", act: "rules", value: { slow: 10 } },
      { type: "act", act: "clear" },
    ]);
  });

  test("pin and unpin", async () => {
    await open({ you: MODERATOR, messages: [message(1, BO)] });
    point(1);
    inside(1, "chat-pin").click();
    await tell("pinned", { message: message(1, BO) });
    (await loaded("chat-unpin")).click();
    expect(server().take()).toEqual([
      { type: "act", act: "pin", id: 1 },
      { type: "act", act: "pin" },
    ]);
  });
});

describe("a long list", () => {
  test("draws few of many, goes through all by keyboard, and jumps to what is quoted", async () => {
    const messages = Array.from({ length: 290 }, (_, index) => message(index + 1, BO));
    const quote = { id: 3, name: "Bo", text: "message 3" };
    await open({ messages: [...messages, { ...message(300, BO), reply: quote }] });
    expect(all("chat-message").length).toBeLessThanOrEqual(60);
    expect(row(3)).toBeNull();
    inside(300, "chat-quote").click();
    await vi.waitFor(() => expect(document.activeElement).toBe(row(3)), PATIENT);
    expect(row(3).className).toContain("found");
    press("ArrowUp", row(3));
    await vi.waitFor(() => expect(document.activeElement).toBe(row(2)), PATIENT);
    press("End", row(2));
    await vi.waitFor(() => expect(document.activeElement).toBe(row(300)), PATIENT);
    expect(all("chat-message").length).toBeLessThan(100);
  });

  test("a thousand messages at once are one drawing of few rows", async () => {
    await open();
    for (let id = 1; id <= 1_000; id += 1) server().tell("message", { seq: id, message: message(id, BO) });
    await tick();
    expect(all("chat-message").length).toBeLessThanOrEqual(60);
    expect(row(1_000)).not.toBeNull();
  });

  test("a new message draws one line, and no other anew", async () => {
    await open({ messages: Array.from({ length: 100 }, (_, index) => message(index + 1, BO)) });
    const formatted = vi.spyOn(Intl.DateTimeFormat.prototype, "formatToParts");
    for (let id = 101; id <= 130; id += 1) await tell("message", { seq: id, message: message(id, BO) });
    await vi.waitFor(() => expect(row(130)).not.toBeNull(), PATIENT);
    expect(formatted).toHaveBeenCalledTimes(30);
    formatted.mockRestore();
  });

  test("news is read out once, history and one's own are not", async () => {
    vi.useFakeTimers();
    await open({ messages: [message(1, BO, "old")] });
    await vi.advanceTimersByTimeAsync(1_000);
    await tell("message", { seq: 2, message: message(2, BO, "news") });
    await tell("message", { seq: 3, message: message(3, ADA, "mine") });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(find("chat-announcements").textContent).toBe("Bo: news");
    await tell("message", { seq: 4, message: { ...message(4, BO, ""), kind: "unreadable" } });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(find("chat-announcements").textContent).toContain("encrypted");
    vi.useRealTimers();
  });
});
