import { describe, expect, test } from "vitest";
import { linkify } from "../src/chat/linkify";
import { inline, lengthOf, onlyEmoji } from "../src/chat/text";

const links = (text: string) =>
  linkify(text).flatMap((piece) => (piece.kind === "link" ? [[piece.href, piece.label]] : []));
const joined = (text: string) =>
  linkify(text)
    .map((piece) => (piece.kind === "link" ? piece.label : piece.text))
    .join("");

describe("addresses become links", () => {
  test.each([
    ["https://example.org", "https://example.org/"],
    ["http://example.org/a?b=c#d", "http://example.org/a?b=c#d"],
    ["HTTPS://Example.org/Path", "https://example.org/Path"],
    ["http://127.0.0.1:8080/demo", "http://127.0.0.1:8080/demo"],
    ["https://en.wikipedia.org/wiki/Ghost_(film)", "https://en.wikipedia.org/wiki/Ghost_(film)"],
    ["https://ja.wikipedia.org/wiki/猫", "https://ja.wikipedia.org/wiki/%E7%8C%AB"],
  ])("%s", (text, href) => {
    expect(links(text)).toEqual([[href, text]]);
  });

  test("in the middle of a sentence, several of them, over lines", () => {
    const text = "see https://a.example/x, then\nhttps://b.example/y!";
    expect(links(text)).toEqual([
      ["https://a.example/x", "https://a.example/x"],
      ["https://b.example/y", "https://b.example/y"],
    ]);
    expect(joined(text)).toBe(text);
  });
});

describe("what follows an address is not part of it", () => {
  test.each([
    ["https://a.example.", "https://a.example"],
    ["https://a.example/x?!...", "https://a.example/x"],
    ["(https://a.example/x)", "https://a.example/x"],
    ["(https://a.example/x).", "https://a.example/x"],
    ["[https://a.example/x]", "https://a.example/x"],
    ["https://a.example/x_(y))", "https://a.example/x_(y)"],
    ["“https://a.example/x”", "https://a.example/x"],
    ["'https://a.example/x'", "https://a.example/x"],
    ["<https://a.example/x>", "https://a.example/x"],
    ['"https://a.example/x"', "https://a.example/x"],
    ["**https://a.example/x**", "https://a.example/x"],
  ])("%s", (text, label) => {
    expect(links(text).map(([, shown]) => shown)).toEqual([label]);
    expect(joined(text)).toBe(text);
  });
});

describe("nothing else becomes a link", () => {
  test.each([
    "javascript:alert(1)",
    "javascript://example.org/%0aalert(1)",
    "data:text/html,<script>alert(1)</script>",
    "ftp://example.org/x",
    "file:///etc/passwd",
    "//example.org/x",
    "www.example.org",
    "example.org",
    "https://",
    "https:///",
    "https:// example.org",
    "http://.",
    "http://:80",
    "xhttps://example.org",
    "jahttps://example.org",
    "https://user@elsewhere.example/",
    "https://bank.example:443@elsewhere.example/",
    "https://bank.example%2f@elsewhere.example/",
    "https://[::1",
    "https://a.example:99999/",
  ])("%s", (text) => {
    expect(links(text)).toEqual([]);
    expect(joined(text)).toBe(text);
  });
});

describe("the label shows the host that the link leads to", () => {
  test.each([
    // Cyrillic letters that look like Latin ones.
    ["https://аpple.com/login", "xn--pple-43d.com"],
    // Full stops and letters that the browser turns into plain ones.
    ["https://elsewhere。example/", "elsewhere.example"],
    ["https://ｅｖｉｌ.example/", "evil.example"],
    ["https://%65vil.example/", "evil.example"],
    ["http://0x7f.1/", "127.0.0.1"],
    ["http://2130706433/", "127.0.0.1"],
  ])("%s", (text, host) => {
    const [link] = links(text);
    expect(new URL(link?.[0] ?? "").host).toBe(host);
    expect(link?.[1]).toContain(`//${host}/`);
  });

  test("a backslash, which browsers take for a slash, ends the address", () => {
    expect(links("https://bank.example\\@elsewhere.example/")[0]).toEqual([
      "https://bank.example/",
      "https://bank.example",
    ]);
  });

  test("letters from the right do not move the host about", () => {
    const [link] = links("https://elsewhere.example/\u05d0/bank.example");
    expect(link?.[1]).toBe("https://elsewhere.example/%D7%90/bank.example");
  });

  test("a long address is cut, its host never is", () => {
    const path = links(`https://a.example/${"x".repeat(200)}`)[0]?.[1] ?? "";
    expect(path.length).toBeLessThan(70);
    expect(path).toMatch(/^https:\/\/a\.example\/x+…$/);
    const host = `${"bank.example.".repeat(8)}elsewhere.example`;
    expect(links(`https://${host}/${"x".repeat(200)}`)[0]?.[1]).toContain(host);
  });
});

test("markup stays text", () => {
  const text = '<img src=x onerror="alert(1)"> & <b>';
  expect(linkify(text)).toEqual([{ kind: "text", text }]);
});

test("a hostile text takes no time that grows with its square", () => {
  const many = 100_000;
  // Would not end within the time that a test has.
  expect(linkify(`https://a.example/${")".repeat(many)}`)).toHaveLength(2);
  expect(linkify(`https://${"(".repeat(many)}${")".repeat(many)}`)).toHaveLength(1);
  expect(linkify("https://a.b/ ".repeat(many / 10))).toHaveLength(many / 5);
});

test("emoji alone are large, a few of them", () => {
  expect(["🎉", "👏 👏👏", "👩‍👩‍👧‍👦", "👍🏽", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🇵🇹"].map(onlyEmoji)).toEqual(Array(6).fill(true));
  expect(["", "7", "hi 🎉", "👏👏👏👏", "#"].map(onlyEmoji)).toEqual(Array(5).fill(false));
});

test("what is written from the right, or in lines, gets a block of its own", () => {
  expect(inline("hello")).toBe(true);
  expect(inline("שלום")).toBe(false);
  expect(inline("two\nlines")).toBe(false);
});

test("lengths are counted as the server counts them", () => {
  expect(lengthOf("a🎉é")).toBe(3);
});
