/** Below this share of the height that the screen had, something covers the rest: a keyboard. */
const COVERED = 0.75;

/**
 * What can be seen of the page. A phone's keyboard covers a part of it, and only `visualViewport` says so: it is told
 * as `--viewport-top` and `--viewport-height` on the root; without it `100dvh` has to do.
 */
export class Viewport {
  /** Whether a keyboard on the screen leaves little room. */
  keyboard = $state(false);
  #width = 0;
  /** The largest height seen at this width, in case the whole page shrinks for the keyboard. */
  #tallest = 0;

  /** Starts to follow; gives what ends it. */
  track(): () => void {
    const viewport = window.visualViewport;
    if (!viewport) return () => {};
    const { style } = document.documentElement;
    const update = () => {
      // Zoomed in by two fingers: then it is a magnifier that moves over the page, not a smaller page.
      if (viewport.scale > 1.01) return;
      style.setProperty("--viewport-top", `${viewport.offsetTop}px`);
      style.setProperty("--viewport-height", `${viewport.height}px`);
      this.#measure(viewport.height);
    };
    update();
    viewport.addEventListener("resize", update);
    viewport.addEventListener("scroll", update);
    return () => {
      viewport.removeEventListener("resize", update);
      viewport.removeEventListener("scroll", update);
      style.removeProperty("--viewport-top");
      style.removeProperty("--viewport-height");
    };
  }

  #measure(height: number): void {
    if (window.innerWidth !== this.#width) this.#tallest = 0;
    this.#width = window.innerWidth;
    this.#tallest = Math.max(this.#tallest, window.innerHeight);
    this.keyboard = height < this.#tallest * COVERED && window.matchMedia("(pointer: coarse)").matches;
  }
}
