import { chat } from "./chat.ts";
import { golive } from "./golive.ts";
import { moderation } from "./moderation.ts";
import { parts } from "./parts.ts";
import { site } from "./site.ts";
import { studio } from "./studio.ts";

/**
 * Every string that a person sees. `{name}` is filled in by `t()`, which checks the names. Pages do not load all of it:
 * `index.ts` has what every page needs, and the rest is registered by who uses it.
 */
export const en = {
  ...chat,
  ...parts,
  ...studio,
  ...golive,
  ...moderation,
  ...site,
} as const;
