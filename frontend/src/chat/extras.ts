/** What messages show besides plain text; one script, loaded with the first message that needs it. */
import "../lib/i18n/forParts";

export { default as LargePicture } from "./LargePicture.svelte";
export { default as Picture } from "./Picture.svelte";
export { default as Reactions } from "./Reactions.svelte";
export { default as Rich } from "./Rich.svelte";
