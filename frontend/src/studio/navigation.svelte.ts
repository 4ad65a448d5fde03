import { isStudioPath, pathOf, type Route, routeOf } from "./route";

/** Which screen is shown. Links stay links; those within the studio change the screen instead of loading a page. */
export class Navigation {
  route = $state.raw<Route>({ page: "streams" });
  /** Counts changes of the screen, so that focus can follow them. */
  moves = $state(0);
  /** Asked before the screen changes; false keeps it, and whoever said so may `go` there later. */
  guard: ((next: Route) => boolean) | null = null;

  constructor() {
    this.route = here();
  }

  /** Listens for as long as the page is there; the result stops it. */
  start(): () => void {
    const back = () => this.#back();
    const click = (event: MouseEvent) => this.#click(event);
    window.addEventListener("popstate", back);
    document.addEventListener("click", click);
    return () => {
      window.removeEventListener("popstate", back);
      document.removeEventListener("click", click);
    };
  }

  go(route: Route, { replace = false } = {}): void {
    if (replace) history.replaceState(null, "", pathOf(route));
    else history.pushState(null, "", pathOf(route));
    this.#show();
    window.scrollTo(0, 0);
  }

  /** The address says more of the same screen. */
  rename(route: Route): void {
    history.replaceState(null, "", pathOf(route));
    this.route = route;
  }

  #back(): void {
    if (this.guard && !this.guard(here())) history.pushState(null, "", pathOf(this.route));
    else this.#show();
  }

  #show(): void {
    this.route = here();
    this.moves += 1;
  }

  #click(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link?.href || link.target || link.origin !== window.location.origin) return;
    if (!isStudioPath(link.pathname) || link.hash) return;
    event.preventDefault();
    const next = routeOf(link.pathname, link.search);
    if (!this.guard || this.guard(next)) this.go(next);
  }
}

function here(): Route {
  return routeOf(window.location.pathname, window.location.search);
}
