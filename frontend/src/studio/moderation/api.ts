import type { Role } from "../../chat/protocol";
import type { Method } from "../../lib/http";

/** What the server says to who moderates a stream's chat. The server's OpenAPI page is the reference. */

export interface Rules {
  /** Seconds between two messages of one person; 0 without. */
  slow: number;
  /** Minutes that somebody must have watched before they write; 0 without. */
  followers: number;
  approve: boolean;
  /** Whether links may be sent. */
  links: boolean;
  emotes: boolean;
  readonly: boolean;
  guests: GuestRule;
  shield: boolean;
  /** Seconds in which nobody says the same twice; 0 without. */
  duplicates: number;
  /** Most capital letters, in percent; 0 without a limit. */
  caps: number;
  words: Word[];
}

export type GuestRule = "open" | "hold" | "work" | "signin";

export interface Word {
  text: string;
  kind: "exact" | "glob" | "regex";
  action: "refuse" | "hold";
}

/** As the audit log and the lists have them. */
export interface Person {
  id?: string;
  name: string;
  role?: Role;
  /** Of Matrix users. */
  matrix?: string | null;
}

/** A message that waits for a moderator. */
export interface Held {
  id: number;
  at: string;
  author: Person;
  text: string;
  reason: string;
  /** Left out for text. */
  kind?: string;
  media?: { thumb: string; alt: string };
}

export interface Ban {
  id: number;
  name: string;
  /** Stands for the connection, of which nobody is told more: the same tag is the same connection. */
  tag?: string | null;
  /** A Matrix ID, perhaps with wildcards. */
  matrix?: string | null;
  reason: string;
  by: string;
  created_at: string;
  /** Null for good. */
  expires_at: string | null;
  /** They may not watch either. */
  watching?: boolean;
  /** They may read meanwhile. */
  timeout?: boolean;
  /** What becomes of new people from their network: `hold`, `shadow` or `open`. */
  newcomers?: string;
}

export interface Entry {
  id: number;
  at: string;
  /** One that this page does not know is shown as it is. */
  kind: string;
  via: string;
  actor: Person;
  target: Person | null;
  /** Null for good, and where it means nothing. */
  seconds: number | null;
  reason: string;
  /** In all chats of this server. */
  everywhere: boolean;
  detail: Record<string, unknown>;
}

export interface AuditPage {
  entries: Entry[];
  /** Where the older ones begin; null when these are the first. */
  next: number | null;
}

export interface Moderator {
  name: string;
  /** Whether it is an account of this server, of that name. */
  account: boolean;
  matrix: string | null;
}

export interface PolicyList {
  room: string;
  rules: number;
  error: string;
}

export interface MatrixState {
  mode: "managed" | "external" | "off";
  /** `ok`, `starting`, `away` or `broken`; one that this page does not know is shown as it is. */
  state: string;
  alias: string;
  room_id: string | null;
  link: string;
  /** Messages that the homeserver has not got yet, and for how many seconds the oldest waits. */
  waiting: number;
  lag: number;
  broken: { code: string; text: string }[];
}

/** To be sent to the bot, or said in the room, from one's own Matrix account. */
export interface Link {
  matrix: string | null;
  /** Who has sent the code, and is not linked before it is confirmed. */
  claimed?: string | null;
}

export interface LinkCode {
  code: string;
  bot: string;
  /** Seconds. */
  expires_in: number;
}

export type Call = <T>(method: Method, url: string, body?: unknown, signal?: AbortSignal) => Promise<T>;

/** The calls about one stream's chat. */
export class ModerationApi {
  readonly #base: string;

  constructor(
    private readonly call: Call,
    stream: string,
  ) {
    this.#base = `/api/v1/streams/${encodeURIComponent(stream)}/chat`;
  }

  rules(): Promise<Rules> {
    return this.call("GET", `${this.#base}/rules`);
  }

  changeRules(change: Partial<Rules>): Promise<Rules> {
    return this.call("PATCH", `${this.#base}/rules`, change);
  }

  async held(signal?: AbortSignal): Promise<Held[]> {
    return (await this.call<{ held: Held[] }>("GET", `${this.#base}/held`, undefined, signal)).held;
  }

  decide(id: number, allow: boolean): Promise<void> {
    return this.call("POST", `${this.#base}/held/${id}`, { allow });
  }

  async bans(): Promise<Ban[]> {
    return (await this.call<{ bans: Ban[] }>("GET", `${this.#base}/bans`)).bans;
  }

  banMatrix(ban: { matrix: string; reason: string; seconds?: number }): Promise<unknown> {
    return this.call("POST", `${this.#base}/bans`, ban);
  }

  lift(id: number): Promise<void> {
    return this.call("DELETE", `${this.#base}/bans/${id}`);
  }

  banEverywhere(id: number): Promise<unknown> {
    return this.call("POST", `${this.#base}/bans/${id}/everywhere`);
  }

  /** Of all chats of this server. */
  async siteBans(): Promise<Ban[]> {
    return (await this.call<{ bans: Ban[] }>("GET", "/api/v1/chat/bans")).bans;
  }

  liftEverywhere(id: number): Promise<void> {
    return this.call("DELETE", `/api/v1/chat/bans/${id}`);
  }

  audit(before: number | null): Promise<AuditPage> {
    return this.call("GET", `${this.#base}/audit${before === null ? "" : `?before=${before}`}`);
  }

  async moderators(): Promise<Moderator[]> {
    return (await this.call<{ moderators: Moderator[] }>("GET", `${this.#base}/moderators`)).moderators;
  }

  addModerator(who: { account: string } | { matrix: string }): Promise<unknown> {
    return this.call("PUT", `${this.#base}/moderators`, who);
  }

  removeModerator(who: { account: string } | { matrix: string }): Promise<void> {
    return this.call("DELETE", `${this.#base}/moderators?${new URLSearchParams({ ...who })}`);
  }

  async trusted(): Promise<Person[]> {
    return (await this.call<{ trusted: Person[] }>("GET", `${this.#base}/trusted`)).trusted;
  }

  distrust(id: string): Promise<void> {
    return this.call("DELETE", `${this.#base}/trusted/${encodeURIComponent(id)}`);
  }

  async policies(): Promise<PolicyList[]> {
    return (await this.call<{ policies: PolicyList[] }>("GET", `${this.#base}/policies`)).policies;
  }

  async setPolicies(rooms: string[]): Promise<PolicyList[]> {
    const answer = await this.call<{ policies: PolicyList[] }>("PUT", `${this.#base}/policies`, { rooms });
    return answer.policies;
  }

  matrix(signal?: AbortSignal): Promise<MatrixState> {
    return this.call("GET", `${this.#base}/matrix`, undefined, signal);
  }

  repair(): Promise<MatrixState> {
    return this.call("POST", `${this.#base}/matrix/repair`);
  }

  /** The Matrix ID of the account that has signed in. */
  link(signal?: AbortSignal): Promise<Link> {
    return this.call("GET", "/api/v1/matrix/link", undefined, signal);
  }

  /** That Matrix ID, which sent the code, is the person's own. */
  confirmLink(matrix: string): Promise<Link> {
    return this.call("POST", "/api/v1/matrix/link", { matrix });
  }

  /** Somebody else sent the code. */
  withdrawCode(): Promise<void> {
    return this.call("DELETE", "/api/v1/matrix/code");
  }

  linkCode(): Promise<LinkCode> {
    return this.call("POST", "/api/v1/matrix/code");
  }

  unlink(): Promise<void> {
    return this.call("DELETE", "/api/v1/matrix/link");
  }
}
