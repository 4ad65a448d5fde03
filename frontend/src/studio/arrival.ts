import { tick } from "svelte";

let expected = false;

/**
 * The screen changes: focus goes to the new one's heading, where reading begins. A screen that has to ask the
 * server first shows its heading later; it gets the focus then.
 */
export async function expectHeading(): Promise<void> {
  expected = true;
  await tick();
  const heading = document.querySelector<HTMLElement>("#content h1");
  if (heading) arrived(heading);
}

/** Attached to each screen's heading. */
export function arrived(heading: HTMLElement): void {
  if (!expected) return;
  expected = false;
  heading.focus({ preventScroll: true });
}
