/** The studio's addresses. One page serves them all; the server sends it for each. */

export type Route =
  | { page: "setup" }
  | { page: "login" }
  | { page: "streams" }
  /** Broadcasting from the browser; without a stream, the page asks for one. */
  | { page: "golive"; name: string | null }
  | { page: "stream"; name: string }
  /** Rules, bans and what else is about its chat. */
  | { page: "chat"; name: string };

/** No stream has this name. */
const GO_LIVE = "golive";
const CHAT = "chat";

export function routeOf(path: string, search = ""): Route {
  const [first, second, third] = path.split("/").filter(Boolean);
  if (first === "setup" || first === "login") return { page: first };
  if (second === undefined) return { page: "streams" };
  if (second === GO_LIVE) return { page: "golive", name: new URLSearchParams(search).get("stream") };
  return { page: third === CHAT ? "chat" : "stream", name: decoded(second) };
}

export function pathOf(route: Route): string {
  if (route.page === "streams") return "/studio";
  if (route.page === "golive") {
    return `/studio/${GO_LIVE}${route.name === null ? "" : `?stream=${encodeURIComponent(route.name)}`}`;
  }
  if (route.page === "stream") return `/studio/${encodeURIComponent(route.name)}`;
  if (route.page === "chat") return `/studio/${encodeURIComponent(route.name)}/${CHAT}`;
  return `/${route.page}`;
}

/** Whether the studio itself shows the page at this address, without a load. */
export function isStudioPath(path: string): boolean {
  return /^\/(studio(\/[^/]+(\/chat)?)?|login|setup)\/?$/.test(path);
}

/** The token of a set-up link. It comes in the fragment, which browsers send to nobody. */
export function tokenOf(hash: string): string {
  return decoded(hash.replace(/^#/, "")).trim();
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
