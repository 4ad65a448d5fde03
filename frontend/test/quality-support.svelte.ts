/** Properties of a component that a test changes while it is shown. */
export function reactive<T extends object>(values: T): T {
  const held = $state(values);
  return held;
}
