import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { chat } from "../src/lib/i18n/chat";
import { en } from "../src/lib/i18n/en";
import { parts } from "../src/lib/i18n/parts";
import { site } from "../src/lib/i18n/site";

/** What a script brings with it: its own modules and theirs, but not what it loads later. */
function closure(entry: string, found = new Set<string>()): Set<string> {
  if (found.has(entry)) return found;
  found.add(entry);
  const text = readFileSync(entry, "utf-8");
  for (const [, path] of text.matchAll(/^\s*(?:import|export)\s(?:[^"']*?from\s+)?"(\.[^"]+)"/gmu)) {
    const module = join(dirname(entry), path as string);
    const file = [module, `${module}.ts`, `${module}/index.ts`].find(
      (name) => /\.(ts|svelte)$/u.test(name) && existsSync(name),
    );
    if (file) closure(file, found);
  }
  return found;
}

function keysOf(modules: Iterable<string>): string[] {
  const keys = new Set<string>();
  for (const module of modules) {
    if (module.includes("i18n")) continue;
    for (const [, key] of readFileSync(module, "utf-8").matchAll(/"((?:[a-z]\w*\.)+\w+)"/gu))
      keys.add(key as string);
  }
  return [...keys];
}

const early = new Set([...Object.keys(site), ...Object.keys(chat)]);
const late = new Set(Object.keys(parts));

test.each(["watch", "embed", "home", "overlay"].filter((page) => existsSync(`src/${page}/main.ts`)))(
  "%s has all its strings before anything else is loaded",
  (page) => {
    const keys = keysOf(closure(`src/${page}/main.ts`));
    expect(keys.filter((key) => key in en && !early.has(key))).toEqual([]);
    expect(keys.filter((key) => early.has(key)).length).toBeGreaterThan(0);
  },
);

test("so does the chat", () => {
  const keys = keysOf(closure("src/chat/ChatPanel.svelte"));
  expect(keys.filter((key) => key in en && !early.has(key))).toEqual([]);
});

test("what is loaded later brings the strings that it needs", () => {
  const lazy = [...readFileSync("src/chat/parts.ts", "utf-8").matchAll(/import\("\.\/([^"]+)"\)/gu)].map(
    ([, path]) => {
      const module = `src/chat/${path}`;
      return [module, `${module}.ts`, `${module}/index.ts`].find(
        (name) => /\.(ts|svelte)$/u.test(name) && existsSync(name),
      );
    },
  );
  expect(lazy.length).toBeGreaterThan(8);
  for (const entry of lazy) {
    const modules = closure(entry as string);
    const needed = keysOf(modules).filter((key) => late.has(key) && !early.has(key));
    const registered = [...modules].some((module) => module.endsWith("forParts.ts"));
    expect(needed.length === 0 || registered, `${entry} shows ${needed[0]}`).toBe(true);
  }
});

test("no string of the chat is left over", () => {
  const all = readdirSync("src", { recursive: true, encoding: "utf-8" })
    .filter((name) => /\.(ts|svelte)$/u.test(name) && !name.includes("i18n"))
    .map((name) => readFileSync(join("src", name), "utf-8"))
    .join("\n");
  const unused = [...Object.keys(chat), ...late].filter((key) => {
    // Some are put together from a name: `chat.rule.${name}`.
    const stem = key.slice(0, key.lastIndexOf(".") + 1);
    return !all.includes(`"${key}"`) && !all.includes(`\`${stem}$`);
  });
  expect(unused).toEqual([]);
});
