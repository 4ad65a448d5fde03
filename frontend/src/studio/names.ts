import { t } from "../lib/i18n";

/** The server's rules, said before it has to refuse; it checks again. */

export const PASSWORD_MIN = 10;
export const PASSWORD_MAX = 1024;
export const TITLE_MAX = 120;
export const DESCRIPTION_MAX = 2000;
export const LABEL_MAX = 60;

const RESERVED = new Set([
  "api",
  "app",
  "studio",
  "embed",
  "assets",
  "healthz",
  "metrics",
  "login",
  "setup",
  "favicon",
  "robots",
  "golive",
]);

/** What is wrong with a name for a stream; null when nothing is. */
export function streamNameProblem(name: string, taken: ReadonlySet<string> = new Set()): string | null {
  if (name === "") return t("studio.name.empty");
  if (name.length > 64) return t("studio.name.long");
  if (!/^[A-Za-z0-9_-]+$/.test(name)) {
    const suggestion = suggestName(name);
    return suggestion ? t("studio.name.charactersTry", { suggestion }) : t("studio.name.characters");
  }
  if (!/^[A-Za-z0-9]/.test(name)) return t("studio.name.start");
  if (RESERVED.has(name.toLowerCase())) return t("studio.name.reserved", { name });
  if (taken.has(name)) return t("studio.name.taken", { name });
  return null;
}

/** A name that is allowed and near to what was typed; empty when nothing of it can stay. */
export function suggestName(typed: string): string {
  return typed
    .normalize("NFKD")
    .replace(/\p{Mark}/gu, "")
    .replace(/[^A-Za-z0-9_-]+/g, "-")
    .replace(/^[-_]+|[-_]+$/g, "")
    .slice(0, 64);
}

export function accountNameProblem(name: string): string | null {
  if (name === "") return t("studio.account.empty");
  if (/^[a-z0-9][a-z0-9._-]{0,63}$/.test(name)) return null;
  return t("studio.account.rule");
}

export function passwordProblem(password: string): string | null {
  // Counted as the server does, in characters rather than in UTF-16 units.
  const length = [...password].length;
  if (length === 0) return t("studio.password.empty");
  if (length < PASSWORD_MIN) return t("studio.password.short", { count: PASSWORD_MIN });
  if (length > PASSWORD_MAX) return t("studio.password.long", { count: PASSWORD_MAX });
  return null;
}
