import "./row.css";
import { mount, unmount } from "svelte";
import { t } from "../lib/i18n";
import Content from "./Content.svelte";
import { nameColours } from "./colour";
import type { Author, ChatMessage, Emote, You } from "./protocol";
import Quoted from "./Quoted.svelte";
import RowParts from "./RowParts.svelte";
import type { ChatStore } from "./store.svelte";
import { putText, textClass } from "./textnodes";
import { saidAt } from "./words";

/** What can be done with a message. */
export interface RowEvents {
  onreply: (message: ChatMessage) => void;
  ondelete: (message: ChatMessage) => void;
  onban: (message: ChatMessage) => void;
  onedit: (message: ChatMessage) => void;
  onreact: (message: ChatMessage) => void;
  onauthor: (author: Author) => void;
  onpicture: (message: ChatMessage) => void;
  /** Shows the message that another one answers. */
  onquote: (id: number) => void;
}

/** What the rows of a list depend on besides their messages. */
export interface Look {
  /** The person at this page. */
  you: You | null;
  /** The room's own pictures, by their codes. */
  emotes: ReadonlyMap<string, Emote>;
  /** Which message has the focus, and which the pointer: they show what can be done. */
  focused: number | null;
  pointed: number | null;
  /** Which message was jumped to. */
  found: number | null;
}

/** A change of these makes what is seen of a message another; of what else it has, components take care. */
const SEEN = ["at", "author", "text", "reply", "kind", "html", "media", "edited"] as const;

let template: HTMLTemplateElement | undefined;

function clone(): HTMLElement {
  if (!template) {
    template = document.createElement("template");
    template.innerHTML =
      '<li tabindex="-1" data-testid="chat-message"><time></time> <button class="author" type="button" tabindex="-1" data-testid="chat-name"><bdi></bdi></button> <span data-testid="chat-text"></span></li>';
  }
  return template.content.firstElementChild?.cloneNode(true) as HTMLElement;
}

/** What the components in a row draw. */
class Shown {
  message: ChatMessage;
  active: boolean;

  constructor(message: ChatMessage, active: boolean) {
    this.message = $state.raw(message);
    this.active = $state(active);
  }
}

/**
 * A message in the list. In a lively chat one is made with nearly every picture. What each message has is therefore
 * made in one go and without components, which would cost many times as much; what few have is mounted into it.
 *
 * Whoever makes one puts `element` into the list, and closes the row when it goes.
 */
export class MessageRow {
  readonly element = clone();
  readonly #store: ChatStore;
  readonly #on: RowEvents;
  readonly #time = this.element.children[0] as HTMLTimeElement;
  readonly #author = this.element.children[1] as HTMLElement;
  readonly #text = this.element.children[2] as HTMLElement;
  /** The last node of what was said: the text, or what stands for a component. */
  #end: ChildNode = this.#text;
  #message: ChatMessage;
  #look: Look;
  /** Speaks to the person at this page. */
  #mention = false;
  #active = false;
  #role: HTMLElement | null = null;
  #edited: HTMLElement | null = null;
  /** Null as long as there is no component in it, as in most rows. */
  #shown: Shown | null = null;
  #quoted: object | null = null;
  #content: object | null = null;
  #parts: object | null = null;

  constructor(store: ChatStore, on: RowEvents, message: ChatMessage, look: Look) {
    this.#store = store;
    this.#on = on;
    this.#message = message;
    this.#look = look;
    this.element.setAttribute("data-row", String(message.id));
    this.element.setAttribute("data-message", String(message.id));
    this.#write();
    this.#say();
    this.#mark();
  }

  /** Draws what has changed: nothing, for a row that only stays. */
  update(message: ChatMessage, look: Look): void {
    const [before, last] = [this.#message, this.#look];
    if (before === message && last === look) return;
    this.#message = message;
    this.#look = look;
    if (this.#shown) this.#shown.message = message;
    const changed = SEEN.some((key) => before[key] !== message[key]);
    if (changed) this.#write();
    if (changed || last.emotes !== look.emotes || last.you !== look.you) this.#say();
    this.#mark();
  }

  /** Asks about the author, when it was the name that was pressed. */
  press(target: Node): void {
    if (this.#author.contains(target)) this.#on.onauthor(this.#message.author);
  }

  close(): void {
    for (const part of [this.#quoted, this.#content, this.#parts]) if (part) void unmount(part);
    this.element.remove();
  }

  /** When, who, and whether it was changed. */
  #write(): void {
    const { at, author, edited } = this.#message;
    this.element.setAttribute("data-author", author.id);
    this.#time.dateTime = at;
    this.#time.textContent = saidAt(at, new Date()).short;
    this.#author.setAttribute("style", nameColours(author.hue));
    (this.#author.firstElementChild as HTMLElement).textContent = author.name;
    this.#role?.remove();
    this.#role = roleOf(author);
    if (this.#role) this.#author.before(this.#role, " ");
    if (!edited) return;
    if (!this.#edited) {
      this.#edited = document.createElement("small");
      this.#edited.className = "edited";
      this.#edited.textContent = t("chat.edited");
      this.#end.after(" ", this.#edited);
    }
    this.#edited.title = saidAt(edited, new Date()).long;
  }

  #say(): void {
    const { media, html, kind, text } = this.#message;
    const { emotes, you } = this.#look;
    this.#mention = this.#store.concernsMe(this.#message);
    if (media || html || kind === "unreadable") this.#content ??= this.#mountContent();
    if (this.#content) return;
    this.#text.className = textClass(text);
    putText(this.#text, text, { emotes, you: you?.name });
    // Set once the words are there: Chromium does not look again at those that were put into a clone.
    this.#text.dir = "auto";
  }

  /** How it stands out, and what can be done with it. */
  #mark(): void {
    const { id, at, kind, reply, reactions } = this.#message;
    const { focused, pointed, found } = this.#look;
    const active = focused === id || pointed === id;
    const classes = `message-row${kind ? ` ${kind}` : ""}${this.#mention ? " mention" : ""}${active ? " active" : ""}${found === id ? " found" : ""}`;
    if (this.element.className !== classes) this.element.className = classes;
    if (active !== this.#active) {
      this.#active = active;
      if (this.#shown) this.#shown.active = active;
      this.#author.tabIndex = active ? 0 : -1;
      if (active) this.#time.title = saidAt(at, new Date()).long;
      else this.#time.removeAttribute("title");
    }
    if (reply) this.#quoted ??= this.#mountQuoted();
    if (reactions || active) this.#parts ??= this.#mountParts();
  }

  #forParts(): Shown {
    this.#shown ??= new Shown(this.#message, this.#active);
    return this.#shown;
  }

  #mountQuoted(): object {
    const shown = this.#forParts();
    return mount(Quoted, {
      target: this.element,
      anchor: this.#time,
      props: {
        get quote() {
          return shown.message.reply;
        },
        get active() {
          return shown.active;
        },
        onquote: this.#on.onquote,
      },
    });
  }

  #mountContent(): object {
    const shown = this.#forParts();
    const store = this.#store;
    const anchor = document.createComment("");
    this.#text.replaceWith(anchor);
    this.#end = anchor;
    return mount(Content, {
      target: this.element,
      anchor,
      props: {
        get message() {
          return shown.message;
        },
        get emotes() {
          return store.emotes;
        },
        get you() {
          return store.you?.name;
        },
        onpicture: this.#on.onpicture,
      },
    });
  }

  #mountParts(): object {
    const shown = this.#forParts();
    return mount(RowParts, {
      target: this.element,
      props: {
        store: this.#store,
        on: this.#on,
        get message() {
          return shown.message;
        },
        get active() {
          return shown.active;
        },
      },
    });
  }
}

function roleOf({ role }: Author): HTMLElement | null {
  if (role === "guest") return null;
  const badge = document.createElement("span");
  badge.className = `author-role ${role}`;
  badge.textContent = t(`chat.role.${role}`);
  if (role === "moderator") badge.title = t("chat.role.moderatorLong");
  return badge;
}
