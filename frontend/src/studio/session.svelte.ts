import { type Http, HttpError } from "../lib/http";
import type { User } from "./api";

export type SessionState =
  | { kind: "unknown" }
  /** The server could not be asked. */
  | { kind: "unreachable"; error: unknown }
  /** `setup`: no account exists yet. `ended`: there was a session on this page, and it is over. */
  | { kind: "out"; setup: boolean; ended: boolean }
  | { kind: "in"; user: User };

/** Who has signed in. The session itself is a cookie that no script can read. */
export class Session {
  state = $state.raw<SessionState>({ kind: "unknown" });

  constructor(private readonly http: Http) {}

  async load(): Promise<void> {
    try {
      const { user, setup } = await this.http<{ user: User | null; setup: boolean }>(
        "GET",
        "/api/v1/session",
      );
      this.state = user ? { kind: "in", user } : { kind: "out", setup, ended: false };
    } catch (error) {
      this.state = { kind: "unreachable", error };
    }
  }

  /** @throws {HttpError} 401 for a wrong name or password, 429 after too many tries. */
  async signIn(name: string, password: string): Promise<void> {
    const body = { name: accountName(name), password };
    const { user } = await this.http<{ user: User }>("POST", "/api/v1/session", { body });
    this.state = { kind: "in", user };
  }

  /** @throws {HttpError} 403 when the link is no longer good, 422 when name or password break a rule. */
  async setUp(token: string, name: string, password: string): Promise<void> {
    const body = { token, name: accountName(name), password };
    const { user } = await this.http<{ user: User }>("POST", "/api/v1/setup", { body });
    this.state = { kind: "in", user };
  }

  /** @throws {HttpError} */
  async signOut(): Promise<void> {
    try {
      await this.http("DELETE", "/api/v1/session");
    } catch (error) {
      // It was over already, which is what was wanted.
      if (!(error instanceof HttpError && error.status === 401)) throw error;
    }
    this.state = { kind: "out", setup: false, ended: false };
  }

  /** Ends every other session of the account. @throws {HttpError} */
  async changePassword(current: string, next: string): Promise<void> {
    try {
      await this.http("POST", "/api/v1/password", { body: { current, new: next } });
    } catch (error) {
      if (error instanceof HttpError && error.status === 401) this.ended();
      throw error;
    }
  }

  /** The server no longer knows the session: it ran out, or was ended from elsewhere. */
  ended(): void {
    if (this.state.kind === "in") this.state = { kind: "out", setup: false, ended: true };
  }
}

/** Accounts have small letters only, so nobody needs to remember how they wrote theirs. */
export function accountName(typed: string): string {
  return typed.trim().toLowerCase();
}
