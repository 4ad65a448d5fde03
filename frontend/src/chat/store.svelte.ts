import { untrack } from "svelte";
import type { PictureClock } from "../lib/player/clock";
import { AlignedView } from "./aligned.svelte";
import { ChatConnection, type ConnectionOptions, type ConnectionStatus } from "./connection";
import { GuestMemory } from "./guest";
import { calling } from "./marks";
import type { Outbox } from "./outbox";
import { Postbox } from "./postbox.svelte";
import {
  type Author,
  type Ban,
  type BanTerms,
  type ChatMessage,
  DEFAULT_LIMITS,
  type Emote,
  type Held,
  isAccount,
  type Level,
  type Limits,
  type MatrixRoom,
  type ModerationAct,
  type Quote,
  type Refusal,
  type Rules,
  type ServerMessage,
  type Welcome,
  type Who,
  type You,
} from "./protocol";
import { addMarks, type Mark } from "./rows";
import { add, remove, replace, type Timeline, trim } from "./timeline";

export interface StoreOptions {
  url: string;
  guest?: GuestMemory;
  connection?: Partial<ConnectionOptions>;
  /** What the chat goes along with; without it everything is shown as it comes. */
  clock?: PictureClock | null;
  /** Whether the picture plays at this moment. */
  playing?: () => boolean;
  /** For tests. */
  solve?: (nonce: string, bits: number) => Promise<string>;
}

/** Kept while the newest are looked at, and while somebody reads further up. */
export const SHOWN = 300;
const SHOWN_READING = 600;
const WOUND_BACK_S = 15;
/** History has been drawn by then; what comes later is news, and read out. */
const QUIET_MS = 400;
/** Between two questions who is there. */
const ASK_MS = 1_500;
const REMEMBERED_DELETIONS = 1_000;
const SHOWN_MARKS = 50;
/** Private lines from the server that are kept until they are closed. */
const SHOWN_NOTICES = 3;
/** What only informs, in so many characters at most, goes by itself. */
const SHORT_NOTICE = 160;
const NOTICE_MS = 20_000;
/** By these the server knows who has watched, and for how long. */
const ALIVE_MS = 30_000;
const NOTHING: ReadonlySet<string> = new Set();
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A line from the server to this person only. */
export interface Notice {
  id: number;
  text: string;
  level: Level;
}

/** A chat as reactive values. Start it when the page shows it; close it when the component goes. */
export class ChatStore {
  status = $state<ConnectionStatus>("connecting");
  /** The server has said who we are and what was said before. */
  ready = $state(false);
  /** What is drawn now is history: not to be read out. */
  replaying = $state(true);
  you = $state.raw<You | null>(null);
  messages = $state.raw<Timeline>([]);
  people = $state<number | null>(null);
  /** Null until asked for. */
  names = $state.raw<Author[] | null>(null);
  limits = $state.raw<Limits>(DEFAULT_LIMITS);
  banned = $state.raw<Ban | null>(null);
  /** The last refusal of something that was not about the name. */
  refusal = $state.raw<Refusal | null>(null);
  nameRefusal = $state.raw<Refusal | null>(null);
  joining = $state(false);
  rules = $state.raw<Rules | null>(null);
  pinned = $state.raw<ChatMessage | null>(null);
  /** What waits for a moderator; empty for everybody else. */
  held = $state.raw<readonly Held[]>([]);
  matrix = $state.raw<MatrixRoom | null>(null);
  /** The room's own small pictures, by their codes. */
  emotes = $state.raw<ReadonlyMap<string, Emote>>(new Map());
  notices = $state.raw<readonly Notice[]>([]);
  /** What was taken away while it was to be seen. */
  marks = $state.raw<readonly Mark[]>([]);
  /** Why this person was sent out; null while they are in. */
  kicked = $state<string | null>(null);
  /** The browser computes an answer for the server. */
  working = $state(false);
  /** Milliseconds since 1970 from which one may write again, in slow mode. */
  nextPost = $state(0);
  /** The last answer about somebody. */
  who = $state.raw<Who | null>(null);
  #mine = $state.raw<ReadonlyMap<number, ReadonlySet<string>>>(new Map());

  readonly guest: GuestMemory;
  /** What of `messages` the picture has reached. */
  readonly aligned: AlignedView;
  readonly #picture: PictureClock | null;
  /** See `Source.history`: with a chat that was empty, the first message is news all the same. */
  history: number | null = null;
  readonly #connection: ChatConnection;
  readonly #postbox: Postbox;
  #seq: number | null = null;
  #wanted: string | null = null;
  #reading = false;
  /** Our own messages that came while some of ours were without an acknowledgement: which is which, it will say. */
  #held: ChatMessage[] = [];
  readonly #deleted = new Set<number>();
  #quiet: ReturnType<typeof setTimeout> | undefined;
  #asking: ReturnType<typeof setTimeout> | undefined;
  #alive: ReturnType<typeof setInterval> | undefined;
  #noticed = 0;
  readonly #passing = new Set<ReturnType<typeof setTimeout>>();
  /** A reaction that the server has not answered yet. */
  #reacting: { id: number; key: string; on: boolean } | null = null;
  readonly #solve: (nonce: string, bits: number) => Promise<string>;
  readonly #playing: () => boolean;
  #askedAt = Number.NEGATIVE_INFINITY;
  #pardon: ReturnType<typeof setTimeout> | undefined;

  constructor(options: StoreOptions) {
    this.guest = options.guest ?? new GuestMemory();
    this.#picture = options.clock ?? null;
    this.aligned = new AlignedView(this, this.#picture);
    this.#connection = new ChatConnection({
      ...options.connection,
      url: options.url,
      hello: () => ({
        type: "hello",
        ...(this.guest.token !== null && { token: this.guest.token }),
        ...(this.#seq !== null && { since: this.#seq }),
      }),
      onMessage: (message) => this.#receive(message),
      onStatus: (status) => {
        this.status = status;
        if (status === "open") this.#opened();
      },
    });
    this.#solve = options.solve ?? (async (...work) => (await import("./work")).solve(...work));
    this.#playing = options.playing ?? (() => false);
    this.#postbox = new Postbox({
      send: (message) => this.#connection.send(message),
      open: () => this.canPost,
      onPatience: () => {
        this.refusal = null;
      },
    });
  }

  start(): void {
    window.addEventListener("storage", this.#stored);
    this.#connection.start();
    this.#alive = setInterval(() => {
      this.#connection.send({ type: "alive", playing: this.#playing() });
    }, ALIVE_MS);
    this.aligned.start();
  }

  close(): void {
    window.removeEventListener("storage", this.#stored);
    this.#postbox.close();
    this.aligned.stop();
    clearInterval(this.#alive);
    for (const timer of this.#passing) clearTimeout(timer);
    for (const timer of [this.#quiet, this.#asking, this.#pardon]) clearTimeout(timer);
    this.#connection.close();
  }

  /** What this page has said and the server has not stored yet. */
  get outbox(): Outbox {
    return this.#postbox.posts;
  }

  get canPost(): boolean {
    return this.you?.can.has("post") === true && this.banned === null;
  }

  get canModerate(): boolean {
    return this.you?.can.has("moderate") === true;
  }

  get canReact(): boolean {
    return this.you?.can.has("react") === true && this.banned === null;
  }

  /** Only moderators may write at the moment. */
  get muted(): boolean {
    return this.rules?.readonly === true && !this.canModerate;
  }

  canEdit(message: ChatMessage): boolean {
    return (
      this.you?.can.has("edit") === true && this.canPost && this.isOwn(message) && message.kind === undefined
    );
  }

  /** Whether this person may be acted on by the moderator at this page. */
  canActOn(author: Author): boolean {
    return this.canModerate && author.id !== this.you?.id && author.role !== "streamer";
  }

  /** The newest message of this person that can still be changed. */
  get lastOwn(): ChatMessage | null {
    return this.messages.findLast((message) => this.canEdit(message)) ?? null;
  }

  canDelete(message: ChatMessage): boolean {
    return this.canModerate || this.isOwn(message);
  }

  isOwn(message: ChatMessage): boolean {
    return message.author.id === this.you?.id;
  }

  /** Whether a message speaks to us: an answer to one of ours, or our name with an @. */
  concernsMe(message: ChatMessage): boolean {
    const { you } = this;
    if (!you || this.isOwn(message)) return false;
    const { reply } = message;
    if (reply) {
      // Who said it does not change: the answer is not looked at again with each message that comes.
      const answered = untrack(() => this.messages).findLast((candidate) => candidate.id === reply.id);
      if (answered ? this.isOwn(answered) : reply.name === you.name) return true;
    }
    return message.text.includes("@") && message.text.search(calling(you.name)) >= 0;
  }

  join(name: string): void {
    this.joining = true;
    this.nameRefusal = null;
    this.#wanted = name;
    this.#connection.send({ type: "join", name });
  }

  /** False when too much waits already. */
  post(text: string, reply: Quote | null, emote = false): boolean {
    this.dismiss();
    return this.#postbox.post(text, reply, emote);
  }

  /** Try a refused message once more. */
  retry(txn: string): void {
    this.refusal = null;
    this.#postbox.retry(txn);
  }

  /** The last refusal has been read; one that is still being sat out stays. */
  dismiss(): void {
    if (!this.#postbox.pausing) this.refusal = null;
  }

  discard(txn: string): void {
    this.#postbox.discard(txn);
    this.#settle();
  }

  delete(id: number): void {
    this.#connection.send({ type: "delete", id });
  }

  ban(id: number, terms: BanTerms): void {
    this.#connection.send({ type: "ban", id, ...terms });
  }

  /** False when there is no connection: the words stay where they are. */
  edit(id: number, text: string): boolean {
    this.dismiss();
    return this.#connection.send({ type: "edit", id, text });
  }

  reactedTo(id: number): ReadonlySet<string> {
    return this.#mine.get(id) ?? NOTHING;
  }

  /** Adds a reaction, or takes back our own. */
  react(id: number, key: string): void {
    const on = !this.reactedTo(id).has(key);
    if (!this.#connection.send({ type: "react", id, key, on })) return;
    this.#reacting = { id, key, on };
    this.#keepReaction(id, key, on);
  }

  /** What only moderators may do. */
  act(act: ModerationAct): void {
    this.#connection.send({ type: "act", ...act });
  }

  decide(ids: number[], allow: boolean): void {
    this.#connection.send({ type: "decide", ids, allow });
  }

  /** A slash command, without its slash. False when there is no connection. */
  command(text: string): boolean {
    this.dismiss();
    return this.#connection.send({ type: "command", text });
  }

  askWho(author: string): void {
    if (this.canModerate) this.#connection.send({ type: "who", author });
  }

  closeNotice(id: number): void {
    this.notices = this.notices.filter((notice) => notice.id !== id);
  }

  /** After having been sent out, or when the server may know us by another name. */
  comeBack(): void {
    this.kicked = null;
    this.#connection.reopen();
  }

  /** The server answers this once in a second; asked more often, this waits. */
  askPeople(): void {
    clearTimeout(this.#asking);
    const left = this.#askedAt + ASK_MS - Date.now();
    if (left > 0) {
      this.#asking = setTimeout(() => this.askPeople(), left);
      return;
    }
    this.#askedAt = Date.now();
    this.#connection.send({ type: "people" });
  }

  /** The person looks at older messages: they stay a while longer than they would. */
  set reading(reading: boolean) {
    this.#reading = reading;
    this.messages = trim(this.messages, this.#limit);
  }

  get #limit(): number {
    // Who has wound back sees what was said then, and reads further up in that sense.
    return this.#reading || this.aligned.behind > WOUND_BACK_S ? SHOWN_READING : SHOWN;
  }

  #receive(message: ServerMessage): void {
    switch (message.type) {
      case "welcome":
        this.#welcome(message);
        break;
      case "joined":
        this.you = message.you;
        this.joining = false;
        this.#wanted = null;
        if (!isAccount(message.you)) this.guest.keep(message.token, message.you.name);
        this.#postbox.flush();
        break;
      case "ack":
        this.#acknowledged(message.txn, message.id);
        break;
      case "held-ack":
        this.#postbox.hold(message.txn);
        if (message.text) this.#notice(message.text, "info");
        this.#settle();
        break;
      case "message":
        this.#seen(message.seq);
        this.#add([message.message]);
        break;
      case "edited":
        this.#seen(message.seq);
        this.#change(message.message.id, ({ reactions }) => ({
          ...(reactions && { reactions }),
          ...message.message,
        }));
        break;
      case "reactions": {
        this.#seen(message.seq);
        const { reactions } = message;
        if (this.#reacting?.id === message.id) this.#reacting = null;
        this.#change(message.id, (found) => ({ ...found, reactions }));
        break;
      }
      case "mine":
        this.#mine = new Map(this.#mine).set(message.id, new Set(message.keys));
        break;
      case "rules":
        this.rules = message.rules;
        break;
      case "pinned":
        this.pinned = message.message;
        break;
      case "held":
        this.held = [
          ...this.held.filter(
            ({ id }) => !message.remove.includes(id) && !message.add.some((held) => held.id === id),
          ),
          ...message.add,
        ];
        break;
      case "emotes":
        this.#nameEmotes(message.emotes);
        break;
      case "notice":
        this.#notice(message.text, message.level);
        break;
      case "challenge":
        void this.#work(message.nonce, message.bits);
        break;
      case "kicked":
        this.kicked = message.text;
        this.#postbox.failAll();
        this.#connection.leave();
        break;
      case "who":
        this.who = message;
        break;
      case "deleted":
        this.#seen(message.seq);
        this.#remove(message.ids);
        break;
      case "count":
        this.people = message.people;
        break;
      case "people":
        this.people = message.people;
        this.names = message.names;
        break;
      case "banned":
        this.#sentence({ reason: message.reason, until: message.until });
        if (message.watching) this.#picture?.end();
        break;
      case "unbanned":
        this.#pardonNow();
        break;
      case "error":
        this.#refused(message);
        break;
      case "pong":
    }
  }

  #welcome(welcome: Welcome): void {
    clearTimeout(this.#quiet);
    this.replaying = true;
    this.#quiet = setTimeout(() => {
      this.replaying = false;
    }, QUIET_MS);
    if (welcome.reset) {
      this.messages = [];
      this.marks = [];
      this.#held = [];
      this.#seq = null;
      this.history = Math.max(welcome.seq, ...welcome.messages.map(({ id }) => id));
    }
    this.you = welcome.you;
    this.people = welcome.people;
    this.limits = welcome.limits;
    this.rules = welcome.rules;
    this.pinned = welcome.pinned;
    this.held = welcome.held;
    this.matrix = welcome.matrix;
    this.kicked = null;
    this.#reacting = null;
    this.#nameEmotes(welcome.emotes);
    const mine = new Map(welcome.reset ? [] : this.#mine);
    for (const [id, keys] of welcome.mine) mine.set(id, new Set(keys));
    this.#mine = mine;
    this.#seen(welcome.seq);
    this.#add(welcome.messages);
    for (const message of welcome.changed) this.#change(message.id, () => message);
    this.#remove(welcome.deleted);
    this.#sentence(welcome.banned);
    this.ready = true;
  }

  #opened(): void {
    if (this.#wanted !== null) this.#connection.send({ type: "join", name: this.#wanted });
    this.#postbox.resume();
  }

  #acknowledged(txn: string, id: number): void {
    const post = this.#postbox.acknowledge(txn);
    if (!post) return;
    if (this.rules && this.rules.slow > 0 && !this.canModerate) {
      this.nextPost = Date.now() + this.rules.slow * 1_000;
    }
    const held = this.#held.find((message) => message.id === id);
    this.#held = this.#held.filter((message) => message !== held);
    if (held) this.#put([held]);
    else if (this.you && !this.#deleted.has(id) && !this.messages.some((message) => message.id === id)) {
      // The message itself is on its way; what the server made of the text comes with it.
      const { can: _, ...author } = this.you;
      this.#put([{ id, at: new Date().toISOString(), author, text: post.text, reply: post.reply }]);
    }
    this.#settle();
  }

  #refused(refusal: Refusal): void {
    if (refusal.txn === null && this.#reacting) {
      const { id, key, on } = this.#reacting;
      this.#reacting = null;
      this.#keepReaction(id, key, !on);
    }
    if (refusal.code === "name_needed") this.you = null;
    if (refusal.code === "slow_mode" && refusal.retryAfter !== null) {
      this.nextPost = Date.now() + refusal.retryAfter * 1_000;
    }
    if (this.#postbox.refuse(refusal)) {
      this.refusal = refusal;
      this.#settle();
    } else if (this.joining) {
      this.joining = false;
      this.#wanted = null;
      this.nameRefusal = refusal;
    } else {
      this.refusal = refusal;
    }
  }

  #add(messages: readonly ChatMessage[]): void {
    const news = messages.filter((message) => !this.#deleted.has(message.id));
    if (!this.#postbox.unclear) {
      this.#put(news);
      return;
    }
    const known = new Set(this.messages.map((message) => message.id));
    const withhold = (message: ChatMessage) => this.isOwn(message) && !known.has(message.id);
    this.#held = [...this.#held, ...news.filter(withhold)];
    this.#put(news.filter((message) => !withhold(message)));
  }

  #put(messages: readonly ChatMessage[]): void {
    // Only then is something of ours among them that had to wait.
    if (this.outbox.length > 0) {
      for (const message of messages) if (this.isOwn(message)) this.#postbox.released(message.text);
    }
    this.messages = trim(add(this.messages, messages), this.#limit);
  }

  #change(id: number, change: (message: ChatMessage) => ChatMessage): void {
    this.messages = replace(this.messages, id, change);
    this.#held = this.#held.map((message) => (message.id === id ? change(message) : message));
    if (this.pinned?.id === id) this.pinned = change(this.pinned);
  }

  #keepReaction(id: number, key: string, on: boolean): void {
    const keys = new Set(this.reactedTo(id));
    if (on) keys.add(key);
    else keys.delete(key);
    this.#mine = new Map(this.#mine).set(id, keys);
  }

  #nameEmotes(emotes: readonly Emote[]): void {
    this.emotes = new Map(emotes.map((emote) => [emote.code, emote]));
  }

  #notice(text: string, level: Level): void {
    this.#noticed += 1;
    const id = this.#noticed;
    // The same once more is the same line, told again.
    const others = this.notices.filter((notice) => notice.text !== text);
    this.notices = [...others, { id, text, level }].slice(-SHOWN_NOTICES);
    if (level !== "info" || text.length > SHORT_NOTICE) return;
    const timer = setTimeout(() => {
      this.#passing.delete(timer);
      this.closeNotice(id);
    }, NOTICE_MS);
    this.#passing.add(timer);
  }

  async #work(nonce: string, bits: number): Promise<void> {
    this.working = true;
    try {
      const answer = await this.#solve(nonce, bits);
      this.#connection.send({ type: "work", nonce, answer });
    } finally {
      this.working = false;
    }
  }

  #remove(ids: readonly number[]): void {
    if (ids.length === 0) return;
    const gone = new Set(ids);
    const marked = this.aligned.messages.filter((message) => gone.has(message.id));
    for (const id of ids) this.#deleted.add(id);
    const surplus = this.#deleted.size - REMEMBERED_DELETIONS;
    for (const id of [...this.#deleted].slice(0, Math.max(surplus, 0))) this.#deleted.delete(id);
    this.#held = this.#held.filter((message) => !this.#deleted.has(message.id));
    this.messages = remove(this.messages, ids);
    if (this.pinned && gone.has(this.pinned.id)) this.pinned = null;
    if (marked.length === 0) return;
    // Nobody is to wonder where something went that they were reading.
    const added = marked.map(({ id, author }) => ({ id, name: author.name }));
    this.marks = addMarks(this.marks, added, this.messages[0]?.id ?? 0, SHOWN_MARKS);
  }

  /** Nothing is unclear any more: what was held back is shown. */
  #settle(): void {
    if (this.#held.length === 0 || this.#postbox.unclear) return;
    const held = this.#held;
    this.#held = [];
    this.#put(held);
  }

  #seen(seq: number): void {
    this.#seq = Math.max(this.#seq ?? 0, seq);
  }

  #sentence(ban: Ban | null): void {
    clearTimeout(this.#pardon);
    this.banned = ban;
    if (ban === null) return;
    this.#postbox.failAll();
    this.#settle();
    if (ban.until === null) return;
    const left = new Date(ban.until).getTime() - Date.now();
    if (Number.isNaN(left) || left > LONGEST_TIMER_MS) return;
    this.#pardon = setTimeout(() => this.#pardonNow(), Math.max(left, 0));
  }

  #pardonNow(): void {
    this.#sentence(null);
    // Who was banned when the page was opened was told that they may not write.
    if (this.you) this.you = { ...this.you, can: new Set([...this.you.can, "post"]) };
  }

  readonly #stored = (event: StorageEvent) => {
    if (GuestMemory.concerns(event) && this.guest.refresh()) this.#connection.reopen();
  };
}
