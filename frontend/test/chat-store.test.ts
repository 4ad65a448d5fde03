import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { GuestMemory } from "../src/chat/guest";
import { MOST_WAITING } from "../src/chat/postbox.svelte";
import { ChatStore, SHOWN } from "../src/chat/store.svelte";
import { PictureClock } from "../src/lib/player/clock";
import { ADA, BO, FakeSocket, message } from "./chat-support";
import { FakeStorage } from "./support";

const YOU = { ...ADA, can: ["post"] };

let storage: FakeStorage;
let store: ChatStore;

const pass = (seconds: number) => vi.advanceTimersByTimeAsync(seconds * 1_000);
const texts = () => store.messages.map(({ text }) => text);
const ids = () => store.messages.map(({ id }) => id);
const waiting = () => store.outbox.map(({ text, state }) => `${text}: ${state}`);
const socket = () => FakeSocket.last;

function create(clock?: PictureClock): ChatStore {
  const created = new ChatStore({
    ...(clock && { clock }),
    url: "ws://here/chat",
    guest: new GuestMemory(storage),
    connection: { socket: (url) => new FakeSocket(url), random: () => 1 },
  });
  created.start();
  return created;
}

async function reconnect(members: object): Promise<void> {
  socket().fail();
  await pass(0.5);
  socket().welcome({ you: YOU, reset: false, ...members });
}

/** Posts, and gives the name under which it was sent. */
function post(text: string): string {
  expect(store.post(text, null)).toBe(true);
  return store.outbox.at(-1)?.txn ?? "";
}

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all = [];
  storage = new FakeStorage();
  store = create();
});

afterEach(() => {
  store.close();
  vi.useRealTimers();
});

describe("messages", () => {
  test("of which the first in an empty chat waits for the picture too", async () => {
    store.close();
    const clock = new PictureClock();
    clock.follow(() => ({ at: null, behind: 2 }));
    store = create(clock);
    store.aligned.start();
    const shown = () => store.aligned.messages.map(({ id }) => id);
    socket().welcome({ messages: [], seq: 7 });
    await pass(5);
    socket().tell("message", { seq: 8, message: message(8, BO) });
    expect([ids(), shown()]).toEqual([[8], []]);
    await pass(1.5);
    expect(shown()).toEqual([]);
    await pass(1);
    expect(shown()).toEqual([8]);
    // What was there when the page came is shown at once.
    store.close();
    store = create(clock);
    socket().welcome({ messages: [message(8, BO)], seq: 8 });
    expect(shown()).toEqual([8]);
    socket().tell("message", { seq: 9, message: message(9, BO) });
    expect(shown()).toEqual([8]);
  });

  test("history, then news; in the order of their ids, each once", () => {
    socket().welcome({ messages: [message(1, ADA), message(2, BO)], seq: 2 });
    socket().tell("message", { seq: 5, message: message(5, BO) });
    socket().tell("message", { seq: 4, message: message(4, ADA) });
    socket().tell("message", { seq: 5, message: message(5, BO) });
    expect(ids()).toEqual([1, 2, 4, 5]);
  });

  test("a page that comes back says how far it is, and gets the rest", async () => {
    socket().welcome({ messages: [message(1, ADA), message(2, BO)], seq: 2 });
    socket().tell("message", { seq: 3, message: message(3, BO) });
    socket().tell("deleted", { seq: 4, ids: [1] });
    await reconnect({ seq: 7, messages: [message(5, BO), message(6, BO)], deleted: [2] });
    expect(socket().take()[0]).toEqual({ type: "hello", since: 4 });
    expect(ids()).toEqual([3, 5, 6]);
  });

  test("with a reset the page forgets what it had", async () => {
    socket().welcome({ messages: [message(100, ADA)], seq: 100 });
    await reconnect({ reset: true, seq: 2, messages: [message(2, BO)] });
    expect(ids()).toEqual([2]);
    socket().fail();
    await pass(0.5);
    socket().open();
    expect(socket().take()[0]).toMatchObject({ since: 2 });
  });

  test("what is removed leaves no words behind, not even in replies", () => {
    const reply = { id: 1, name: "Ada", text: "message 1" };
    socket().welcome({ messages: [message(1, ADA), { ...message(2, BO), reply }], seq: 2 });
    socket().tell("deleted", { seq: 3, ids: [1] });
    expect(store.messages).toEqual([{ ...message(2, BO), reply: { ...reply, text: null } }]);
    // A copy that comes late stays out.
    socket().tell("message", { seq: 1, message: message(1, ADA) });
    expect(ids()).toEqual([2]);
  });

  test("the oldest go, later while somebody reads them", () => {
    socket().welcome();
    const say = (from: number, count: number) => {
      for (let id = from; id < from + count; id += 1) {
        socket().tell("message", { seq: id, message: message(id, BO) });
      }
    };
    say(1, SHOWN + 20);
    expect(ids()).toHaveLength(SHOWN);
    expect(ids()[0]).toBe(21);
    store.reading = true;
    say(SHOWN + 21, 100);
    expect(ids()[0]).toBe(21);
    say(SHOWN + 121, 1_000);
    expect(ids().length).toBeLessThanOrEqual(2 * SHOWN);
    store.reading = false;
    expect(ids()).toHaveLength(SHOWN);
  });

  test("history is not read out, news is", async () => {
    expect(store.replaying).toBe(true);
    socket().welcome({ messages: [message(1, ADA)] });
    expect(store.replaying).toBe(true);
    await pass(0.5);
    expect(store.replaying).toBe(false);
  });

  test("which messages speak to us", () => {
    socket().welcome({ you: YOU, messages: [message(1, ADA)] });
    const reply = (id: number, name: string) => ({ ...message(9, BO), reply: { id, name, text: "" } });
    expect(store.concernsMe(message(2, BO, "hey @ada!"))).toBe(true);
    expect(store.concernsMe(message(2, ADA, "I am @ada"))).toBe(false);
    expect(store.concernsMe(message(2, BO, "hey @adam!"))).toBe(false);
    expect(store.concernsMe(message(2, BO, "hello"))).toBe(false);
    expect(store.concernsMe(reply(1, "Ada"))).toBe(true);
    expect(store.concernsMe(reply(1, "A former name"))).toBe(true);
    expect(store.concernsMe(reply(400, "Zoë"))).toBe(false);
  });
});

describe("being a guest", () => {
  test("a name is taken, the token kept, and a reload is the same guest", () => {
    socket().welcome();
    expect(socket().take()).toEqual([{ type: "hello" }]);
    store.join("Ada");
    expect(socket().take()).toEqual([{ type: "join", name: "Ada" }]);
    expect(store.joining).toBe(true);
    socket().tell("joined", { you: YOU, token: "secret" });
    expect([store.joining, store.you?.name, store.canPost]).toEqual([false, "Ada", true]);
    store.close();
    store = create();
    socket().open();
    expect(socket().take()).toEqual([{ type: "hello", token: "secret" }]);
    expect(store.guest.name).toBe("Ada");
  });

  test("another name keeps the token", () => {
    storage.setItem("ghostlive.guest", "secret");
    store.close();
    store = create();
    socket().welcome({ you: YOU });
    store.join("Adele");
    socket().tell("joined", { you: { ...YOU, name: "Adele" } });
    expect(storage.getItem("ghostlive.guest")).toBe("secret");
    expect(store.guest.name).toBe("Adele");
  });

  test("a name that is refused says why, and another try is free", () => {
    socket().welcome();
    store.join("Ada");
    socket().tell("error", { code: "name_taken", text: "Taken." });
    expect(store.nameRefusal?.code).toBe("name_taken");
    expect(store.refusal).toBeNull();
    store.join("Adele");
    expect(store.nameRefusal).toBeNull();
  });

  test("a name that was asked for while the line was dead is asked for again", async () => {
    socket().welcome();
    socket().fail();
    store.join("Ada");
    await pass(0.5);
    socket().welcome();
    expect(socket().take()).toContainEqual({ type: "join", name: "Ada" });
  });

  test("a second page that was open before becomes the same guest", () => {
    socket().welcome();
    storage.setItem("ghostlive.guest", "secret");
    window.dispatchEvent(new StorageEvent("storage", { key: "ghostlive.guest" }));
    expect(FakeSocket.all).toHaveLength(2);
    socket().open();
    expect(socket().take()[0]).toMatchObject({ token: "secret" });
    // The same news again, or news of something else, is none.
    window.dispatchEvent(new StorageEvent("storage", { key: "ghostlive.guest" }));
    window.dispatchEvent(new StorageEvent("storage", { key: "other" }));
    expect(FakeSocket.all).toHaveLength(2);
  });

  test("without storage the page is the same guest for as long as it is open", async () => {
    const forbidden = {
      getItem: () => {
        throw new Error("denied");
      },
      setItem: () => {
        throw new Error("denied");
      },
      removeItem: () => {},
    };
    for (const none of [forbidden, null]) {
      const guest = new GuestMemory(none);
      guest.keep("secret", "Ada");
      expect([guest.token, guest.name, guest.refresh()]).toEqual(["secret", "Ada", false]);
    }
  });

  test("an account is not remembered as a guest", () => {
    socket().welcome();
    socket().tell("joined", { you: { ...YOU, id: "u_1", role: "streamer", name: "Boss" } });
    expect(storage.items.size).toBe(0);
  });
});

describe("saying something", () => {
  beforeEach(() => {
    socket().welcome({ you: YOU, messages: [message(1, BO)], seq: 1 });
    socket().take();
  });

  test("it is shown at once, and becomes a message when the server has stored it", () => {
    const txn = post("hello");
    expect(socket().take()).toEqual([{ type: "post", txn, text: "hello" }]);
    expect(waiting()).toEqual(["hello: sent"]);
    socket().tell("ack", { txn, id: 2, seq: 2 });
    expect(waiting()).toEqual([]);
    expect(texts()).toEqual(["message 1", "hello"]);
    socket().tell("message", { seq: 2, message: message(2, ADA, "hello, cleaned") });
    expect(texts()).toEqual(["message 1", "hello, cleaned"]);
  });

  test("a message that comes before its acknowledgement is not shown beside it", () => {
    const txn = post("hello");
    socket().tell("message", { seq: 2, message: message(2, ADA, "hello") });
    expect(texts()).toEqual(["message 1"]);
    socket().tell("message", { seq: 3, message: message(3, BO, "others go on") });
    socket().tell("ack", { txn, id: 2, seq: 2 });
    expect(texts()).toEqual(["message 1", "hello", "others go on"]);
    expect(waiting()).toEqual([]);
  });

  test("a reply names what it answers", () => {
    store.post("yes", { id: 1, name: "Bo", text: "message 1" });
    expect(socket().take()).toMatchObject([{ type: "post", text: "yes", reply: 1 }]);
  });

  test("the line broke after it was stored: sent again under its name, shown once at every moment", async () => {
    const txn = post("hello");
    socket().take();
    await reconnect({ seq: 3, messages: [message(2, ADA, "hello"), message(3, BO)] });
    expect(texts()).toEqual(["message 1", "message 3"]);
    expect(waiting()).toEqual(["hello: sent"]);
    expect(socket().take()).toEqual([
      { type: "hello", since: 1 },
      { type: "post", txn, text: "hello" },
    ]);
    socket().tell("ack", { txn, id: 2, seq: 2 });
    expect(texts()).toEqual(["message 1", "hello", "message 3"]);
    expect(waiting()).toEqual([]);
  });

  test("the line broke before it was stored: it is stored now", async () => {
    const txn = post("hello");
    await reconnect({ seq: 1 });
    socket().tell("ack", { txn, id: 2, seq: 2 });
    socket().tell("message", { seq: 2, message: message(2, ADA, "hello") });
    expect(texts()).toEqual(["message 1", "hello"]);
  });

  test("an acknowledgement does not move the place from which the page goes on", async () => {
    const txn = post("hello");
    socket().tell("ack", { txn, id: 9, seq: 9 });
    socket().fail();
    await pass(0.5);
    socket().open();
    expect(socket().take()[0]).toMatchObject({ since: 1 });
  });

  test("said while the line is dead, it goes out in order when it is back", async () => {
    socket().fail();
    post("one");
    post("two");
    expect(waiting()).toEqual(["one: waiting", "two: waiting"]);
    await pass(0.5);
    socket().welcome({ you: YOU, reset: false, seq: 1 });
    expect(
      socket()
        .take()
        .map(({ text }) => text),
    ).toEqual([undefined, "one", "two"]);
  });

  test("a message of ours that was removed in the meantime does not come back", async () => {
    const txn = post("hello");
    await reconnect({ seq: 4, deleted: [2] });
    socket().tell("ack", { txn, id: 2, seq: 2 });
    expect(texts()).toEqual(["message 1"]);
    expect(waiting()).toEqual([]);
  });

  test("from our other page it is shown as soon as ours are settled", () => {
    const txn = post("from here");
    socket().tell("message", { seq: 2, message: message(2, ADA, "from there") });
    socket().tell("ack", { txn, id: 3, seq: 3 });
    expect(texts()).toEqual(["message 1", "from there", "from here"]);
  });

  test("too fast: sat out when it is short, and what was said later waits behind", async () => {
    const one = post("one");
    socket().take();
    socket().tell("error", { code: "too_fast", text: "", retry_after: 3, txn: one });
    const two = post("two");
    expect(store.refusal?.code).toBe("too_fast");
    expect(waiting()).toEqual(["one: waiting", "two: waiting"]);
    await pass(2.9);
    expect(socket().take()).toEqual([]);
    await pass(0.1);
    expect(socket().take()).toEqual([{ type: "post", txn: one, text: "one" }]);
    expect(store.refusal).toBeNull();
    socket().tell("ack", { txn: one, id: 2, seq: 2 });
    expect(socket().take()).toEqual([{ type: "post", txn: two, text: "two" }]);
    socket().tell("ack", { txn: two, id: 3, seq: 3 });
    // From then on as before.
    post("three");
    post("four");
    expect(socket().take()).toHaveLength(2);
  });

  test("too fast for long: the person decides", () => {
    const txn = post("one");
    socket().tell("error", { code: "too_fast", text: "", retry_after: 60, txn });
    expect(waiting()).toEqual(["one: failed"]);
    socket().take();
    store.retry(txn);
    expect(socket().take()).toEqual([{ type: "post", txn, text: "one" }]);
    socket().tell("error", { code: "too_fast", text: "", retry_after: 60, txn });
    store.discard(txn);
    expect(store.outbox).toEqual([]);
  });

  test("a busy server is asked again", async () => {
    const txn = post("one");
    socket().take();
    socket().tell("error", { code: "busy", text: "", txn });
    await pass(2);
    expect(socket().take()).toEqual([{ type: "post", txn, text: "one" }]);
  });

  test("what cannot be sent is marked, with the reason", () => {
    const txn = post("x".repeat(9_000));
    socket().tell("error", { code: "too_long", text: "Too long.", txn });
    expect(store.outbox).toMatchObject([{ state: "failed", refusal: { code: "too_long" } }]);
  });

  test("a server that has forgotten us: a name first, then it goes out", () => {
    const txn = post("hello");
    socket().tell("error", { code: "name_needed", text: "", txn });
    expect(store.you).toBeNull();
    expect(waiting()).toEqual(["hello: waiting"]);
    socket().take();
    store.join("Ada");
    socket().tell("joined", { you: YOU, token: "new" });
    expect(socket().take()).toMatchObject([{ type: "join" }, { type: "post", txn }]);
  });

  test("not more than a few wait", () => {
    socket().fail();
    for (let index = 0; index < MOST_WAITING; index += 1) expect(store.post("x", null)).toBe(true);
    expect(store.post("x", null)).toBe(false);
    expect(store.outbox).toHaveLength(MOST_WAITING);
  });
});

describe("moderation", () => {
  test("who may do what", () => {
    socket().welcome({ you: YOU, messages: [message(1, ADA), message(2, BO)] });
    expect(store.canModerate).toBe(false);
    expect([1, 2].map((id) => store.canDelete(message(id, id === 1 ? ADA : BO)))).toEqual([true, false]);
    socket().tell("joined", { you: { ...YOU, can: ["post", "moderate"] } });
    expect(store.canModerate).toBe(true);
    expect(store.canDelete(message(2, BO))).toBe(true);
  });

  test("what is asked of the server", () => {
    socket().welcome({ you: YOU });
    socket().take();
    store.delete(4);
    store.ban(4, { seconds: 600, reason: "spam", messages: true });
    store.ban(4, {});
    store.askPeople();
    expect(socket().take()).toEqual([
      { type: "delete", id: 4 },
      { type: "ban", id: 4, seconds: 600, reason: "spam", messages: true },
      { type: "ban", id: 4 },
      { type: "people" },
    ]);
    socket().tell("people", { people: 3, names: [BO] });
    expect([store.people, store.names]).toEqual([3, [BO]]);
    socket().tell("count", { people: 4 });
    expect(store.people).toBe(4);
  });

  test("who is there is not asked more often than the server likes", async () => {
    socket().welcome();
    socket().take();
    for (let index = 0; index < 5; index += 1) store.askPeople();
    expect(socket().take()).toHaveLength(1);
    await pass(1.5);
    expect(socket().take()).toHaveLength(1);
    await pass(10);
    expect(socket().take()).toHaveLength(0);
  });

  test("a refusal of something that was no message", () => {
    socket().welcome({ you: YOU });
    store.delete(4);
    socket().tell("error", { code: "not_found", text: "" });
    expect(store.refusal?.code).toBe("not_found");
  });

  test("banned: nothing can be said until it is over", async () => {
    socket().welcome({ you: YOU });
    post("hello");
    socket().take();
    socket().tell("banned", { reason: "spam", until: new Date(Date.now() + 60_000).toISOString() });
    expect([store.canPost, store.banned?.reason]).toEqual([false, "spam"]);
    expect(waiting()).toEqual(["hello: failed"]);
    await pass(60);
    expect([store.canPost, store.banned]).toEqual([true, null]);
  });

  test("who is banned from watching too sees no more of what the player has, and others go on watching", () => {
    const clock = new PictureClock();
    const end = vi.fn();
    const unfollow = clock.follow(() => null, end);
    store.close();
    store = create(clock);
    socket().welcome({ you: YOU });
    socket().tell("banned", { reason: "", until: null });
    expect(end).not.toHaveBeenCalled();
    socket().tell("banned", { reason: "", until: null, watching: true });
    expect(end).toHaveBeenCalledOnce();
    unfollow();
    clock.end();
    expect(end).toHaveBeenCalledOnce();
  });

  test("banned before the page was opened, for good, and pardoned", async () => {
    socket().welcome({ you: { ...YOU, can: [] }, banned: { reason: "", until: null } });
    expect(store.canPost).toBe(false);
    await pass(20);
    socket().tell("unbanned");
    expect(store.canPost).toBe(true);
  });

  test("a ban for longer than a timer can count", async () => {
    socket().welcome({ you: YOU, banned: { reason: "", until: "2999-01-01T00:00:00Z" } });
    await pass(1);
    expect(store.banned).not.toBeNull();
  });
});
