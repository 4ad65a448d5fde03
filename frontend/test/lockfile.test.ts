import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

test("package-lock.json names packages and their hashes, not where somebody downloaded them", () => {
  const lock = readFileSync("package-lock.json", "utf8");
  expect(lock).not.toMatch(/https?:\/\//);
  expect(lock).toContain('"integrity"');
});
