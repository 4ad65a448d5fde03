import { chat } from "./chat";
import type { en } from "./en";
import { site } from "./site";

type Catalogue = typeof en;
export type Key = keyof Catalogue;

/** The names between braces in a string: `"{a} of {b}"` gives `"a" | "b"`. */
type Names<S extends string> = S extends `${string}{${infer Name}}${infer Rest}` ? Name | Names<Rest> : never;

type Values<K extends Key> = [Names<Catalogue[K]>] extends [never]
  ? []
  : [values: Record<Names<Catalogue[K]>, string | number>];

const texts: Record<string, string> = { ...site, ...chat };

/**
 * Adds strings that not every page needs. A module does so by importing `forStudio` or `forParts` for its effect, before
 * the components that show them.
 */
export function register(strings: Readonly<Record<string, string>>): void {
  Object.assign(texts, strings);
}

/** The text for a key. A missing or misspelt value is a type error, not a hole on the page. */
export function t<K extends Key>(key: K, ...[values]: Values<K>): string {
  const text = texts[key] ?? key;
  if (values === undefined) return text;
  const lookup = values as Record<string, string | number>;
  return text.replace(/\{(\w+)\}/g, (hole, name: string) => String(lookup[name] ?? hole));
}
