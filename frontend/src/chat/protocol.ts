/**
 * The chat protocol as this page speaks it (docs/reference/chat.md). What a newer server adds is ignored; what makes
 * no sense is dropped, and the rest of the message is still used.
 */

export type Role = "guest" | "moderator" | "streamer";

export interface Author {
  id: string;
  name: string;
  /** 0 to 359 degrees; `colour.ts` makes a readable colour of it. */
  hue: number;
  role: Role;
  /** The Matrix ID of somebody who writes from a Matrix client. */
  matrix?: string;
  /** A path on our server. */
  avatar?: string;
}

export interface You extends Author {
  can: ReadonlySet<string>;
}

/** Accounts speak under their own name; guests choose theirs. */
export function isAccount(author: Author): boolean {
  return author.id.startsWith("u_");
}

export interface Quote {
  id: number;
  name: string;
  /** Null when that message is gone. */
  text: string | null;
}

/** What a message is, where it is not plain text. */
export type Kind = "notice" | "emote" | "image" | "sticker" | "unreadable";

/** A picture, by the server's own media proxy. */
export interface Media {
  url: string;
  thumb: string;
  /** Pixels; null when nobody said. */
  width: number | null;
  height: number | null;
  alt: string;
}

export interface Reaction {
  /** An emoji, or the `:code:` of a picture. */
  key: string;
  count: number;
}

export interface ChatMessage {
  id: number;
  /** ISO 8601. */
  at: string;
  author: Author;
  text: string;
  reply: Quote | null;
  kind?: Kind;
  /** Of the server's cleaned subset; cleaned again before it is shown (`rich.ts`). */
  html?: string;
  media?: Media;
  /** ISO 8601, when its author last changed it. */
  edited?: string;
  reactions?: Reaction[];
}

/** A small picture of the room, written as `:code:`. */
export interface Emote {
  code: string;
  url: string;
}

/** What applies to writing here. */
export interface Rules {
  /** Seconds between two messages of one person; 0 for no limit. */
  slow: number;
  /** Minutes that somebody must have watched; 0 for none. */
  followers: number;
  /** Every message waits for a moderator. */
  approve: boolean;
  /** Whether links may be posted. */
  links: boolean;
  /** Emotes and emoji only. */
  emotes: boolean;
  readonly: boolean;
  guests: "open" | "hold" | "work" | "signin";
  shield: boolean;
}

/** A message that waits for a moderator. */
export interface Held {
  id: number;
  at: string;
  author: Author;
  text: string;
  reason: string;
  kind?: Kind;
  html?: string;
  /** Given out to who moderates, until it is decided. */
  media?: Media;
}

/** Where the room is for Matrix clients. */
export interface MatrixRoom {
  alias: string;
  /** An address of matrix.to. */
  link: string;
}

export type Level = "info" | "warn" | "error";

/** What moderators are told about somebody; what is not known is left out. */
export interface Who {
  author: string;
  /** Stands for their address, which nobody sees. */
  tag: string | null;
  /** ISO 8601, when they came first. */
  since: string | null;
  trusted: boolean | null;
  warnings: number | null;
  /** Seconds. */
  watched: number | null;
}

export interface Limits {
  text: number;
  name: number;
}

export interface Ban {
  reason: string;
  /** ISO 8601; null for good. */
  until: string | null;
}

export interface Welcome {
  type: "welcome";
  you: You | null;
  seq: number;
  reset: boolean;
  messages: ChatMessage[];
  deleted: number[];
  people: number;
  limits: Limits;
  banned: Ban | null;
  rules: Rules | null;
  pinned: ChatMessage | null;
  /** Only for who moderates. */
  held: Held[];
  matrix: MatrixRoom | null;
  emotes: Emote[];
  /** Messages that this page has, and that are different now. */
  changed: ChatMessage[];
  /** Our own reactions to `messages`, as far as the server knows. */
  mine: ReadonlyMap<number, readonly string[]>;
}

export interface Refusal {
  type: "error";
  code: string;
  text: string;
  /** Seconds. */
  retryAfter: number | null;
  txn: string | null;
}

export type ServerMessage =
  | Welcome
  | { type: "joined"; you: You; token: string | null }
  | { type: "ack"; txn: string; id: number; seq: number }
  | { type: "held-ack"; txn: string; text: string }
  | { type: "message"; seq: number; message: ChatMessage }
  | { type: "deleted"; seq: number; ids: number[] }
  | { type: "edited"; seq: number; message: ChatMessage }
  | { type: "reactions"; seq: number; id: number; reactions: Reaction[] }
  | { type: "mine"; id: number; keys: string[] }
  | { type: "rules"; rules: Rules }
  | { type: "pinned"; message: ChatMessage | null }
  | { type: "held"; add: Held[]; remove: number[] }
  | { type: "emotes"; emotes: Emote[] }
  | { type: "notice"; text: string; level: Level }
  | { type: "challenge"; nonce: string; bits: number }
  | { type: "kicked"; text: string }
  | ({ type: "who" } & Who)
  | { type: "count"; people: number }
  | { type: "people"; people: number; names: Author[] }
  | ({ type: "banned"; watching: boolean } & Ban)
  | { type: "unbanned" }
  | Refusal
  | { type: "pong" };

export type ClientMessage =
  | { type: "hello"; token?: string; since?: number }
  | { type: "join"; name: string }
  | { type: "post"; txn: string; text: string; reply?: number; emote?: true }
  | { type: "delete"; id: number }
  | ({ type: "ban"; id: number } & BanTerms)
  | { type: "edit"; id: number; text: string }
  | { type: "react"; id: number; key: string; on: boolean }
  | ({ type: "act" } & ModerationAct)
  | { type: "command"; text: string }
  | { type: "decide"; ids: number[]; allow: boolean }
  | { type: "work"; nonce: string; answer: string }
  | { type: "alive"; playing: boolean }
  | { type: "who"; author: string }
  | { type: "people" }
  | { type: "ping" };

export interface BanTerms {
  /** For good without it. */
  seconds?: number;
  reason?: string;
  /** Take away all that they said. */
  messages?: true;
  /** They may not watch either. */
  watching?: true;
}

export interface ModerationAct {
  act:
    | "delete"
    | "delete_all"
    | "timeout"
    | "kick"
    | "ban"
    | "unban"
    | "warn"
    | "trust"
    | "pin"
    | "clear"
    | "rules"
    | "shield"
    | "moderator";
  id?: number;
  author?: string;
  seconds?: number;
  reason?: string;
  /** For `ban`, as in `BanTerms`. */
  messages?: true;
  watching?: true;
  value?: unknown;
}

export const DEFAULT_LIMITS: Limits = { text: 500, name: 32 };

/** Null for anything that is not understood. */
export function parseMessage(data: unknown): ServerMessage | null {
  if (typeof data !== "string") return null;
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return null;
  }
  if (!isRecord(value) || typeof value.type !== "string" || !Object.hasOwn(READERS, value.type)) return null;
  return READERS[value.type as Wire](value);
}

/** Where pictures may come from: a page never loads what a stranger names. */
export const MEDIA_PATH = "/api/v1/chat/media/";

const HELD_PATH = /^\/api\/v1\/streams\/[\w-]+\/chat\/held\/\d+\/media\//u;

/** Whether that is the path of a picture on our own server. */
export function isOwnPath(path: string): boolean {
  return (path.startsWith(MEDIA_PATH) || HELD_PATH.test(path)) && !path.includes("..");
}

/** What a server says by `ack` has two shapes here. */
type Wire = Exclude<ServerMessage["type"], "held-ack">;

type Json = Record<string, unknown>;

const READERS: Record<Wire, (value: Json) => ServerMessage | null> = {
  welcome: (value) => ({
    type: "welcome",
    you: readYou(value.you),
    seq: readNumber(value.seq) ?? 0,
    reset: value.reset !== false,
    messages: readList(value.messages, readChatMessage),
    deleted: readList(value.deleted, readNumber),
    people: readNumber(value.people) ?? 0,
    limits: readLimits(value.limits),
    banned: isRecord(value.banned) ? readBan(value.banned) : null,
    rules: readRules(value.rules),
    pinned: readChatMessage(value.pinned),
    held: readList(value.held, readHeld),
    matrix: readMatrix(value.matrix),
    emotes: readList(value.emotes, readEmote),
    changed: readList(value.changed, readChatMessage),
    mine: readMine(value.mine),
  }),
  joined: (value) => {
    const you = readYou(value.you);
    return you && { type: "joined", you, token: readText(value.token) };
  },
  ack: (value) => {
    const [txn, id, seq] = [readText(value.txn), readNumber(value.id), readNumber(value.seq)];
    if (txn !== null && value.held === true)
      return { type: "held-ack", txn, text: readText(value.text) ?? "" };
    return txn === null || id === null ? null : { type: "ack", txn, id, seq: seq ?? id };
  },
  message: (value) => {
    const message = readChatMessage(value.message);
    return message && { type: "message", seq: readNumber(value.seq) ?? message.id, message };
  },
  deleted: (value) => ({
    type: "deleted",
    seq: readNumber(value.seq) ?? 0,
    ids: readList(value.ids, readNumber),
  }),
  edited: (value) => {
    const message = readChatMessage(value.message);
    return message && { type: "edited", seq: readNumber(value.seq) ?? 0, message };
  },
  reactions: (value) => {
    const id = readNumber(value.id);
    if (id === null) return null;
    return {
      type: "reactions",
      seq: readNumber(value.seq) ?? 0,
      id,
      reactions: readList(value.reactions, readReaction),
    };
  },
  mine: (value) => {
    const id = readNumber(value.id);
    return id === null ? null : { type: "mine", id, keys: readList(value.keys, readText) };
  },
  rules: (value) => {
    const rules = readRules(value.rules);
    return rules && { type: "rules", rules };
  },
  pinned: (value) => ({ type: "pinned", message: readChatMessage(value.message) }),
  held: (value) => ({
    type: "held",
    add: readList(value.add, readHeld),
    remove: readList(value.remove, readNumber),
  }),
  emotes: (value) => ({ type: "emotes", emotes: readList(value.emotes, readEmote) }),
  notice: (value) => {
    const text = readText(value.text);
    if (!text) return null;
    const level = value.level === "warn" || value.level === "error" ? value.level : "info";
    return { type: "notice", text, level };
  },
  challenge: (value) => {
    const [nonce, bits] = [readText(value.nonce), readNumber(value.bits)];
    return nonce === null || bits === null ? null : { type: "challenge", nonce, bits };
  },
  kicked: (value) => ({ type: "kicked", text: readText(value.text) ?? "" }),
  who: (value) => {
    const author = readText(value.author);
    return author === null
      ? null
      : {
          type: "who",
          author,
          tag: readText(value.tag),
          since: readText(value.since),
          trusted: typeof value.trusted === "boolean" ? value.trusted : null,
          warnings: readNumber(value.warnings),
          watched: readNumber(value.watched),
        };
  },
  count: (value) => {
    const people = readNumber(value.people);
    return people === null ? null : { type: "count", people };
  },
  people: (value) => {
    const names = readList(value.names, readAuthor);
    return { type: "people", people: readNumber(value.people) ?? names.length, names };
  },
  banned: (value) => ({ type: "banned", ...readBan(value), watching: value.watching === true }),
  unbanned: () => ({ type: "unbanned" }),
  error: (value) => ({
    type: "error",
    code: readText(value.code) ?? "",
    text: readText(value.text) ?? "",
    retryAfter: readNumber(value.retry_after),
    txn: readText(value.txn),
  }),
  pong: () => ({ type: "pong" }),
};

function readChatMessage(value: unknown): ChatMessage | null {
  if (!isRecord(value)) return null;
  const [id, author, text] = [readNumber(value.id), readAuthor(value.author), readText(value.text)];
  if (id === null || author === null || text === null) return null;
  const message: ChatMessage = {
    id,
    at: readText(value.at) ?? "",
    author,
    text,
    reply: readQuote(value.reply),
  };
  readMore(value, message);
  if (typeof value.edited === "string") message.edited = value.edited;
  if (Array.isArray(value.reactions) && value.reactions.length > 0) {
    message.reactions = readList(value.reactions, readReaction);
  }
  return message;
}

/** Nearly all messages are plain text: what they do not have costs nothing. */
function readMore(value: Json, message: Pick<ChatMessage, "kind" | "html" | "media">): void {
  if (typeof value.kind === "string" && KINDS.has(value.kind)) message.kind = value.kind as Kind;
  if (typeof value.html === "string" && value.html !== "") message.html = value.html;
  const media = value.media === undefined ? null : readMedia(value.media);
  if (media) message.media = media;
}

const KINDS: ReadonlySet<string> = new Set<Kind>(["notice", "emote", "image", "sticker", "unreadable"]);

function readMedia(value: unknown): Media | null {
  const url = isRecord(value) ? readOwnPath(value.url) : null;
  if (!isRecord(value) || url === null) return null;
  return {
    url,
    thumb: readOwnPath(value.thumb) ?? url,
    width: readNumber(value.width),
    height: readNumber(value.height),
    alt: readText(value.alt) ?? "",
  };
}

function readOwnPath(value: unknown): string | null {
  return typeof value === "string" && isOwnPath(value) ? value : null;
}

function readReaction(value: unknown): Reaction | null {
  if (!isRecord(value)) return null;
  const [key, count] = [readText(value.key), readNumber(value.count)];
  return key && count !== null && count > 0 ? { key, count } : null;
}

function readEmote(value: unknown): Emote | null {
  if (!isRecord(value)) return null;
  const [code, url] = [readText(value.code), readOwnPath(value.url)];
  return code && url ? { code: code.replaceAll(":", ""), url } : null;
}

function readHeld(value: unknown): Held | null {
  if (!isRecord(value)) return null;
  const [id, author, text] = [readNumber(value.id), readAuthor(value.author), readText(value.text)];
  if (id === null || author === null || text === null) return null;
  const held: Held = { id, at: readText(value.at) ?? "", author, text, reason: readText(value.reason) ?? "" };
  readMore(value, held);
  return held;
}

function readMatrix(value: unknown): MatrixRoom | null {
  if (!isRecord(value)) return null;
  const alias = readText(value.alias);
  if (!alias) return null;
  const link = readText(value.link);
  return {
    alias,
    link: link?.startsWith("https://") ? link : `https://matrix.to/#/${encodeURIComponent(alias)}`,
  };
}

function readRules(value: unknown): Rules | null {
  if (!isRecord(value)) return null;
  const { guests } = value;
  return {
    slow: readNumber(value.slow) ?? 0,
    followers: readNumber(value.followers) ?? 0,
    approve: value.approve === true,
    links: value.links !== false,
    emotes: value.emotes === true,
    readonly: value.readonly === true,
    guests: guests === "hold" || guests === "work" || guests === "signin" ? guests : "open",
    shield: value.shield === true,
  };
}

function readMine(value: unknown): ReadonlyMap<number, readonly string[]> {
  if (!isRecord(value)) return new Map();
  return new Map(Object.entries(value).map(([id, keys]) => [Number(id), readList(keys, readText)]));
}

function readQuote(value: unknown): Quote | null {
  if (!isRecord(value)) return null;
  const id = readNumber(value.id);
  return id === null ? null : { id, name: readText(value.name) ?? "", text: readText(value.text) };
}

function readAuthor(value: unknown): Author | null {
  if (!isRecord(value) || typeof value.name !== "string") return null;
  if (typeof value.id !== "string" && typeof value.id !== "number") return null;
  const author: Author = {
    id: String(value.id),
    name: value.name,
    hue: readNumber(value.hue) ?? 0,
    role: value.role === "streamer" || value.role === "moderator" ? value.role : "guest",
  };
  if (typeof value.matrix === "string") author.matrix = value.matrix;
  const avatar = readOwnPath(value.avatar);
  if (avatar) author.avatar = avatar;
  return author;
}

function readYou(value: unknown): You | null {
  const author = readAuthor(value);
  return author && { ...author, can: new Set(readList((value as Json).can, readText)) };
}

function readBan(value: Json): Ban {
  return { reason: readText(value.reason) ?? "", until: readText(value.until) };
}

function readLimits(value: unknown): Limits {
  const limits = isRecord(value) ? value : {};
  return {
    text: readNumber(limits.text) ?? DEFAULT_LIMITS.text,
    name: readNumber(limits.name) ?? DEFAULT_LIMITS.name,
  };
}

function readList<T>(value: unknown, read: (item: unknown) => T | null): T[] {
  if (!Array.isArray(value)) return [];
  return value.map(read).filter((item) => item !== null);
}

function readNumber(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function readText(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}

function isRecord(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
