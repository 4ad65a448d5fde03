/** A colour of its own for each stream, the same on every visit. */
export function hueOf(name: string): number {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  // Turned by the golden angle, so that similar names do not look alike; kept to cool colours, next to which
  // the badges stand out.
  return 165 + Math.round((hash * 137.508) % 150);
}
