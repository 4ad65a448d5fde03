/** A window with the chat alone, beside a picture in full screen or on another screen. */

/** The address of the chat without the picture. */
export function popOutUrl(stream: string): string {
  return `/embed/${encodeURIComponent(stream)}?chat=only`;
}

/** Opens the window, or brings the one to the front that is open; false when the browser did not allow it. */
export function popOut(stream: string): boolean {
  const opened = window.open(popOutUrl(stream), `ghostlive-chat-${stream}`, "popup,width=420,height=720");
  opened?.focus();
  return opened !== null;
}
