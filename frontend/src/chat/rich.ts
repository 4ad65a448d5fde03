import { calling } from "./marks";
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

/** What may be shown of `html`. */
export function clean(html: string, options: Options): DocumentFragment {
  // Parsed in a document of its own, in which nothing loads and nothing runs.
  const source = new DOMParser().parseFromString(html, "text/html").body;
  const fragment = document.createDocumentFragment();
  const budget = { left: MOST_NODES };
  for (const child of source.childNodes) build(child, fragment, options, budget, 0);
  return fragment;
}

function build(node: Node, into: Node, options: Options, budget: { left: number }, depth: number): void {
  budget.left -= 1;
  if (budget.left < 0) return;
  if (node.nodeType === Node.TEXT_NODE) {
    into.appendChild(words(node.textContent ?? "", options.you));
    return;
  }
  if (!(node instanceof Element)) return;
  const name = node.localName;
  if (SILENT.has(name)) return;
  let made: HTMLElement | null = null;
  if (PLAIN.has(name) && depth < DEEPEST) {
    if (node.matches("span.spoiler")) {
      if (options.still) {
        into.appendChild(covered(options.spoiler));
        return;
      }
      made = document.createElement("span");
      into.appendChild(cover(made, options.spoiler));
    } else {
      made = make(node, name, options.still === true);
      if (made) into.appendChild(made);
    }
  }
  // What an unknown element says is still read.
  for (const child of node.childNodes) build(child, made ?? into, options, budget, depth + 1);
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
  const made = document.createElement("a");
  Object.assign(made, {
    href: url.href,
    title: url.href,
    target: "_blank",
    rel: "nofollow noopener noreferrer ugc",
  });
  // Words that name one host and lead to another are made to deceive: the real one stands before them.
  const shown = LOOKS_LIKE_ADDRESS.exec((node.textContent ?? "").trim())?.[1]?.toLowerCase();
  if (shown !== undefined && url.host !== "" && shown !== url.hostname) made.append(`[${url.host}] `);
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

function words(text: string, you: string | undefined): Node {
  const fragment = document.createDocumentFragment();
  let done = 0;
  if (you) {
    for (const match of text.matchAll(calling(you))) {
      fragment.append(text.slice(done, match.index));
      const mark = document.createElement("mark");
      mark.textContent = match[0];
      fragment.append(mark);
      done = match.index + match[0].length;
    }
  }
  fragment.append(text.slice(done));
  return fragment;
}
