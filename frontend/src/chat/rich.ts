import { linkify } from "./linkify";
import { mark } from "./marks";
import { isOwnPath } from "./protocol";

/**
 * The server has cleaned the HTML of a message; here it is cleaned again, by building anew only what is known: nothing
 * that came is ever put into the page itself.
 */

const PLAIN: ReadonlySet<string> = new Set(
  "b i em strong del s u code pre br blockquote p ul ol li a span img".split(" "),
);
/** Elements whose words are no words: they go with all that is in them. */
const SILENT: ReadonlySet<string> = new Set(
  "script style template iframe object embed noscript title head svg math textarea select mx-reply".split(
    " ",
  ),
);
const ADDRESS = /^(https?|mailto):/iu;
const LOOKS_LIKE_ADDRESS = /^(?:https?:\/\/)?([\w-]+(?:\.[\w-]+)+)/iu;
/** In these, an address is no link: it is one already, or is meant to be read as it stands. */
const NO_LINKS: ReadonlySet<string> = new Set(["a", "code", "pre"]);
const DEEPEST = 20;
const MOST_NODES = 600;

interface Options {
  /** The name of who is marked where they are called. */
  you?: string | undefined;
  /** Said of what is hidden. */
  spoiler: string;
  /** For where nothing can be pressed: links are words, and what is hidden stays so. */
  still?: boolean;
}

/** What counts where a node stands. */
interface Place extends Options {
  /** Whether addresses in the text become links. */
  links: boolean;
}

/** What may be shown of `html`. */
export function clean(html: string, options: Options): DocumentFragment {
  // Parsed in a document of its own, in which nothing loads and nothing runs.
  const source = new DOMParser().parseFromString(html, "text/html").body;
  const fragment = document.createDocumentFragment();
  const budget = { left: MOST_NODES };
  const place = { ...options, links: options.still !== true };
  for (const child of source.childNodes) build(child, fragment, place, budget, 0);
  return fragment;
}

function build(node: Node, into: Node, place: Place, budget: { left: number }, depth: number): void {
  budget.left -= 1;
  if (budget.left < 0) return;
  if (node.nodeType === Node.TEXT_NODE) {
    into.appendChild(words(node.textContent ?? "", place));
    return;
  }
  if (!(node instanceof Element)) return;
  const name = node.localName;
  if (SILENT.has(name)) return;
  let made: HTMLElement | null = null;
  if (PLAIN.has(name) && depth < DEEPEST) {
    if (node.matches("span.spoiler")) {
      if (place.still) {
        into.appendChild(covered(place.spoiler));
        return;
      }
      made = document.createElement("span");
      into.appendChild(cover(made, place.spoiler));
    } else {
      made = make(node, name, place.still === true);
      if (made) into.appendChild(made);
    }
  }
  // What an unknown element says is still read.
  const inner = made && NO_LINKS.has(name) ? { ...place, links: false } : place;
  for (const child of node.childNodes) build(child, made ?? into, inner, budget, depth + 1);
}

function make(node: Element, name: string, still: boolean): HTMLElement | null {
  if (name === "img") {
    const source = node.getAttribute("src") ?? "";
    const alt = node.getAttribute("alt") ?? "";
    if (!isOwnPath(source)) return null;
    const image = document.createElement("img");
    Object.assign(image, {
      className: "emote",
      src: source,
      alt,
      title: alt,
      loading: "lazy",
      decoding: "async",
    });
    return image;
  }
  if (name === "span" || (still && name === "a")) return null;
  if (name === "a") return link(node);
  return document.createElement(name);
}

function link(node: Element): HTMLElement | null {
  const address = (node.getAttribute("href") ?? "").trim();
  if (!ADDRESS.test(address)) return null;
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  if (url.username !== "" || url.password !== "") return null;
  const made = anchor(url.href);
  // Words that name one host and lead to another are made to deceive: the real one stands before them.
  const shown = LOOKS_LIKE_ADDRESS.exec((node.textContent ?? "").trim())?.[1]?.toLowerCase();
  if (shown !== undefined && url.host !== "" && shown !== url.hostname) made.append(`[${url.host}] `);
  return made;
}

function anchor(href: string): HTMLAnchorElement {
  const made = document.createElement("a");
  Object.assign(made, { href, title: href, target: "_blank", rel: "nofollow noopener noreferrer ugc" });
  return made;
}

/** A button in the place of `hidden`, which is not in the page before it is pressed. */
function cover(hidden: HTMLElement, label: string): HTMLElement {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "spoiler";
  button.textContent = label;
  button.addEventListener("click", () => {
    hidden.tabIndex = -1;
    button.replaceWith(hidden);
    hidden.focus({ preventScroll: true });
  });
  return button;
}

/** What stands for something hidden that nobody can show. */
function covered(label: string): HTMLElement {
  const place = document.createElement("span");
  place.className = "spoiler";
  place.textContent = label;
  return place;
}

/** Clients write addresses into the HTML as they are, and make links of them when they show it. */
function words(text: string, { you, links }: Place): Node {
  const fragment = document.createDocumentFragment();
  for (const piece of mark(links ? linkify(text) : [{ kind: "text", text }], undefined, you)) {
    if (piece.kind === "link") {
      const made = anchor(piece.href);
      made.dir = "ltr";
      made.textContent = piece.label;
      fragment.append(made);
    } else if (piece.kind === "you") {
      const called = document.createElement("mark");
      called.textContent = piece.text;
      fragment.append(called);
    } else if (piece.kind === "text") fragment.append(piece.text);
  }
  return fragment;
}
