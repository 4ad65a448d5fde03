import { expect, test } from "vitest";
import { parseMessage } from "../src/chat/protocol";

const ADA = { id: "g1", name: "Ada", hue: 210, role: "guest" };
const read = (value: unknown) => parseMessage(JSON.stringify(value));

test("a welcome, whole", () => {
  const message = { id: 7, at: "2026-01-01T12:00:00Z", author: ADA, text: "hi", reply: null };
  expect(
    read({
      type: "welcome",
      you: { ...ADA, can: ["post"] },
      seq: 9,
      reset: true,
      messages: [message],
      deleted: [3],
      people: 2,
      limits: { text: 300, name: 20 },
      banned: { reason: "spam", until: null },
    }),
  ).toEqual({
    type: "welcome",
    you: { ...ADA, can: new Set(["post"]) },
    seq: 9,
    reset: true,
    messages: [message],
    deleted: [3],
    people: 2,
    limits: { text: 300, name: 20 },
    banned: { reason: "spam", until: null },
    rules: null,
    pinned: null,
    held: [],
    matrix: null,
    emotes: [],
    changed: [],
    mine: new Map(),
  });
});

test("a welcome with nothing in it is a welcome to an empty chat", () => {
  expect(read({ type: "welcome" })).toMatchObject({
    you: null,
    messages: [],
    people: 0,
    reset: true,
    banned: null,
  });
});

test("what a newer server adds is ignored, in a message and inside it", () => {
  const message = read({
    type: "message",
    seq: 8,
    mood: "good",
    message: { id: 8, at: "", author: { ...ADA, avatar: "x" }, text: "hi", reply: null, stickers: [1] },
  });
  expect(message).toEqual({
    type: "message",
    seq: 8,
    message: { id: 8, at: "", author: ADA, text: "hi", reply: null },
  });
});

test("a role that the page does not know has no power here", () => {
  const message = read({
    type: "message",
    seq: 1,
    message: { id: 1, author: { ...ADA, role: "emperor" }, text: "x" },
  });
  expect(message).toMatchObject({ message: { author: { role: "guest" } } });
});

test("one message that makes no sense does not spoil the others", () => {
  const good = { id: 2, at: "", author: ADA, text: "hi", reply: null };
  const bad = [null, 7, {}, { id: "2", author: ADA, text: "x" }, { id: 3, author: {}, text: "x" }];
  expect(read({ type: "welcome", messages: [...bad, good], deleted: ["1", 4] })).toMatchObject({
    messages: [good],
    deleted: [4],
  });
});

test("a quote of a message that is gone has no text", () => {
  const reply = { id: 1, name: "Bo", text: null };
  expect(read({ type: "message", seq: 2, message: { id: 2, author: ADA, text: "x", reply } })).toMatchObject({
    message: { reply },
  });
});

test.each([
  "",
  "{",
  "null",
  "[]",
  "7",
  '{"type":"fireworks"}',
  '{"type":"constructor"}',
  '{"type":"__proto__"}',
  '{"type":"message"}',
  '{"type":"joined","you":null}',
  '{"type":"ack","id":1}',
  '{"type":"count"}',
])("%s is not understood", (text) => {
  expect(parseMessage(text)).toBeNull();
});

test("binary data is not understood", () => {
  expect(parseMessage(new ArrayBuffer(4))).toBeNull();
});

test("an error keeps what is needed to go on", () => {
  expect(read({ type: "error", code: "too_fast", text: "Slowly.", retry_after: 2.5, txn: "a" })).toEqual({
    type: "error",
    code: "too_fast",
    text: "Slowly.",
    retryAfter: 2.5,
    txn: "a",
  });
  expect(read({ type: "error" })).toEqual({ type: "error", code: "", text: "", retryAfter: null, txn: null });
});
