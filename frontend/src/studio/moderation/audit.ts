import { durationText } from "../../lib/format/time";
import { t } from "../../lib/i18n";
import type { Entry, Person } from "./api";
import { choicesOf, GUESTS, NUMBERS, SWITCHES } from "./choices";

/** An entry of the audit log as a sentence: who did what to whom. */
export function entryText(entry: Entry): string {
  const by = nameOf(entry.actor);
  const target = entry.target ? nameOf(entry.target) : t("moderation.audit.somebody");
  const on = entry.detail.on !== false;
  switch (entry.kind) {
    case "ban":
      return banText(entry, by, target);
    case "timeout":
      return t("moderation.audit.timeout", { by, target, time: durationText(entry.seconds ?? 0) });
    case "unban":
      return t(entry.everywhere ? "moderation.audit.unbanEverywhere" : "moderation.audit.unban", {
        by,
        target,
      });
    case "kick":
      return t("moderation.audit.kick", { by, target });
    case "warn":
      return t("moderation.audit.warn", { by, target });
    case "trust":
      return t(on ? "moderation.audit.trust" : "moderation.audit.distrust", { by, target });
    case "pin":
      return t(entry.detail.id ? "moderation.audit.pin" : "moderation.audit.unpin", { by });
    case "clear":
      return t("moderation.audit.clear", { by });
    case "rules":
      return rulesText(by, entry.detail.changes);
    case "shield":
      return t(on ? "moderation.audit.shield" : "moderation.audit.unshield", { by });
    case "moderator":
      return t(on ? "moderation.audit.moderator" : "moderation.audit.unmoderator", { by, target });
    case "delete":
      return entry.detail.all
        ? t("moderation.audit.deleteAll", { by, target })
        : entry.target
          ? t("moderation.audit.deleteOf", { by, target })
          : t("moderation.audit.delete", { by });
    case "allow":
      return t("moderation.audit.allow", { by, target });
    case "deny":
      return t("moderation.audit.reject", { by, target });
    default:
      return t("moderation.audit.other", { by, kind: entry.kind });
  }
}

function banText({ seconds, everywhere }: Entry, by: string, target: string): string {
  if (seconds === null) {
    return t(everywhere ? "moderation.audit.banEverywhere" : "moderation.audit.ban", { by, target });
  }
  const time = durationText(seconds);
  return t(everywhere ? "moderation.audit.banEverywhereFor" : "moderation.audit.banFor", {
    by,
    target,
    time,
  });
}

/** Which rules are how now; what this page does not know is left out. */
function rulesText(by: string, changes: unknown): string {
  const found = typeof changes === "object" && changes !== null ? Object.entries(changes) : [];
  const rules = found.map(([rule, value]) => ruleText(rule, value)).filter((text) => text !== "");
  if (rules.length === 0) return t("moderation.audit.rules", { by });
  return t("moderation.audit.rulesTo", { by, rules: rules.join("; ") });
}

function ruleText(rule: string, value: unknown): string {
  const number = NUMBERS.find((name) => name === rule);
  if (number && typeof value === "number") {
    const text = choicesOf(number, value).find((choice) => choice.value === value)?.text ?? "";
    return t("moderation.audit.rule", { rule: t(`moderation.${number}`), value: text });
  }
  const flag = SWITCHES.find((name) => name === rule);
  if (flag && typeof value === "boolean") {
    const text = t(value ? "moderation.on" : "moderation.off");
    return t("moderation.audit.rule", { rule: t(`moderation.${flag}`), value: text });
  }
  const guests = rule === "guests" && GUESTS.find((name) => name === value);
  if (guests) {
    const text = t(`moderation.guests.${guests}`);
    return t("moderation.audit.rule", { rule: t("moderation.guests"), value: text });
  }
  if (rule !== "words" || !Array.isArray(value)) return "";
  return t("moderation.audit.words", { count: value.length });
}

/** By which way; empty for the page, which is the usual one. */
export function viaText(via: string): string {
  if (via === "matrix") return t("moderation.via.matrix");
  if (via === "api") return t("moderation.via.api");
  if (via === "rule") return t("moderation.via.rule");
  return "";
}

export function nameOf(person: Person): string {
  return person.name || person.matrix || t("moderation.audit.somebody");
}
