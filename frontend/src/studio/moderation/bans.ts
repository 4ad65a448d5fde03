import type { Ban } from "./api";

/** Whom a ban is said to be of. */
export function banName(ban: Ban): string {
  return ban.name || ban.matrix || "";
}
