import { flushSync, mount, tick, unmount } from "svelte";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import ChatPanel from "../src/chat/ChatPanel.svelte";
import { ADA, BO, FakeSocket, message } from "./chat-support";

// It needs a browser's database and styles; what is tested here is what stands around it.
vi.mock("../src/chat/EmojiPicker.svelte", () => ({ default: () => {} }));

const YOU = { ...ADA, can: ["post"] };

let panel: object;

const find = <T extends HTMLElement>(testid: string) =>
  document.querySelector<T>(`[data-testid="${testid}"]`) as T;

async function type(field: HTMLInputElement | HTMLTextAreaElement, text: string): Promise<void> {
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  await tick();
}

function press(field: HTMLElement, key: string): void {
  field.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  flushSync();
}

async function changeName(name: string): Promise<void> {
  find("chat-rename").click();
  await tick();
  await type(find<HTMLInputElement>("chat-name-field"), name);
  find<HTMLButtonElement>("chat-join").click();
  await tick();
}

beforeEach(() => {
  FakeSocket.all = [];
  vi.stubGlobal("WebSocket", FakeSocket);
  vi.stubGlobal(
    "ResizeObserver",
    class {
      observe() {}
      disconnect() {}
    },
  );
  // jsdom has no layout and no dialogs.
  Element.prototype.scrollIntoView = () => {};
  HTMLDialogElement.prototype.showModal = function () {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = function () {
    this.open = false;
    this.dispatchEvent(new Event("close"));
  };
  panel = mount(ChatPanel, { target: document.body, props: { stream: "demo" } });
  flushSync();
  FakeSocket.last.welcome({ you: YOU, messages: [message(1, ADA)] });
  flushSync();
});

afterEach(async () => {
  await unmount(panel);
  document.body.replaceChildren();
  vi.unstubAllGlobals();
});

test("a name that stays the same is taken too, and one can write again", async () => {
  await changeName(ADA.name);
  expect(FakeSocket.last.take()).toContainEqual({ type: "join", name: ADA.name });
  FakeSocket.last.tell("joined", { you: YOU });
  await tick();
  expect(find("chat-name-form")).toBeNull();
  await vi.waitFor(() => expect(document.activeElement).toBe(find("chat-field")));
});

test("a refused name can be changed, or left as it was", async () => {
  await changeName("Bo");
  FakeSocket.last.tell("error", { code: "name_taken", text: "" });
  await tick();
  expect(find("chat-error").textContent).not.toBe("");
  press(find("chat-name-field"), "Escape");
  await tick();
  expect(find("chat-you").textContent).toBe(ADA.name);
});

test("a connection that breaks leaves the form for another name open", async () => {
  find("chat-rename").click();
  await tick();
  FakeSocket.last.tell("welcome", { you: YOU, reset: false, people: 1, seq: 1 });
  await tick();
  expect(find("chat-name-form")).not.toBeNull();
});

test("what is being written outlives a change of the name", async () => {
  await type(find<HTMLTextAreaElement>("chat-field"), "half a thought");
  await changeName("Ada L.");
  FakeSocket.last.tell("joined", { you: { ...YOU, name: "Ada L." } });
  await tick();
  expect(find<HTMLTextAreaElement>("chat-field").value).toBe("half a thought");
});

test("Escape in the field closes the emoji first, then takes the answer back", {
  timeout: 40_000,
}, async () => {
  find("chat-message").focus();
  flushSync();
  find("chat-reply").click();
  find("chat-emoji").click();
  await vi.waitFor(() => expect(find("emoji-popup")).not.toBeNull(), { timeout: 20_000 });
  press(find("chat-field"), "Escape");
  expect(find("emoji-popup")).toBeNull();
  expect(document.querySelector(".replying")).not.toBeNull();
  press(find("chat-field"), "Escape");
  expect(document.querySelector(".replying")).toBeNull();
});

test("the way to the newest message leaves the focus in the chat", async () => {
  const log = document.querySelector<HTMLElement>("[role=log]") as HTMLElement;
  Object.defineProperty(log, "scrollHeight", { value: 900 });
  Object.defineProperty(log, "clientHeight", { value: 300 });
  log.scrollTop = 600;
  log.dispatchEvent(new Event("scroll"));
  log.scrollTop = 100;
  log.dispatchEvent(new Event("scroll"));
  flushSync();
  find("chat-latest").focus();
  find("chat-latest").click();
  await tick();
  expect(find("chat-latest")).toBeNull();
  expect(document.activeElement).toBe(log);
});

test("the focus stays in the list when somebody takes the message away", async () => {
  find("chat-message").focus();
  flushSync();
  FakeSocket.last.tell("deleted", { seq: 2, ids: [1] });
  await tick();
  expect(document.activeElement).toBe(document.querySelector("[role=log]"));
});

test("after a ban the focus is where it came from", { timeout: 40_000 }, async () => {
  FakeSocket.last.tell("welcome", {
    you: { ...YOU, can: ["post", "moderate"] },
    reset: false,
    people: 2,
    seq: 1,
  });
  FakeSocket.last.tell("message", { seq: 2, message: message(2, BO) });
  await tick();
  const said = document.querySelector<HTMLElement>('[data-message="2"]') as HTMLElement;
  said.focus();
  flushSync();
  find("chat-ban").click();
  await vi.waitFor(() => expect(find("ban-confirm")).not.toBeNull(), { timeout: 20_000 });
  find("ban-confirm").click();
  await tick();
  expect(FakeSocket.last.take()).toContainEqual({ type: "ban", id: 2, seconds: 600 });
  await vi.waitFor(() => expect(document.activeElement).toBe(said));
});
