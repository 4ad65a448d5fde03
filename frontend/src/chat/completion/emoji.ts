import { Database } from "emoji-picker-element";
import dataUrl from "emoji-picker-element-data/en/emojibase/data.json?url";
import { MOST_OPTIONS, type Option } from "./options";

let database: Database | null = null;

/** Emoji by the words that stand for them; the data is a file of this server, and is kept by the browser. */
export async function emoji(query: string): Promise<Option[]> {
  database ??= new Database({ dataSource: dataUrl, locale: "en" });
  const found = await database.getEmojiBySearchQuery(query.replaceAll("_", " "));
  return found.slice(0, MOST_OPTIONS).flatMap((one) => {
    if (!("unicode" in one)) return [];
    const code = one.shortcodes?.[0] ?? query;
    return [{ insert: one.unicode, label: `${one.unicode} ${one.annotation}`, hint: `:${code}:` }];
  });
}
