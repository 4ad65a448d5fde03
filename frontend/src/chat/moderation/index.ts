/** What only moderators see; one script, loaded for them. */
import "../../lib/i18n/forParts";

export { default as BanDialog } from "./BanDialog.svelte";
export { default as CardActions } from "./CardActions.svelte";
export { default as Tools } from "./Tools.svelte";
