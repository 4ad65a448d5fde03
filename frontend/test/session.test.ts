import { expect, test } from "vitest";
import { HttpError } from "../src/lib/http";
import { StudioApi } from "../src/studio/api";
import { Session } from "../src/studio/session.svelte";
import { FakeServer, json, nothing, problem } from "./studio-support";

const ANNA = { name: "anna", role: "owner" };

function signedOut(setup = false): { server: FakeServer; session: Session } {
  const server = new FakeServer();
  server.on("GET", "/api/v1/session", json({ user: null, setup }));
  return { server, session: new Session(server.http) };
}

test("who is signed in is asked for, and known", async () => {
  const { server, session } = signedOut();
  await session.load();
  expect(session.state).toEqual({ kind: "out", setup: false, ended: false });
  server.on("GET", "/api/v1/session", json({ user: ANNA, setup: false }));
  await session.load();
  expect(session.state).toEqual({ kind: "in", user: ANNA });
});

test("a server that cannot be asked is not taken for one without accounts", async () => {
  const { server, session } = signedOut();
  server.on("GET", "/api/v1/session", new TypeError("Failed to fetch"));
  await session.load();
  expect(session.state.kind).toBe("unreachable");
});

test("set-up: the token and the account, and one is signed in", async () => {
  const { server, session } = signedOut(true);
  await session.load();
  expect(session.state).toMatchObject({ kind: "out", setup: true });
  server.on("POST", "/api/v1/setup", problem(403, "This link is no longer good."));
  await expect(session.setUp("t", "anna", "a horse in the rain")).rejects.toMatchObject({ status: 403 });
  expect(session.state.kind).toBe("out");
  server.on("POST", "/api/v1/setup", json({ user: ANNA }, 201));
  await session.setUp("t", " Anna", "a horse in the rain");
  expect(server.asked.at(-1)?.body).toEqual({ token: "t", name: "anna", password: "a horse in the rain" });
  expect(session.state).toEqual({ kind: "in", user: ANNA });
});

test("a wrong password is no session, and no session that ended", async () => {
  const { server, session } = signedOut();
  await session.load();
  server.on("POST", "/api/v1/session", problem(401, "Wrong."));
  await expect(session.signIn("anna", "guess")).rejects.toMatchObject({ status: 401 });
  expect(session.state).toEqual({ kind: "out", setup: false, ended: false });
  server.on("POST", "/api/v1/session", json({ user: ANNA }));
  // Passwords stay as they are typed.
  await session.signIn("ANNA", " A horse ");
  expect(server.asked.at(-1)?.body).toEqual({ name: "anna", password: " A horse " });
  expect(session.state.kind).toBe("in");
});

async function signedIn(): Promise<{ server: FakeServer; session: Session }> {
  const { server, session } = signedOut();
  server.on("GET", "/api/v1/session", json({ user: ANNA, setup: false }));
  await session.load();
  return { server, session };
}

test("signing out works also when the session was over already", async () => {
  const { server, session } = await signedIn();
  server.on("DELETE", "/api/v1/session", problem(401, "Sign in first."));
  await session.signOut();
  expect(session.state).toEqual({ kind: "out", setup: false, ended: false });
});

test("signing out that did not reach the server is not pretended", async () => {
  const { server, session } = await signedIn();
  server.on("DELETE", "/api/v1/session", new TypeError("Failed to fetch"));
  await expect(session.signOut()).rejects.toBeInstanceOf(HttpError);
  expect(session.state.kind).toBe("in");
});

test("a wrong present password changes nothing, a session that is over asks to sign in", async () => {
  const { server, session } = await signedIn();
  server.on("POST", "/api/v1/password", problem(403, "Wrong."));
  await expect(session.changePassword("x", "another horse")).rejects.toMatchObject({ status: 403 });
  expect(session.state.kind).toBe("in");
  server.on("POST", "/api/v1/password", nothing());
  await session.changePassword("a horse", "another horse");
  expect(server.asked.at(-1)?.body).toEqual({ current: "a horse", new: "another horse" });
  server.on("POST", "/api/v1/password", problem(401, "Sign in first."));
  await expect(session.changePassword("a", "b")).rejects.toMatchObject({ status: 401 });
  expect(session.state).toEqual({ kind: "out", setup: false, ended: true });
});

test("any call that finds the session over leads to the sign-in", async () => {
  const { server, session } = await signedIn();
  const api = new StudioApi(server.http, () => session.ended());
  server.on("GET", "/api/v1/streams/a%2Fb/ingest", problem(404, "No such stream."));
  await expect(api.ingest("a/b")).rejects.toMatchObject({ status: 404 });
  expect(session.state.kind).toBe("in");
  server.on("GET", "/api/v1/studio/streams", problem(401, "Sign in first."));
  await expect(api.streams()).rejects.toMatchObject({ status: 401 });
  expect(session.state).toEqual({ kind: "out", setup: false, ended: true });
});
