/** Above the button where there is room, else from the lower edge of the screen. */
export function placeAbove(button: HTMLElement, panel: HTMLElement): void {
  const { top, right } = button.getBoundingClientRect();
  const { innerWidth: width, innerHeight: height } = window;
  const above = top > 330 || (width >= 640 && top > 160);
  panel.style.bottom = above ? `${height - top + 8}px` : "0";
  panel.style.right = above ? `${Math.max(8, width - right - 8)}px` : "0";
  panel.style.inlineSize = above ? "" : "100%";
  panel.style.maxBlockSize = above ? `${top - 16}px` : "85%";
}

/**
 * Into OvenPlayer's bar, so that they hide and go with it, and can be used in full screen: outside of what is shown so,
 * nothing gets clicks. What is moved closes without a word.
 */
export function moveIntoBar(bar: Element | null, button: HTMLElement, panel: HTMLElement): void {
  if (bar) {
    bar.prepend(button);
    (bar.closest(".op-controls-container") ?? bar).append(panel);
  } else {
    button.remove();
    panel.remove();
  }
}
