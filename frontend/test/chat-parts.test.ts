import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Announcer, PAUSE_MS } from "../src/chat/announcer";
import { COMMANDS } from "../src/chat/completion/commands";
import { commands, emotes, people } from "../src/chat/completion/options";
import { SignIn } from "../src/chat/matrix/signin.svelte";
import type { Rules } from "../src/chat/protocol";
import { addMarks, rows } from "../src/chat/rows";
import { rulesText } from "../src/chat/rules/text";
import { search, sha256, zeroBits } from "../src/chat/sha256";
import { wordAt } from "../src/chat/text";
import { Heights, rowsIn, SURPLUS, spanAround, spanAtEnd, spanOver, TAIL, Tail } from "../src/chat/window";
import type { Http } from "../src/lib/http";
import { ADA, BO, message } from "./chat-support";

describe("rows", () => {
  const messages = [message(1, ADA), message(5, BO)];

  test("what was taken away leaves one line between two messages", () => {
    const marks = [2, 3, 7].map((id) => ({ id, name: id === 3 ? "Bo" : "Ada" }));
    expect(rows(messages, marks)).toEqual([
      { key: 1, message: messages[0] },
      { key: 2, message: null, name: "", count: 2 },
      { key: 5, message: messages[1] },
      { key: 7, message: null, name: "Ada", count: 1 },
    ]);
  });

  test("marks go with the messages around them, and never become many", () => {
    const marks = addMarks(
      [{ id: 2, name: "Ada" }],
      [
        { id: 9, name: "Bo" },
        { id: 6, name: "Bo" },
      ],
      5,
      10,
    );
    expect(marks.map(({ id }) => id)).toEqual([6, 9]);
    const many = Array.from({ length: 30 }, (_, id) => ({ id: id + 1, name: "" }));
    expect(addMarks([], many, 0, 10).map(({ id }) => id)).toEqual([21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
  });
});

describe("the window of a long list", () => {
  const keys = Array.from({ length: 1_000 }, (_, index) => index + 1);

  test("at the end a few are drawn, and near one message those around it", () => {
    expect(spanAtEnd(1_000)).toEqual({ from: 1_000 - TAIL, to: 1_000 });
    expect(spanAtEnd(3)).toEqual({ from: 0, to: 3 });
    expect(spanAround(1_000, 500)).toEqual({ from: 500 - TAIL / 2, to: 500 + TAIL / 2 });
    expect(spanAround(1_000, 2).from).toBe(0);
  });

  test("what is seen is always drawn, with some above and below, in steps", () => {
    for (const [first, last] of [
      [0, 12],
      [333, 350],
      [990, 999],
    ] as const) {
      const span = spanOver(1_000, first, last);
      expect(span.from).toBeLessThanOrEqual(Math.max(first - 10, 0));
      expect(span.to).toBeGreaterThanOrEqual(Math.min(last + 10, 1_000));
      expect(span.to - span.from).toBeLessThan(80);
    }
    expect(spanOver(1_000, 336, 352)).toEqual(spanOver(1_000, 339, 354));
  });

  test("rows that were never drawn are as high as the others on average", () => {
    const heights = new Heights();
    heights.set(1, 10);
    heights.set(2, 30);
    expect(heights.get(3)).toBe(20);
    heights.set(1, 50);
    expect(heights.sum(keys, 0, 3)).toBe(50 + 30 + 40);
    for (const key of keys) heights.set(key, 40);
    heights.forget([1, 2]);
    expect(heights.get(3)).toBe(40);
  });
});

describe("the end of a list that grows", () => {
  const list = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, index) => from + index);
  let tail: Tail;
  let heights: Heights;

  beforeEach(() => {
    tail = new Tail();
    heights = new Heights();
  });

  /** Where a row stands in the list when each is as high as its key says. */
  function top(keys: readonly number[], key: number): number {
    const { from, room } = tail.look(keys, heights, TAIL);
    return keys.slice(from, keys.indexOf(key)).reduce((sum, above) => sum + 20 + (above % 7), room);
  }

  /** The heights of the rows that go are looked at before. */
  function draw(keys: readonly number[]): void {
    const end = keys.length - TAIL;
    for (const key of keys.slice(end - tail.going(keys, TAIL), end)) heights.set(key, 20 + (key % 7));
  }

  test("no row moves while messages come, also when the first rows go", () => {
    const before = top(list(1, 300), 299);
    const begins = new Set<number>();
    for (let last = 301; last < 300 + TAIL; last += 1) {
      const keys = list(1, last);
      draw(keys);
      const { from, to } = tail.look(keys, heights, TAIL);
      expect(to).toBe(last);
      expect(to - from).toBeGreaterThanOrEqual(TAIL);
      expect(to - from).toBeLessThanOrEqual(TAIL + SURPLUS);
      expect(top(keys, 299)).toBe(before);
      begins.add(from);
    }
    expect(begins.size).toBeGreaterThan(2);
  });

  test("messages that are not kept any more leave their room, up to a limit", () => {
    const before = top(list(1, 300), 299);
    expect(top(list(11, 310), 299)).toBe(before);
    let moved = 0;
    for (let last = 311; last <= 2_000; last += 1) {
      const keys = list(last - 299, last);
      draw(keys);
      const { from, room } = tail.look(keys, heights, TAIL);
      moved = Math.max(moved, Math.abs(room - heights.sum(keys, 0, from)));
    }
    expect(moved).toBeGreaterThan(0);
    expect(moved).toBeLessThan(5_000);
  });

  test("when many are taken away, others come in their place", () => {
    tail.look(list(1, 300), heights, TAIL);
    expect(tail.look(list(1, 270), heights, TAIL)).toMatchObject({ from: 270 - TAIL, to: 270 });
    expect(tail.look(list(1, 3), heights, TAIL)).toEqual({ from: 0, to: 3, room: 0 });
    expect(tail.look([], heights, TAIL)).toEqual({ from: 0, to: 0, room: 0 });
    expect(tail.look(list(500, 800), heights, TAIL)).toMatchObject({ to: 301 });
  });

  test("a high window has more rows", () => {
    expect(rowsIn(0)).toBe(TAIL);
    expect(rowsIn(2_000)).toBeGreaterThan(2_000 / 29);
  });
});

describe("reading out", () => {
  let said: string[];
  let announcer: Announcer;
  const nobody = () => false;

  beforeEach(() => {
    vi.useFakeTimers();
    said = [];
    announcer = new Announcer({
      say: (text) => said.push(text),
      line: ({ author, text }) => `${author.name}: ${text}`,
      more: (count) => `+${count}`,
    });
  });

  afterEach(() => {
    announcer.close();
    vi.useRealTimers();
  });

  test("after a silence at once, then not before the pause is over", () => {
    announcer.add([message(1, ADA, "a")], nobody);
    announcer.add([message(2, BO, "b")], nobody);
    announcer.add([message(3, BO, "c")], nobody);
    expect(said).toEqual(["Ada: a"]);
    vi.advanceTimersByTime(PAUSE_MS);
    expect(said).toEqual(["Ada: a", "Bo: b\nBo: c"]);
    vi.advanceTimersByTime(10 * PAUSE_MS);
    expect(said).toHaveLength(2);
    announcer.add([message(4, BO, "d")], nobody);
    expect(said.at(-1)).toBe("Bo: d");
  });

  test("of a flood the newest, what speaks to the person, and how many more", () => {
    announcer.add([message(1, ADA, "first")], nobody);
    const flood = Array.from({ length: 500 }, (_, index) => message(index + 2, BO, `m${index + 2}`));
    for (const one of flood) announcer.add([one], ({ id }) => id === 40);
    expect(said).toHaveLength(1);
    vi.advanceTimersByTime(PAUSE_MS);
    expect(said[1]).toBe("Bo: m40\nBo: m500\nBo: m501\n+497");
  });

  test("500 messages a minute are at most 21 announcements", () => {
    for (let id = 1; id <= 500; id += 1) {
      announcer.add([message(id, BO)], nobody);
      vi.advanceTimersByTime(120);
    }
    expect(said.length).toBeLessThanOrEqual(21);
  });

  test("nobody is kept by one long message", () => {
    announcer.add([message(1, ADA, "x".repeat(5_000))], nobody);
    expect(said[0]?.length).toBeLessThan(200);
  });
});

describe("proof of work", () => {
  test.each([0, 3, 55, 56, 63, 64, 119, 120, 1_000])("SHA-256 of %i bytes", (length) => {
    const bytes = new Uint8Array(length).map((_, index) => index * 7);
    const words = [...sha256(bytes)].map((word) => word.toString(16).padStart(8, "0")).join("");
    expect(words).toBe(createHash("sha256").update(bytes).digest("hex"));
  });

  test("the answer begins with so many zero bits", () => {
    const answer = search("a nonce.", 10, 0, 1e6);
    const hash = createHash("sha256").update(`a nonce.${answer}`).digest();
    expect(hash.readUInt32BE() >>> 22).toBe(0);
    expect(search("a nonce.", 10, 0, Number(answer))).toBeNull();
    expect(zeroBits(new Uint32Array([0, 1]))).toBe(63);
  });
});

describe("completion", () => {
  test.each([
    ["hi :par", { sign: ":", query: "par", start: 3 }],
    [":lö", { sign: ":", query: "lö", start: 0 }],
    ["@", { sign: "@", query: "", start: 0 }],
    ["ask @Zo", { sign: "@", query: "Zo", start: 4 }],
    ["/sl", { sign: "/", query: "sl", start: 0 }],
    [":p", null],
    ["12:30", null],
    ["me@example", null],
    ["and/or", null],
    ["/slow 10", null],
    ["plain", null],
  ])("%s", (text, word) => {
    expect(wordAt(text)).toEqual(word);
  });

  test("names that begin so come first; each once, and never one's own", () => {
    const zoe = { ...ADA, id: "g3", name: "Zoë" };
    const lee = { ...ADA, id: "g4", name: "Boolee", matrix: "@lee:example.org" };
    const found = people([ADA, zoe, BO, lee, BO], "o", ADA.id);
    expect(found.map(({ insert }) => insert)).toEqual(["@Bo", "@Boolee", "@Zoë"]);
    expect(people([ADA, lee, BO], "lee", undefined)).toEqual([
      { insert: "@Boolee", label: "Boolee", hint: "@lee:example.org" },
    ]);
  });

  test("the room's pictures and the commands that one may give", () => {
    expect(emotes([{ code: "party", url: "/x" }], "art")).toEqual([
      { insert: ":party:", label: ":party:", picture: "/x" },
    ]);
    expect(commands(COMMANDS, "", false).map(({ insert }) => insert)).not.toContain("/ban");
    expect(commands(COMMANDS, "ba", true).map(({ insert }) => insert)).toEqual(["/ban", "/bans"]);
  });
});

test("the commands that are proposed are those of the server", () => {
  const table = readFileSync("../src/ghostlive/chat/moderation/commands.py", "utf-8");
  const unknown = COMMANDS.filter(({ name }) => !table.includes(`"${name}"`));
  expect(unknown).toEqual([]);
});

describe("rules in plain words", () => {
  const open: Rules = {
    slow: 0,
    followers: 0,
    approve: false,
    links: true,
    emotes: false,
    readonly: false,
    guests: "open",
    shield: false,
  };

  test("nothing to say where everything is open", () => {
    expect(rulesText(open, false)).toBe("");
    expect(rulesText(open, true)).toBe("");
  });

  test("each rule is a sentence, and what says more leaves out what says less", () => {
    expect(rulesText({ ...open, slow: 10, links: false }, false)).toMatch(/^Slow mode: .*10.*\. No links\.$/);
    expect(rulesText({ ...open, readonly: true, slow: 10 }, false)).toBe(
      "Only moderators can write at the moment.",
    );
    expect(rulesText({ ...open, shield: true, approve: true }, false)).toMatch(/^Shield mode/);
    expect(rulesText({ ...open, approve: true }, true)).toMatch(/^For everybody else: Messages appear/);
  });
});

describe("signing in with Matrix", () => {
  test("a code is shown, and asked about until it has arrived", async () => {
    vi.useFakeTimers();
    const answers = [{ matrix: null }, { matrix: null }, { matrix: "@a:example.org" }];
    const asked: string[] = [];
    const http = (async (method: string, url: string) => {
      asked.push(`${method} ${url}`);
      return method === "POST" ? { code: "1234", bot: "@_ghostlive:x", expires_in: 600 } : answers.shift();
    }) as Http;
    const linked = vi.fn();
    const signIn = new SignIn(linked, http);
    await signIn.look();
    await signIn.ask();
    expect(signIn.code?.code).toBe("1234");
    await vi.advanceTimersByTimeAsync(3_000);
    expect(linked).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(3_000);
    expect(linked).toHaveBeenCalledOnce();
    expect([signIn.matrix, signIn.code]).toEqual(["@a:example.org", null]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked).toHaveLength(4);
    vi.useRealTimers();
  });

  test("who comes back from their client need not wait", async () => {
    vi.useFakeTimers();
    const http = (async (method: string) =>
      method === "POST" ? { code: "1", bot: "@x:y", expires_in: 600 } : { matrix: "@a:example.org" }) as Http;
    const linked = vi.fn();
    const signIn = new SignIn(linked, http);
    document.dispatchEvent(new Event("visibilitychange"));
    await signIn.ask();
    await vi.advanceTimersByTimeAsync(100);
    expect(signIn.matrix).toBeNull();
    document.dispatchEvent(new Event("visibilitychange"));
    await vi.advanceTimersByTimeAsync(0);
    expect([signIn.matrix, signIn.code]).toEqual(["@a:example.org", null]);
    expect(linked).toHaveBeenCalledOnce();
    vi.useRealTimers();
  });

  test("who sent the code is nobody here before the page says yes", async () => {
    vi.useFakeTimers();
    const asked: string[] = [];
    const http = (async (method: string, url: string, options?: { body?: unknown }) => {
      asked.push(`${method} ${url} ${JSON.stringify(options?.body ?? null)}`);
      if (method === "GET") return { matrix: null, claimed: "@b:example.org" };
      if (method === "DELETE") return undefined;
      return url.endsWith("link")
        ? { matrix: "@b:example.org" }
        : { code: "1", bot: "@x:y", expires_in: 600 };
    }) as Http;
    const linked = vi.fn();
    const signIn = new SignIn(linked, http);
    await signIn.ask();
    await vi.advanceTimersByTimeAsync(3_000);
    expect([signIn.claimed, signIn.matrix]).toEqual(["@b:example.org", null]);
    expect(linked).not.toHaveBeenCalled();
    await signIn.refuse();
    expect(asked.at(-1)).toBe("DELETE /api/v1/matrix/code null");
    expect([signIn.claimed, signIn.code, signIn.matrix]).toEqual([null, null, null]);
    expect(signIn.problem).toMatch(/void/);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked.filter((one) => one.startsWith("GET"))).toHaveLength(1);
    await signIn.ask();
    await vi.advanceTimersByTimeAsync(3_000);
    await signIn.confirm();
    expect(asked.at(-1)).toBe('POST /api/v1/matrix/link {"matrix":"@b:example.org"}');
    expect([signIn.claimed, signIn.code, signIn.matrix]).toEqual([null, null, "@b:example.org"]);
    expect(linked).toHaveBeenCalledOnce();
    vi.useRealTimers();
  });

  test("a code that is too old is not waited for", async () => {
    vi.useFakeTimers();
    const http = (async (method: string) =>
      method === "POST" ? { code: "1", expires_in: 5 } : { matrix: null }) as Http;
    const signIn = new SignIn(() => {}, http);
    await signIn.ask();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(signIn.expired).toBe(true);
    signIn.stop();
    vi.useRealTimers();
  });
});
