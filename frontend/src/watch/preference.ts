const KEY = "ghostlive.chat";

/** Whether this person has folded the chat away; without storage it is there again after a reload. */
export function chatHidden(): boolean {
  try {
    return window.localStorage.getItem(KEY) === "hidden";
  } catch {
    return false;
  }
}

export function rememberChat(hidden: boolean): void {
  try {
    if (hidden) window.localStorage.setItem(KEY, "hidden");
    else window.localStorage.removeItem(KEY);
  } catch {
    // Only a convenience is lost.
  }
}
