import { describe, expect, test } from "vitest";
import { mark } from "../src/chat/marks";
import { clean } from "../src/chat/rich";

function cleaned(html: string, you?: string): HTMLElement {
  const host = document.createElement("div");
  host.append(clean(html, { you, spoiler: "Hidden" }));
  return host;
}

describe("formatted text is built anew", () => {
  test.each([
    ["<b>b</b> <em>e</em> <del>d</del> <code>c</code>", "<b>b</b> <em>e</em> <del>d</del> <code>c</code>"],
    [
      "<ul><li>one</li></ul><blockquote><p>q</p></blockquote>",
      "<ul><li>one</li></ul><blockquote><p>q</p></blockquote>",
    ],
    ["a<br>b", "a<br>b"],
    // What is not known goes, and what it says stays.
    ["<font color=red>red</font><h1>big</h1>", "redbig"],
    ["<b onclick=alert(1) style='position:fixed' class=x id=app>b</b>", "<b>b</b>"],
    // What is no text goes with all that is in it.
    ["x<script>alert(1)</script><style>*{display:none}</style>", "x"],
    ["<svg><a href='javascript:alert(1)'>x</a></svg><math><mi>y</mi></math>z", "z"],
    ["<mx-reply><blockquote>old</blockquote></mx-reply>new", "new"],
    ["<iframe src='https://evil.example'></iframe><form><input></form>", ""],
  ])("%s", (html, expected) => {
    expect(cleaned(html).innerHTML).toBe(expected);
  });

  test.each([
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "/studio",
    "//evil.example",
    "https://bank.example@evil.example/",
    "matrix:u/a:b",
  ])("no link to %j", (href) => {
    const host = cleaned(`<a href="${href}">here</a>`);
    expect(host.querySelector("a")).toBeNull();
    expect(host.textContent).toBe("here");
  });

  test("a link opens elsewhere and gives nothing away", () => {
    const link = cleaned(
      '<a href="https://example.org/x" target="_top" rel="opener" download>here</a>',
    ).querySelector("a");
    expect(link?.href).toBe("https://example.org/x");
    expect(link?.target).toBe("_blank");
    expect(link?.rel).toBe("nofollow noopener noreferrer ugc");
    expect(link?.hasAttribute("download")).toBe(false);
  });

  test("words that name another host than the link leads to are not believed", () => {
    expect(cleaned('<a href="https://evil.example/">https://bank.example</a>').textContent).toBe(
      "[evil.example] https://bank.example",
    );
    expect(cleaned('<a href="https://bank.example/login">bank.example</a>').textContent).toBe("bank.example");
  });

  test("an address is a link, as in plain text, but where it is one already or is code", () => {
    const host = cleaned(
      "<b>see</b> https://example.org/a_(b)?c=d, <code>https://no.example</code> " +
        '<pre>https://no.example</pre><a href="https://example.org/x"><span class="spoiler">https://example.org/x</span></a>',
      "Ada",
    );
    host.querySelector("button")?.click();
    expect([...host.querySelectorAll("a")].map((link) => [link.textContent, link.href, link.rel])).toEqual([
      ["https://example.org/a_(b)?c=d", "https://example.org/a_(b)?c=d", "nofollow noopener noreferrer ugc"],
      ["https://example.org/x", "https://example.org/x", "nofollow noopener noreferrer ugc"],
    ]);
    expect(cleaned("javascript:alert(1) https://bank.example@evil.example/").querySelector("a")).toBeNull();
    const still = document.createElement("div");
    still.append(clean("<b>see</b> https://example.org/", { spoiler: "Hidden", still: true }));
    expect(still.innerHTML).toBe("<b>see</b> https://example.org/");
  });

  test("pictures come from this server only", () => {
    const path = "/api/v1/chat/media/abc";
    const image = cleaned(`<img src="${path}" alt=":party:" onerror="alert(1)" width=9999>`).querySelector(
      "img",
    );
    expect(image?.getAttribute("src")).toBe(path);
    expect(image?.alt).toBe(":party:");
    expect(image?.hasAttribute("onerror") || image?.hasAttribute("width")).toBe(false);
    for (const source of [
      "https://evil.example/x.png",
      "/api/v1/chat/media/../../session",
      "/app/x",
      "mxc://a/b",
    ]) {
      expect(cleaned(`<img src="${source}">`).querySelector("img")).toBeNull();
    }
  });

  test("what is hidden is not in the page before it is asked for", () => {
    const host = cleaned('see <span class="spoiler">the <a href="https://example.org/">end</a></span>!');
    document.body.append(host);
    expect(host.textContent).toBe("see Hidden!");
    expect(host.querySelector("a")).toBeNull();
    host.querySelector("button")?.click();
    expect(host.textContent).toBe("see the end!");
    expect(host.querySelector("a")?.href).toBe("https://example.org/");
    expect(document.activeElement?.textContent).toBe("the end");
    host.remove();
  });

  test("nothing too deep or too much", () => {
    const deep = cleaned(`${"<b>".repeat(200)}x`);
    expect(deep.querySelectorAll("b").length).toBeLessThan(50);
    expect(cleaned("<i>x</i>".repeat(900)).querySelectorAll("i").length).toBeLessThan(700);
  });

  test("one's own name is marked", () => {
    expect(cleaned("<p>hey @ada, and @adam</p>", "Ada").innerHTML).toBe(
      "<p>hey <mark>@ada</mark>, and @adam</p>",
    );
  });
});

describe("plain text", () => {
  const emotes = new Map([["party", { code: "party", url: "/api/v1/chat/media/1" }]]);
  const text = (words: string) => [{ kind: "text" as const, text: words }];

  test("codes of the room become pictures, others stay", () => {
    expect(mark(text("a :party: b :other:"), emotes, undefined)).toEqual([
      { kind: "text", text: "a " },
      { kind: "emote", url: "/api/v1/chat/media/1", code: ":party:" },
      { kind: "text", text: " b :other:" },
    ]);
  });

  test("codes are of any letters", () => {
    const known = new Map([["löop", { code: "löop", url: "/api/v1/chat/media/2" }]]);
    expect(mark(text(":löop:"), known, undefined)).toEqual([
      { kind: "emote", url: "/api/v1/chat/media/2", code: ":löop:" },
    ]);
  });

  test("who is called is marked, whatever is in the name", () => {
    const found = mark(text("hi @a.b (x)!"), undefined, "A.b (x)");
    expect(found[1]).toEqual({ kind: "you", text: "@a.b (x)" });
    expect(mark(text("hi @axb"), undefined, "a.b")).toEqual(text("hi @axb"));
  });

  test("a message without either costs nothing", () => {
    const pieces = text("hello");
    expect(mark(pieces, emotes, "Ada")).toBe(pieces);
  });
});
