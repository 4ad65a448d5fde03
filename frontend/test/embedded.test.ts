import { afterEach, expect, test } from "vitest";
import { embeddedStream } from "../src/lib/live/embedded";
import { stream } from "./support";

afterEach(() => document.body.replaceChildren());

function write(text: string) {
  const block = document.createElement("script");
  block.type = "application/json";
  block.id = "stream";
  block.textContent = text;
  document.body.append(block);
}

test("what the server wrote is known at once", () => {
  const demo = stream("live");
  write(JSON.stringify(demo));
  expect(embeddedStream(demo.name)).toEqual(demo);
});

test("that there is no such stream is known too", () => {
  write("null");
  expect(embeddedStream("nobody")).toBeNull();
});

test.each(["", "not JSON", JSON.stringify(stream("live"))])("anything else is asked for: %s", (text) => {
  if (text) write(text);
  expect(embeddedStream("another")).toBeUndefined();
});
