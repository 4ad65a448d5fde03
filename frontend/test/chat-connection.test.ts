import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ChatConnection, chatUrl } from "../src/chat/connection";
import { FakeSocket } from "./chat-support";

let statuses: string[];
let messages: string[];
let exists: boolean;
let since: number;
let connection: ChatConnection;

const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1_000);
const sockets = () => FakeSocket.all.length;

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all = [];
  statuses = [];
  messages = [];
  exists = true;
  since = 0;
  connection = new ChatConnection({
    url: "ws://here/chat",
    hello: () => ({ type: "hello", since }),
    onMessage: (message) => messages.push(message.type),
    onStatus: (status) => statuses.push(status),
    exists: async () => exists,
    socket: (url) => new FakeSocket(url),
    // The longest that a delay can be.
    random: () => 1,
  });
  connection.start();
});

afterEach(() => {
  connection.close();
  vi.useRealTimers();
});

test("hello is the first message, and open means welcome", () => {
  expect(connection.send({ type: "people" })).toBe(false);
  FakeSocket.last.open();
  expect(FakeSocket.last.take()).toEqual([{ type: "hello", since: 0 }]);
  expect(statuses).toEqual(["connecting"]);
  expect(connection.send({ type: "people" })).toBe(false);
  FakeSocket.last.tell("welcome");
  expect(statuses).toEqual(["connecting", "open"]);
  expect(messages).toEqual(["welcome"]);
  expect(connection.send({ type: "people" })).toBe(true);
});

test("a broken line is opened again, each time saying how far the page has come", async () => {
  FakeSocket.last.welcome();
  since = 12;
  FakeSocket.last.fail();
  expect(statuses.at(-1)).toBe("lost");
  await pass(0.5);
  expect(sockets()).toBe(2);
  FakeSocket.last.welcome();
  expect(FakeSocket.last.take()[0]).toEqual({ type: "hello", since: 12 });
  expect(statuses.at(-1)).toBe("open");
});

test("it waits twice as long each time, up to ten seconds", async () => {
  for (const delay of [0.5, 1, 2, 4, 8, 10, 10]) {
    const before = sockets();
    FakeSocket.last.fail();
    await pass(delay - 0.05);
    expect(sockets(), `before ${delay} s`).toBe(before);
    await pass(0.05);
    expect(sockets(), `after ${delay} s`).toBe(before + 1);
  }
  // What worked once starts from the beginning.
  FakeSocket.last.welcome();
  FakeSocket.last.fail();
  const before = sockets();
  await pass(0.5);
  expect(sockets()).toBe(before + 1);
});

test("pages come back at moments of their own", async () => {
  const early = new ChatConnection({
    url: "ws://here/chat",
    hello: () => ({ type: "hello" }),
    onMessage: () => {},
    onStatus: () => {},
    socket: (url) => new FakeSocket(url),
    random: () => 0,
  });
  early.start();
  FakeSocket.last.fail();
  await pass(0.25);
  expect(sockets()).toBe(3);
  early.close();
});

test("every 25 seconds a ping; a line that does not answer is dead", async () => {
  const socket = FakeSocket.last;
  socket.welcome();
  socket.sent.length = 0;
  await pass(25);
  expect(socket.sent).toEqual([{ type: "ping" }]);
  socket.tell("pong");
  await pass(25);
  expect(socket.sent).toHaveLength(2);
  await pass(9.9);
  expect(sockets()).toBe(1);
  await pass(0.1);
  expect(socket.closed).toBe(true);
  expect(statuses.at(-1)).toBe("lost");
  await pass(0.5);
  expect(sockets()).toBe(2);
});

test("a line on which nothing comes back for what was said is dead", async () => {
  const socket = FakeSocket.last;
  socket.welcome();
  connection.send({ type: "people" });
  await pass(12);
  connection.send({ type: "post", txn: "a", text: "hello" });
  await pass(6);
  // What is said later does not put off the end.
  connection.send({ type: "post", txn: "b", text: "anybody there?" });
  await pass(3.9);
  expect(statuses.at(-1)).toBe("open");
  await pass(0.1);
  expect(statuses.at(-1)).toBe("lost");
});

test("any message is a sign of life", async () => {
  const socket = FakeSocket.last;
  socket.welcome();
  await pass(26);
  socket.tell("count", { people: 3 });
  await pass(20);
  expect(statuses.at(-1)).toBe("open");
});

test("a server that takes the connection and says nothing is left", async () => {
  FakeSocket.last.open();
  await pass(10);
  expect(statuses.at(-1)).toBe("lost");
  await pass(0.5);
  expect(sockets()).toBe(2);
});

test("back in coverage, it does not sit out a long delay", async () => {
  for (let index = 0; index < 6; index += 1) {
    FakeSocket.last.fail();
    await pass(10);
  }
  FakeSocket.last.fail();
  const before = sockets();
  window.dispatchEvent(new Event("online"));
  expect(sockets()).toBe(before + 1);
  await pass(20);
  // And the delay that was running is forgotten: only the attempt that got no answer is followed by another.
  expect(sockets()).toBe(before + 1 + 1);
});

test("a page that is looked at again checks its line, and soon knows", async () => {
  const socket = FakeSocket.last;
  socket.welcome();
  socket.sent.length = 0;
  document.dispatchEvent(new Event("visibilitychange"));
  expect(socket.sent).toEqual([{ type: "ping" }]);
  await pass(4);
  expect(statuses.at(-1)).toBe("lost");
});

test("too many connections from here: asked again, but seldom", async () => {
  FakeSocket.last.welcome();
  FakeSocket.last.fail(1013);
  expect(statuses.at(-1)).toBe("crowded");
  await pass(29);
  expect(sockets()).toBe(1);
  await pass(1);
  expect(sockets()).toBe(2);
});

test("a stream that is no more has no chat", async () => {
  exists = false;
  FakeSocket.last.fail();
  await pass(0);
  expect(statuses.at(-1)).toBe("gone");
  await pass(29);
  expect(sockets()).toBe(1);
  exists = true;
  await pass(1);
  FakeSocket.last.welcome();
  expect(statuses.at(-1)).toBe("open");
});

test("what comes late from a socket that was left is not heard", async () => {
  const first = FakeSocket.last;
  const { onmessage, onclose } = first;
  first.welcome();
  connection.reopen();
  expect(first.closed).toBe(true);
  expect(sockets()).toBe(2);
  onmessage?.call(first as unknown as WebSocket, new MessageEvent("message", { data: '{"type":"pong"}' }));
  onclose?.call(first as unknown as WebSocket, { code: 1006 } as CloseEvent);
  expect(messages).toEqual(["welcome"]);
  await pass(5);
  expect(sockets()).toBe(2);
});

test("a closed connection stays closed", async () => {
  FakeSocket.last.welcome();
  connection.close();
  window.dispatchEvent(new Event("online"));
  connection.reopen();
  await pass(120);
  expect(sockets()).toBe(1);
});

test("messages that are not understood change nothing", () => {
  FakeSocket.last.welcome();
  FakeSocket.last.tell("fireworks");
  expect(messages).toEqual(["welcome"]);
});

test("the address of a chat", () => {
  expect(chatUrl("my stream", { protocol: "https:", host: "a.example" })).toBe(
    "wss://a.example/api/v1/streams/my%20stream/chat",
  );
  expect(chatUrl("demo", { protocol: "http:", host: "[::1]:8080" })).toBe(
    "ws://[::1]:8080/api/v1/streams/demo/chat",
  );
});
