import { expect, test } from "vitest";
import { embedCode, embedOptions, embedUrl } from "../src/watch/embed";

const ORIGIN = "https://live.example:8443";
const PLAIN = { chat: false, muted: false };

test("the address of the player, with what was chosen", () => {
  expect(embedUrl(ORIGIN, "my stream", PLAIN)).toBe("https://live.example:8443/embed/my%20stream");
  expect(embedUrl(ORIGIN, "demo", { chat: true, muted: true })).toBe(
    "https://live.example:8443/embed/demo?chat=1&muted=1",
  );
});

test("the page reads what the address says", () => {
  for (const options of [PLAIN, { chat: true, muted: false }, { chat: true, muted: true }]) {
    expect(embedOptions(new URL(embedUrl(ORIGIN, "demo", options)).search)).toEqual(options);
  }
  expect(embedOptions("?chat=yes&muted")).toEqual(PLAIN);
});

test("the code is one frame, whatever the title is", () => {
  const title = `"><script>alert(1)</script> & 'Co'`;
  const place = document.createElement("div");
  place.innerHTML = embedCode(ORIGIN, "demo", title, { chat: true, muted: true });
  expect(place.children).toHaveLength(1);
  const frame = place.firstElementChild as HTMLIFrameElement;
  expect(frame.tagName).toBe("IFRAME");
  expect(frame.title).toBe(title);
  expect(frame.getAttribute("src")).toBe(`${ORIGIN}/embed/demo?chat=1&muted=1`);
  expect(frame.getAttribute("allow")).toContain("autoplay");
  expect(frame.hasAttribute("allowfullscreen")).toBe(true);
});
