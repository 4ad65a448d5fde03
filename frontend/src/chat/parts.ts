import { Lazy } from "../lib/lazy.svelte";

/** Reactions, pictures and formatted text: most chats have some, soon. */
export const extras = new Lazy(() => import("./extras"));
export const emojiPopup = new Lazy(() => import("./EmojiPopup.svelte"));
export const peopleList = new Lazy(() => import("./People.svelte"));
export const card = new Lazy(() => import("./card/UserCard.svelte"));
export const completion = new Lazy(() => import("./completion/Completion.svelte"));
export const reactionPicker = new Lazy(() => import("./ReactionPicker.svelte"));
export const rulesLine = new Lazy(() => import("./rules/RulesLine.svelte"));
export const pinnedLine = new Lazy(() => import("./rules/Pinned.svelte"));
export const matrixDialog = new Lazy(() => import("./matrix/MatrixDialog.svelte"));
/** Only for who moderates. */
export const moderation = new Lazy(() => import("./moderation"));
