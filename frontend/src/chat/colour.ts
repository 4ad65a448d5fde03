/**
 * Name colours. OKLCH keeps the lightness the same around the circle, so that every hue can be read on the page's
 * backgrounds; the tests measure all of them.
 */
export const DARK = { lightness: 0.8, chroma: 0.115 };
export const LIGHT = { lightness: 0.46, chroma: 0.11 };

/** As custom properties; the style sheet takes the one for its colour scheme. */
export function nameColours(hue: number): string {
  const degrees = ((hue % 360) + 360) % 360;
  return `--on-dark: ${oklch(DARK, degrees)}; --on-light: ${oklch(LIGHT, degrees)}`;
}

function oklch({ lightness, chroma }: typeof DARK, hue: number): string {
  return `oklch(${lightness} ${chroma} ${hue})`;
}
