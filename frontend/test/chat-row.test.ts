import { tick } from "svelte";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { ChatMessage, You } from "../src/chat/protocol";
import type { Look, RowEvents } from "../src/chat/row.svelte";
import { RowList } from "../src/chat/rowlist";
import type { Row } from "../src/chat/rows";
import { ChatStore } from "../src/chat/store.svelte";
import { putText, textClass } from "../src/chat/textnodes";
import { ADA, BO, message } from "./chat-support";

/** Parts come by an import, which takes long on a busy machine. */
const PATIENT = { timeout: 20_000 };
vi.setConfig({ testTimeout: 40_000 });

const REST: Look = { you: null, emotes: new Map(), focused: null, pointed: null, found: null };

let host: HTMLElement;
let list: RowList;
let store: ChatStore;
const on = {
  onreply: vi.fn(),
  ondelete: vi.fn(),
  onban: vi.fn(),
  onedit: vi.fn(),
  onreact: vi.fn(),
  onauthor: vi.fn(),
  onpicture: vi.fn(),
  onquote: vi.fn(),
} satisfies RowEvents;

const row = (id: number) => host.querySelector<HTMLElement>(`[data-row="${id}"]`) as HTMLElement;
const inside = (id: number, testid: string) =>
  row(id).querySelector<HTMLElement>(`[data-testid="${testid}"]`);
const ids = () =>
  [...host.querySelectorAll<HTMLElement>("[data-row]")].map(({ dataset }) => Number(dataset.row));

async function draw(rows: readonly Row[], look: Partial<Look> = {}): Promise<void> {
  list.draw(rows, { ...REST, ...look });
  await tick();
}

beforeEach(() => {
  host = document.createElement("ol");
  host.innerHTML = '<li class="last"></li>';
  document.body.append(host);
  store = new ChatStore({ url: "ws://host/chat" });
  store.you = { ...ADA, can: new Set(["post"]) } as You;
  list = new RowList(host, store, on);
});

afterEach(() => {
  list.close();
  host.remove();
  vi.clearAllMocks();
});

describe("the rows of a list", () => {
  test("stand in order before what else is in it, wherever they come and go", async () => {
    await draw([message(3, BO), message(5, BO)]);
    await draw([message(1, BO), message(3, BO), message(4, BO), message(5, BO)]);
    expect(ids()).toEqual([1, 3, 4, 5]);
    await draw([message(4, BO), message(9, BO)]);
    expect(ids()).toEqual([4, 9]);
    expect(host.lastElementChild?.className).toBe("last");
    list.close();
    expect(host.children).toHaveLength(1);
  });

  test("stay the same elements, with the focus, while others come and they change", async () => {
    const first = message(1, BO, "hello");
    await draw([first], { focused: 1 });
    const [element, name] = [row(1), inside(1, "chat-name")];
    name?.focus();
    const changed: ChatMessage = { ...first, text: "hello all", edited: "2026-01-01T12:05:00Z" };
    await draw([changed, message(2, BO)], { focused: 1 });
    expect(row(1)).toBe(element);
    expect(document.activeElement).toBe(name);
    expect(inside(1, "chat-text")?.textContent).toBe("hello all");
    expect(row(1).querySelector("small")?.textContent).not.toBe("");
  });

  test("a row that is taken away leaves a line in its place, which counts", async () => {
    await draw([message(1, BO), message(2, BO)]);
    await draw([{ id: 1, name: "Bo", count: 1 }, message(2, BO)]);
    expect(row(1).textContent).toContain("Bo");
    expect(row(1).dataset.message).toBeUndefined();
    await draw([{ id: 1, name: "", count: 2 }]);
    expect(row(1).textContent).toContain("2");
  });
});

describe("a row", () => {
  test("says who, when and what, in this order, and what its author is here", async () => {
    const author = { ...BO, role: "moderator" as const };
    await draw([{ ...message(1, author, "hi"), reply: { id: 7, name: "Ada", text: "what?" } }]);
    const text = row(1).textContent as string;
    const places = ["what?", "Bo", "hi"].map((part) => text.indexOf(part));
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(row(1).querySelector("time")?.dateTime).toBe("2026-01-01T12:00:00Z");
    expect(row(1).querySelector(".author-role")?.getAttribute("title")).not.toBeNull();
  });

  test("that is neither focused nor pointed at is no stop for the Tab key, and shows no buttons", async () => {
    const answer = { ...message(1, BO), reply: { id: 7, name: "Ada", text: "what?" } };
    const stops = () => [...row(1).querySelectorAll("button")].map((button) => button.tabIndex);
    await draw([answer]);
    expect(stops()).toEqual([-1, -1]);
    expect(row(1).querySelector("time")?.hasAttribute("title")).toBe(false);
    for (const look of [{ focused: 1 }, { pointed: 1 }]) {
      await draw([answer], look);
      expect(stops()).toEqual([0, 0, 0]);
      expect(inside(1, "chat-reply")).not.toBeNull();
      expect(row(1).querySelector("time")?.title).not.toBe("");
      await draw([answer]);
      expect(stops()).toEqual([-1, -1]);
    }
  });

  test("tells what is pressed in it", async () => {
    const answer = { ...message(1, BO), reply: { id: 7, name: "Ada", text: "what?" } };
    await draw([answer], { focused: 1 });
    inside(1, "chat-name")?.querySelector("bdi")?.click();
    expect(on.onauthor).toHaveBeenCalledExactlyOnceWith(BO);
    inside(1, "chat-quote")?.click();
    expect(on.onquote).toHaveBeenCalledExactlyOnceWith(7);
    inside(1, "chat-reply")?.click();
    expect(on.onreply).toHaveBeenCalledExactlyOnceWith(answer);
    inside(1, "chat-text")?.click();
    expect(on.onauthor).toHaveBeenCalledOnce();
  });

  test("whose answered message is taken away keeps the name, not the words", async () => {
    const answer = message(2, BO);
    await draw([{ ...answer, reply: { id: 1, name: "Ada", text: "secret" } }]);
    await draw([{ ...answer, reply: { id: 1, name: "Ada", text: null } }]);
    expect(inside(2, "chat-quote")?.textContent).toContain("Ada");
    expect(row(2).textContent).not.toContain("secret");
  });

  test("stands out when it speaks to the person, as soon as they have a name", async () => {
    const call = message(1, BO, "hello @Ada and all");
    store.you = null;
    await draw([call]);
    expect(row(1).className).not.toContain("mention");
    store.you = { ...ADA, can: new Set() } as unknown as You;
    await draw([call], { you: store.you });
    expect(row(1).className).toContain("mention");
    expect(row(1).querySelector("mark")?.textContent).toBe("@Ada");
  });

  test("whose words become formatted ones shows those, and shows plain ones again", async () => {
    const plain = message(1, BO, "big");
    await draw([plain]);
    await draw([{ ...plain, html: "<b>big</b>" }]);
    await vi.waitFor(() => expect(row(1).querySelector("b")?.textContent).toBe("big"), PATIENT);
    await draw([{ ...plain, text: "small" }]);
    expect(row(1).querySelector("b")).toBeNull();
    expect(inside(1, "chat-text")?.textContent).toBe("small");
  });

  test("has its reactions below its words and before what can be done", async () => {
    const reacted = { ...message(1, BO), reactions: [{ key: "👍", count: 2 }] };
    await draw([reacted], { focused: 1 });
    await vi.waitFor(() => expect(inside(1, "chat-reactions")).not.toBeNull(), PATIENT);
    const order = [...row(1).querySelectorAll<HTMLElement>("[data-testid]")].map(
      ({ dataset }) => dataset.testid,
    );
    expect(order.indexOf("chat-text")).toBeLessThan(order.indexOf("chat-reactions"));
    expect(order.indexOf("chat-reactions")).toBeLessThan(order.indexOf("chat-reply"));
    await draw([{ ...reacted, reactions: [{ key: "👍", count: 3 }] }]);
    expect(inside(1, "chat-reaction")?.textContent).toContain("3");
  });
});

describe("a text", () => {
  const emotes = new Map([["wave", { code: "wave", url: "/api/v1/chat/media/1" }]]);

  function put(text: string, options: Parameters<typeof putText>[2] = {}): HTMLElement {
    const element = document.createElement("span");
    putText(element, text, options);
    return element;
  }

  test("is never markup", () => {
    const text = '<img src=x onerror="alert(1)"> <b>&amp;';
    expect(put(text).childElementCount).toBe(0);
    expect(put(text).textContent).toBe(text);
  });

  test("has links that tell nobody where they were pressed, emotes, and the name of who is called", () => {
    const element = put("see https://example.org/a :wave: @Ada", { emotes, you: "Ada" });
    const link = element.querySelector("a");
    expect([link?.href, link?.title, link?.target]).toEqual([
      "https://example.org/a",
      "https://example.org/a",
      "_blank",
    ]);
    expect(link?.rel.split(" ")).toEqual(
      expect.arrayContaining(["noopener", "noreferrer", "nofollow", "ugc"]),
    );
    const picture = element.querySelector("img");
    expect([picture?.getAttribute("src"), picture?.alt]).toEqual(["/api/v1/chat/media/1", ":wave:"]);
    expect(element.querySelector("mark")?.textContent).toBe("@Ada");
  });

  test("has no links where nothing can be pressed", () => {
    expect(put("see https://example.org/a", { still: true }).querySelector("a")).toBeNull();
  });

  test("takes the place of another", () => {
    const element = put("https://example.org/a");
    putText(element, "gone", {});
    expect(element.innerHTML).toBe("gone");
  });

  test("has a line of its own when it has several lines, or is written from the right", () => {
    expect(textClass("hello")).not.toContain("block");
    for (const text of ["two\nlines", "שלום"]) expect(textClass(text)).toContain("block");
  });
});
