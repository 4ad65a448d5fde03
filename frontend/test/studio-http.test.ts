import { expect, test } from "vitest";
import { createHttp, HttpError } from "../src/lib/http";
import { errorText } from "../src/studio/words";
import { FakeServer, json, nothing, problem } from "./studio-support";

async function failure(promise: Promise<unknown>): Promise<HttpError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HttpError);
  return error as HttpError;
}

test("an answer is its JSON, and an empty one is nothing", async () => {
  const server = new FakeServer();
  server.on("GET", "/a", json({ value: 1 }));
  server.on("DELETE", "/a", nothing());
  expect(await server.http("GET", "/a")).toEqual({ value: 1 });
  expect(await server.http("DELETE", "/a")).toBeUndefined();
});

test("what changes something says that it is JSON, also without a body", async () => {
  const server = new FakeServer();
  server.on("POST", "/a", nothing());
  server.on("GET", "/a", json({}));
  await server.http("POST", "/a");
  await server.http("POST", "/a", { body: { x: "ü" } });
  await server.http("GET", "/a");
  expect(server.asked.map(({ headers }) => headers.get("content-type"))).toEqual([
    "application/json",
    "application/json",
    null,
  ]);
  expect(server.asked[1]?.body).toEqual({ x: "ü" });
});

test("a problem document becomes its sentence", async () => {
  const server = new FakeServer();
  server.on("POST", "/a", problem(429, "Too many.", { "retry-after": "90" }));
  const error = await failure(server.http("POST", "/a"));
  expect([error.status, error.detail, error.retryAfter]).toEqual([429, "Too many.", 90]);
});

test("an error page of something in between is a status without a sentence", async () => {
  const server = new FakeServer();
  server.on("GET", "/a", new Response("<h1>Bad gateway</h1>", { status: 502 }));
  server.on("GET", "/b", json({ detail: [{ loc: ["body"] }] }, 422));
  expect((await failure(server.http("GET", "/a"))).detail).toBe("");
  expect((await failure(server.http("GET", "/b"))).detail).toBe("");
});

test("no answer, and one that is cut off, is status 0", async () => {
  const server = new FakeServer();
  server.on("GET", "/a", new TypeError("Failed to fetch"));
  server.on("GET", "/b", new Response('{"value": '));
  expect((await failure(server.http("GET", "/a"))).status).toBe(0);
  expect((await failure(server.http("GET", "/b"))).status).toBe(0);
});

test("who gives up a request gets no error of the server", async () => {
  const stop = new AbortController();
  const http = createHttp(
    (_, init) =>
      new Promise((_, reject) => {
        init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      }),
  );
  const asked = http("GET", "/a", { signal: stop.signal });
  stop.abort();
  await expect(asked).rejects.not.toBeInstanceOf(HttpError);
});

test("errors are sentences", () => {
  expect(errorText(new HttpError(403, "Ask the owner."))).toBe("Ask the owner.");
  expect(errorText(new HttpError(0, ""))).toContain("does not answer");
  expect(errorText(new HttpError(500, ""))).toContain("500");
  expect(errorText(new HttpError(429, "Too many.", 130))).toBe(
    "Too many tries. Wait 3 minutes, then try again.",
  );
  expect(errorText(new HttpError(429, "Too many."))).toBe("Too many.");
  expect(errorText(new TypeError("x is not a function"))).toContain("Reload");
});
