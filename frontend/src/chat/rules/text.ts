import { durationText } from "../../lib/format/time";
import { t } from "../../lib/i18n";
import type { Rules } from "../protocol";

/** Rules as sentences; empty when anybody may write as they like. Moderators read what applies to the others. */
export function rulesText(rules: Rules, moderator: boolean): string {
  const sentences: string[] = [];
  if (rules.shield) sentences.push(t("chat.rules.shield"));
  if (rules.readonly) sentences.push(t("chat.rules.readonly"));
  else {
    // The shield says it all: slow, approved first, nobody new.
    if (rules.slow > 0 && !rules.shield)
      sentences.push(t("chat.rules.slow", { time: durationText(rules.slow) }));
    if (rules.followers > 0) {
      sentences.push(t("chat.rules.followers", { time: durationText(rules.followers * 60) }));
    }
    if (rules.approve && !rules.shield) sentences.push(t("chat.rules.approve"));
    if (rules.emotes) sentences.push(t("chat.rules.emotes"));
    else if (!rules.links) sentences.push(t("chat.rules.links"));
    if (rules.guests === "hold" && !rules.shield && !rules.approve)
      sentences.push(t("chat.rules.guestsHold"));
    if (rules.guests === "signin" && !rules.shield) sentences.push(t("chat.rules.guestsSignin"));
  }
  if (sentences.length === 0) return "";
  return moderator ? `${t("chat.rules.others")} ${sentences.join(" ")}` : sentences.join(" ");
}
