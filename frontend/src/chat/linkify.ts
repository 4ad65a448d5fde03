/** A message's text in pieces. A link's label always shows the host that the link leads to. */
export type Piece = { kind: "text"; text: string } | { kind: "link"; href: string; label: string };

// A backslash would be a slash to the browser, and is none to a reader: it ends the address.
const CANDIDATE = /https?:\/\/[^\s<>"`{}|\\^\p{Cc}]+/giu;
const BEFORE = /[\p{L}\p{N}_]$/u;
const TRAILING = /[.,;:!?'’”»…*_~]$/u;
const PAIRS: Readonly<Record<string, string>> = { ")": "(", "]": "[" };
/** Letters that are written from the right: in an address they would move its parts about. */
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const LONGEST_LABEL = 64;

/** Only `http:` and `https:` become links, and only when written out: nobody is sent where they did not see. */
export function linkify(text: string): Piece[] {
  const pieces: Piece[] = [];
  let done = 0;
  for (const match of text.matchAll(CANDIDATE)) {
    if (BEFORE.test(text.slice(Math.max(match.index - 2, 0), match.index))) continue;
    const address = withoutTrail(match[0]);
    const link = toLink(address);
    if (!link) continue;
    if (match.index > done) pieces.push({ kind: "text", text: text.slice(done, match.index) });
    pieces.push(link);
    done = match.index + address.length;
  }
  if (done < text.length) pieces.push({ kind: "text", text: text.slice(done) });
  return pieces;
}

/** The full stop of a sentence and the bracket around an address are not part of it; "…/Foo_(bar)" keeps its own. */
function withoutTrail(address: string): string {
  const surplus: Record<string, number> = {};
  for (const [closing, opening] of Object.entries(PAIRS)) {
    surplus[closing] = count(address, closing) - count(address, opening);
  }
  let end = address.length;
  for (; end > 0; end -= 1) {
    const last = address.charAt(end - 1);
    const unpaired = surplus[last];
    if (unpaired !== undefined && unpaired > 0) surplus[last] = unpaired - 1;
    else if (!TRAILING.test(last)) break;
  }
  return address.slice(0, end);
}

function toLink(address: string): Piece | null {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  // "https://bank.example@elsewhere.example" is made to be misread.
  if (url.hostname === "" || url.username !== "" || url.password !== "") return null;
  return { kind: "link", href: url.href, label: label(address, url) };
}

/** As it was written, unless the browser reads another host than a person would: then as the browser reads it. */
function label(address: string, url: URL): string {
  const authority = address.slice(address.indexOf("://") + 3).split(/[/?#]/u, 1)[0] ?? "";
  const honest = authority.toLowerCase() === url.host && !RIGHT_TO_LEFT.test(address);
  const shown = honest ? address : url.href;
  // However long the host is, it is never what is left out.
  const room = Math.max(LONGEST_LABEL, url.protocol.length + 2 + url.host.length + 1);
  return shown.length > room ? `${shown.slice(0, room)}…` : shown;
}

function count(text: string, character: string): number {
  return text.split(character).length - 1;
}
