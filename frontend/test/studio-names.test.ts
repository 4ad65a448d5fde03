import { expect, test } from "vitest";
import { accountNameProblem, passwordProblem, streamNameProblem, suggestName } from "../src/studio/names";
import { isStudioPath, pathOf, routeOf, tokenOf } from "../src/studio/route";
import { accountName } from "../src/studio/session.svelte";

test.each(["a", "Friday", "7", "a-b_c", "x".repeat(64), "new", "apiary"])("%s names a stream", (name) => {
  expect(streamNameProblem(name)).toBeNull();
});

test.each(["", "x".repeat(65), "a b", "é", "a/b", "a.b", "-a", "_a", "studio", "API", "favicon", "Robots"])(
  "%j names no stream, and the reason says what to do",
  (name) => {
    expect(streamNameProblem(name)).toMatch(/\.$/);
  },
);

test("a name that is taken is said before the server has to", () => {
  expect(streamNameProblem("demo", new Set(["demo"]))).toContain("already");
});

test("what cannot be a name comes with one that can", () => {
  expect(suggestName("  Löt Abend! ")).toBe("Lot-Abend");
  expect(suggestName("東京")).toBe("");
  expect(streamNameProblem("my stream")).toContain("my-stream");
  expect(streamNameProblem("東京")).not.toContain("“”");
  for (const typed of ["a b", "--x y", `${"ä".repeat(80)}!`]) {
    expect(streamNameProblem(suggestName(typed))).toBeNull();
  }
});

test("accounts: names are small letters, however they are typed", () => {
  expect(accountName(" Anna ")).toBe("anna");
  expect(accountNameProblem("anna.b-c_9")).toBeNull();
  for (const name of ["", "Anna", ".anna", "an na", "x".repeat(65)])
    expect(accountNameProblem(name)).not.toBeNull();
});

test("passwords count characters", () => {
  expect(passwordProblem("nine char")).toContain("10");
  expect(passwordProblem("ten chars!")).toBeNull();
  expect(passwordProblem("👻".repeat(9))).not.toBeNull();
  expect(passwordProblem("👻".repeat(10))).toBeNull();
  expect(passwordProblem("x".repeat(1025))).toContain("1024");
});

test("addresses and screens are one to one", () => {
  for (const path of ["/studio", "/setup", "/login", "/studio/friday", "/studio/a%20b", "/studio/golive"]) {
    expect(pathOf(routeOf(path))).toBe(path);
    expect(isStudioPath(path)).toBe(true);
  }
  const golive = { page: "golive", name: "a&b" } as const;
  expect(pathOf(golive)).toBe("/studio/golive?stream=a%26b");
  expect(routeOf("/studio/golive", "?stream=a%26b")).toEqual(golive);
  expect(routeOf("/studio/")).toEqual({ page: "streams" });
  expect(routeOf("/studio/%zz")).toEqual({ page: "stream", name: "%zz" });
  for (const path of ["/", "/friday", "/studios", "/studio/a/b", "/embed/x"])
    expect(isStudioPath(path)).toBe(false);
});

test("the token is what stands after the #", () => {
  expect(tokenOf("#abc-_9")).toBe("abc-_9");
  expect(tokenOf("")).toBe("");
});
