import { flushSync, mount, tick, unmount } from "svelte";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { StudioApi } from "../src/studio/api";
import type { Entry, MatrixState, Rules, Word } from "../src/studio/moderation/api";
import { entryText, viaText } from "../src/studio/moderation/audit";
import { choicesOf, isMatrixId, wordError } from "../src/studio/moderation/choices";
import ModerationPage from "../src/studio/moderation/ModerationPage.svelte";
import { isStudioPath, pathOf, routeOf } from "../src/studio/route";
import { FakeServer, json, nothing, problem } from "./studio-support";
import { stream } from "./support";

const BASE = "/api/v1/streams/demo/chat";
const RULES: Rules = {
  slow: 0,
  followers: 0,
  approve: false,
  links: true,
  emotes: false,
  readonly: false,
  guests: "open",
  shield: false,
  duplicates: 0,
  caps: 0,
  words: [],
};
const WORKS: MatrixState = {
  mode: "managed",
  state: "ok",
  alias: "#live_demo:chat.test",
  room_id: "!x",
  link: "https://matrix.to/#/x",
  waiting: 0,
  lag: 0,
  broken: [],
};

function entry(kind: string, change: Partial<Entry> = {}): Entry {
  return {
    id: 1,
    at: "2026-01-01T12:00:00Z",
    kind,
    via: "page",
    actor: { name: "Ada" },
    target: { name: "Bo" },
    seconds: null,
    reason: "",
    everywhere: false,
    detail: {},
    ...change,
  };
}

describe("the address of the page", () => {
  test("is under the stream's", () => {
    expect(routeOf("/studio/a%20b/chat")).toEqual({ page: "chat", name: "a b" });
    expect(pathOf({ page: "chat", name: "a b" })).toBe("/studio/a%20b/chat");
    expect(routeOf("/studio/chat")).toEqual({ page: "stream", name: "chat" });
    expect(isStudioPath("/studio/demo/chat")).toBe(true);
    expect(isStudioPath("/studio/demo/keys")).toBe(false);
  });
});

describe("the choices of a rule", () => {
  test("are words, and have what was set elsewhere among them", () => {
    expect(choicesOf("slow", 0).map(({ text }) => text)).toContain("every 30 seconds");
    expect(choicesOf("slow", 45).map(({ value }) => value)).toEqual([0, 3, 5, 10, 30, 45, 60, 120, 300, 600]);
    expect(choicesOf("followers", 60).at(-2)?.text).toBe("after 1 hour");
    expect(choicesOf("caps", 0)[0]?.text).toBe("Off");
  });
});

describe("a word of the list", () => {
  const word = (text: string, kind: Word["kind"] = "exact"): Word => ({ text, kind, action: "refuse" });

  test("is refused with what is wrong with it", () => {
    expect(wordError([], word("spam"))).toBe("");
    expect(wordError([word("spam")], word("spam", "glob"))).toBe("");
    expect(wordError([word("spam")], word(" spam "))).toContain("already");
    expect(wordError([], word("  "))).toContain("Enter");
    expect(wordError([], word("x".repeat(201)))).toContain("200");
    expect(wordError(Array(500).fill(word("other")), word("spam"))).toContain("500");
  });
});

test("Matrix IDs, with and without wildcards", () => {
  expect(["@a:b", "@a:b:8448", "a:b", "@a", "@a b:c", "@*:b"].map((id) => isMatrixId(id))).toEqual([
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
  expect(isMatrixId("@*:bad.example", true)).toBe(true);
  expect(isMatrixId("@a?:b*", true)).toBe(true);
});

describe("the log in words", () => {
  test.each([
    [entry("ban"), "Ada banned Bo for good"],
    [entry("ban", { seconds: 3600 }), "Ada banned Bo for 1 hour"],
    [entry("ban", { everywhere: true }), "Ada banned Bo everywhere, from all chats of this server, for good"],
    [
      entry("ban", { seconds: 3600, everywhere: true }),
      "Ada banned Bo everywhere, from all chats of this server, for 1 hour",
    ],
    [
      entry("unban", { everywhere: true }),
      "Ada lifted the ban of Bo everywhere, in all chats of this server",
    ],
    [entry("timeout", { seconds: 600 }), "Ada stopped Bo from writing for 10 minutes"],
    [entry("unban", { target: { name: "", matrix: "@bo:x" } }), "Ada lifted the ban of @bo:x"],
    [entry("trust", { detail: { on: false } }), "Ada does not mark Bo as trusted any more"],
    [entry("moderator", { detail: { on: true } }), "Ada made Bo a moderator"],
    [entry("pin", { detail: { id: null } }), "Ada took the pinned message down"],
    [entry("pin", { detail: { id: 5 } }), "Ada pinned a message"],
    [
      entry("rules", {
        detail: { changes: { slow: 30, links: false, guests: "hold", words: [1, 2], new: 1 } },
      }),
      "Ada changed the rules. Slow mode: every 30 seconds; Links may be sent: Off; New people: may write, but a moderator sees it first; Words that are not welcome: 2",
    ],
    [entry("rules", { detail: {} }), "Ada changed the rules"],
    [entry("shield", { detail: { on: true } }), "Ada raised the shield"],
    [entry("delete", { target: null }), "Ada deleted a message"],
    [entry("delete", { detail: { all: true } }), "Ada deleted all messages of Bo"],
    [entry("deny"), "Ada rejected a message of Bo"],
    [entry("newer_than_this_page"), "Ada: newer_than_this_page"],
  ])("%#", (found, text) => {
    expect(entryText(found)).toBe(text);
  });

  test("say by which way where it is not the page", () => {
    expect(["page", "matrix", "api", "rule", "?"].map(viaText)).toEqual([
      "",
      "in Matrix",
      "in the studio",
      "by a rule",
      "",
    ]);
  });
});

describe("the page", () => {
  let server: FakeServer;
  let page: object;

  const find = <T extends HTMLElement>(testid: string) =>
    document.querySelector<T>(`[data-testid="${testid}"]`) as T;
  const all = (testid: string) => [...document.querySelectorAll<HTMLElement>(`[data-testid="${testid}"]`)];
  const told = (panel: string) => find(panel).querySelector('[data-testid="told"]')?.textContent;
  const changes = () => server.asked.filter(({ method }) => method !== "GET");

  async function settled(): Promise<void> {
    for (let turn = 0; turn < 6; turn += 1) {
      await vi.advanceTimersByTimeAsync(0);
      await tick();
    }
    flushSync();
  }

  async function choose(testid: string, value: string): Promise<void> {
    const select = find<HTMLSelectElement>(testid);
    select.value = value;
    select.dispatchEvent(new Event("change", { bubbles: true }));
    await settled();
  }

  async function write(field: HTMLInputElement, text: string): Promise<void> {
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await tick();
  }

  async function open(owner = false): Promise<void> {
    const api = new StudioApi(server.http, () => {});
    page = mount(ModerationPage, {
      target: document.body,
      props: { api, stream: stream("live", { chat: true }), owner, manages: true },
    });
    await settled();
  }

  beforeEach(() => {
    vi.useFakeTimers();
    HTMLDialogElement.prototype.showModal = () => {};
    HTMLDialogElement.prototype.close = () => {};
    server = new FakeServer();
    server.on("GET", `${BASE}/rules`, json(RULES));
    server.on("GET", `${BASE}/held`, json({ held: [] }));
    server.on("GET", `${BASE}/bans`, json({ bans: [] }));
    server.on("GET", `${BASE}/moderators`, json({ moderators: [] }));
    server.on("GET", `${BASE}/trusted`, json({ trusted: [] }));
    server.on("GET", `${BASE}/policies`, json({ policies: [] }));
    server.on("GET", `${BASE}/matrix`, json(WORKS));
    server.on("GET", `${BASE}/audit`, json({ entries: [], next: null }));
    server.on("GET", "/api/v1/matrix/link", json({ matrix: null }));
  });

  afterEach(async () => {
    await unmount(page);
    document.body.replaceChildren();
    vi.useRealTimers();
  });

  test("changes a rule as soon as it is chosen, and says so", async () => {
    await open();
    server.on("PATCH", `${BASE}/rules`, json({ ...RULES, slow: 30 }));
    await choose("rule-slow", "30");
    expect(changes().at(-1)).toMatchObject({ method: "PATCH", body: { slow: 30 } });
    expect(find<HTMLSelectElement>("rule-slow").value).toBe("30");
    expect(told("rules")).toContain("Saved");
    find<HTMLInputElement>("rule-links").click();
    await settled();
    expect(changes().at(-1)?.body).toEqual({ links: false });
  });

  test("shows what holds when a rule is refused, and the reason", async () => {
    await open();
    server.on("PATCH", `${BASE}/rules`, problem(422, "slow is a number of seconds."));
    await choose("rule-slow", "30");
    expect(find<HTMLSelectElement>("rule-slow").value).toBe("0");
    expect(told("rules")).toContain("number of seconds");
  });

  test("raises the shield with one button", async () => {
    await open();
    server.on("PATCH", `${BASE}/rules`, json({ ...RULES, shield: true }));
    find("shield-toggle").click();
    await settled();
    expect(changes().at(-1)?.body).toEqual({ shield: true });
    expect(find("shield-toggle").textContent).toContain("Lower");
    expect(find("shield").classList.contains("up")).toBe(true);
  });

  test("lets words be added and removed, and keeps the field when one is refused", async () => {
    await open();
    const word = { text: "spam*", kind: "glob", action: "hold" } as const;
    server.on("PATCH", `${BASE}/rules`, json({ ...RULES, words: [word] }));
    await choose("word-kind", "glob");
    await choose("word-action", "hold");
    await write(find<HTMLInputElement>("word-text"), " spam* ");
    find("word-add").click();
    await settled();
    expect(changes().at(-1)?.body).toEqual({ words: [word] });
    expect(all("word")).toHaveLength(1);
    expect(find<HTMLInputElement>("word-text").value).toBe("");
    await write(find<HTMLInputElement>("word-text"), "(");
    server.on("PATCH", `${BASE}/rules`, problem(422, "'(': a group is not closed"));
    find("word-add").click();
    await settled();
    expect(find<HTMLInputElement>("word-text").value).toBe("(");
    expect(told("words")).toContain("not closed");
    server.on("PATCH", `${BASE}/rules`, json(RULES));
    all("word")[0]?.querySelector("button")?.click();
    await settled();
    expect(all("word")).toHaveLength(0);
    expect(document.activeElement).toBe(find("word-text"));
  });

  test("decides about what waits, and asks again", async () => {
    const held = {
      id: 7,
      at: "2026-01-01T12:00:00Z",
      author: { name: "Bo" },
      text: "<i>hi</i>",
      reason: "first message",
    };
    server.on("GET", `${BASE}/held`, json({ held: [held] }));
    await open();
    expect(find("held-message").textContent).toContain("<i>hi</i>");
    expect(find("held-message").textContent).toContain("first message");
    server.on("POST", `${BASE}/held/7`, nothing());
    server.on("GET", `${BASE}/held`, json({ held: [] }));
    find("held-allow").click();
    await settled();
    expect(changes().at(-1)?.body).toEqual({ allow: true });
    expect(all("held-message")).toHaveLength(0);
    expect(document.activeElement?.id).toBe("held-heading");
  });

  test("shows a picture that waits to who wants to see it", async () => {
    const thumb = "/api/v1/streams/demo/chat/held/7/media/cat?w=640";
    const media = { thumb, alt: "cat.png" };
    const held = {
      id: 7,
      at: "2026-01-01T12:00:00Z",
      author: { name: "Bo" },
      text: "Look",
      kind: "image",
      media,
    };
    server.on("GET", `${BASE}/held`, json({ held: [{ ...held, reason: "" }] }));
    await open();
    const message = find("held-message");
    expect(message.textContent).toContain("Look");
    expect(message.querySelector("img")).toBeNull();
    find("covered").click();
    await settled();
    expect([find("uncovered").getAttribute("src"), find("uncovered").getAttribute("alt")]).toEqual([
      thumb,
      "cat.png",
    ]);
  });

  test("shows bans by tag and length, and lifts them", async () => {
    const ban = {
      id: 3,
      name: "Bo",
      tag: "oak-17",
      reason: "rubbish",
      by: "Ada",
      created_at: "2026-01-01T12:00:00Z",
      expires_at: null,
      watching: true,
    };
    server.on("GET", `${BASE}/bans`, json({ bans: [ban] }));
    await open();
    const text = find("ban").textContent ?? "";
    for (const part of ["Bo", "rubbish", "oak-17", "for good", "may not watch"]) expect(text).toContain(part);
    server.on("DELETE", `${BASE}/bans/3`, nothing());
    find("ban").querySelector("button")?.click();
    await settled();
    expect(changes().at(-1)).toMatchObject({ method: "DELETE", url: `${BASE}/bans/3` });
    expect(told("bans")).toContain("lifted");
  });

  test("lets the owner ban from all chats, and lift that", async () => {
    const ban = {
      id: 3,
      name: "Bo",
      reason: "",
      by: "Ada",
      created_at: "2026-01-01T12:00:00Z",
      expires_at: null,
    };
    server.on("GET", `${BASE}/bans`, json({ bans: [ban] }));
    server.on("GET", "/api/v1/chat/bans", json({ bans: [] }));
    await open(true);
    expect(find("site-bans").textContent).toContain("Nobody");
    server.on("POST", `${BASE}/bans/3/everywhere`, json({}, 201));
    server.on("GET", "/api/v1/chat/bans", json({ bans: [{ ...ban, id: 8, newcomers: "hold" }] }));
    find("ban").querySelector("button")?.click();
    await settled();
    expect(changes().at(-1)?.url).toBe(`${BASE}/bans/3/everywhere`);
    expect(find("site-bans").textContent).toContain("new people from their network");
    server.on("DELETE", "/api/v1/chat/bans/8", nothing());
    server.on("GET", "/api/v1/chat/bans", json({ bans: [] }));
    find("site-bans").querySelector("button")?.click();
    await settled();
    expect(changes().at(-1)?.url).toBe("/api/v1/chat/bans/8");
    expect(find("site-bans").textContent).toContain("Nobody");
    expect(document.activeElement?.id).toBe("site-bans-heading");
  });

  test("bans a Matrix ID with wildcards, and nothing that is none", async () => {
    await open();
    const field = find("bans").querySelector("input") as HTMLInputElement;
    const button = find("bans").querySelector<HTMLElement>('button[type="submit"]');
    await write(field, "bad.example");
    button?.click();
    await settled();
    expect(changes()).toHaveLength(0);
    server.on("POST", `${BASE}/bans`, json({}));
    await write(field, "@*:bad.example");
    button?.click();
    await settled();
    expect(changes().at(-1)?.body).toEqual({ matrix: "@*:bad.example", reason: "" });
  });

  test("makes moderators by account and by Matrix ID, and takes it back", async () => {
    const moderators = [
      { name: "bob", account: true, matrix: "@bob:x" },
      { name: "", account: false, matrix: "@eve:x" },
    ];
    server.on("GET", `${BASE}/moderators`, json({ moderators }));
    await open();
    server.on("PUT", `${BASE}/moderators`, json({ moderators }));
    const field = find("moderators").querySelector("input") as HTMLInputElement;
    for (const [text, body] of [
      ["carol", { account: "carol" }],
      ["@dan:y", { matrix: "@dan:y" }],
    ] as const) {
      await write(field, text);
      find("moderator-add").click();
      await settled();
      expect(changes().at(-1)?.body).toEqual(body);
      expect(field.value).toBe("");
    }
    server.on("DELETE", `${BASE}/moderators?account=bob`, nothing());
    server.on("DELETE", `${BASE}/moderators?matrix=%40eve%3Ax`, nothing());
    for (const item of all("moderator")) {
      item.querySelector("button")?.click();
      await settled();
    }
    expect(
      changes()
        .slice(-2)
        .map(({ url }) => url),
    ).toEqual([`${BASE}/moderators?account=bob`, `${BASE}/moderators?matrix=%40eve%3Ax`]);
  });

  test("subscribes to lists of bans by the room, and takes one off with the focus kept", async () => {
    const list = (room: string) => ({ room, rules: 2, error: "" });
    server.on("GET", `${BASE}/policies`, json({ policies: [list("#bans:x")] }));
    await open();
    const field = find("policies").querySelector("input") as HTMLInputElement;
    await write(field, "bans");
    find("policy-add").click();
    await settled();
    expect(changes()).toEqual([]);
    expect(document.activeElement).toBe(field);
    expect(field.getAttribute("aria-invalid")).toBe("true");
    server.on("PUT", `${BASE}/policies`, json({ policies: [list("#bans:x"), list("!y")] }));
    await write(field, " !y ");
    find("policy-add").click();
    await settled();
    expect(changes().at(-1)?.body).toEqual({ rooms: ["#bans:x", "!y"] });
    expect([field.value, all("policy").length]).toEqual(["", 2]);
    server.on("PUT", `${BASE}/policies`, json({ policies: [list("!y")] }));
    all("policy")[0]?.querySelector("button")?.click();
    await settled();
    expect(changes().at(-1)?.body).toEqual({ rooms: ["!y"] });
    expect(document.activeElement?.textContent).toBe(find("policies").querySelector("h2")?.textContent);
  });

  test("turns the pages of the log", async () => {
    server.on("GET", `${BASE}/audit`, json({ entries: [entry("clear", { id: 60 })], next: 51 }));
    server.on("GET", `${BASE}/audit?before=51`, json({ entries: [entry("kick", { id: 50 })], next: null }));
    await open();
    expect(find("audit-entry").textContent).toContain("cleared");
    find("audit-older").click();
    await settled();
    expect(find("audit-entry").textContent).toContain("sent Bo away");
    expect(find<HTMLButtonElement>("audit-older").disabled).toBe(true);
    find("audit-newer").click();
    await settled();
    expect(find("audit-entry").textContent).toContain("cleared");
  });

  test("says what is broken in Matrix, and has it repaired", async () => {
    const broken = {
      ...WORKS,
      state: "broken",
      waiting: 12,
      lag: 90,
      broken: [{ code: "power", text: "No power." }],
    };
    server.on("GET", `${BASE}/matrix`, json(broken));
    await open();
    expect(find("matrix-broken").textContent).toContain("No power.");
    expect(find("matrix-waiting").textContent).toBe("12 messages, the oldest for 2 minutes");
    server.on("POST", `${BASE}/matrix/repair`, json(broken));
    find("matrix-repair").click();
    await settled();
    expect(told("matrix")).toContain("Not all");
    server.on("POST", `${BASE}/matrix/repair`, json(WORKS));
    find("matrix-repair").click();
    await settled();
    expect(find("matrix-broken")).toBeNull();
    expect(told("matrix")).toContain("in order");
  });

  test("links one's Matrix account by a code", async () => {
    await open();
    const code = { code: "4711-oak", bot: "@_ghostlive:x", expires_in: 600 };
    server.on("POST", "/api/v1/matrix/code", json(code));
    find("link-make").click();
    await settled();
    expect(find<HTMLInputElement>("link-code").value).toBe("4711-oak");
    server.on("GET", "/api/v1/matrix/link", json({ matrix: "@ada:x" }));
    await vi.advanceTimersByTimeAsync(3_000);
    await settled();
    expect(find("matrix-link").textContent).toContain("Linked with @ada:x");
    expect(find("link-code")).toBeNull();
    server.on("DELETE", "/api/v1/matrix/link", nothing());
    find("matrix-link").querySelector("button")?.click();
    await settled();
    expect(find("link-make")).not.toBeNull();
  });

  test("a code that has run out is not shown any longer", async () => {
    await open();
    server.on("POST", "/api/v1/matrix/code", json({ code: "4711-oak", bot: "@b:x", expires_in: 20 }));
    find("link-make").click();
    await settled();
    await vi.advanceTimersByTimeAsync(20_000);
    await settled();
    expect(find("link-make")).not.toBeNull();
  });

  test("without Matrix says so, and shows nothing that needs it", async () => {
    server.on("GET", `${BASE}/matrix`, json({ ...WORKS, mode: "off", alias: "" }));
    await open();
    expect(find("matrix").textContent).toContain("off on this server");
    expect(find("matrix-link")).toBeNull();
    expect(find("policies")).toBeNull();
    expect(find("bans").querySelector("form")).toBeNull();
  });

  test("a part that the server does not have is told where it would be; the rest works", async () => {
    server.on("GET", `${BASE}/bans`, problem(404, "There is no such address."));
    await open();
    expect(find("bans").textContent).toContain("no such address");
    expect(find("rules")).not.toBeNull();
  });
});
