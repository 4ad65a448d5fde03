/** What is used of `localStorage`. */
export type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** Reading the property throws where a frame is denied storage. */
export function browserStore(): Storage | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}
