const COUNT = new Intl.NumberFormat("en");

/** "1,284", in the way of the language that the catalogue is in. */
export function countText(count: number): string {
  return COUNT.format(count);
}
