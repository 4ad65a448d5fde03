"""HTML of Matrix messages made safe: what pages get is a small subset that we wrote ourselves.

nh3 (ammonia) parses it as browsers do and keeps what is allowed (Client-Server API, "m.room.message msgtypes").
Pictures are only those of the media proxy, links only http, https and mailto, and nothing has a style. What is nested
deeper, or is larger, than people write is shown as its plain text.
"""

import re
from collections.abc import Callable
from typing import Final

import nh3

from ghostlive.core.text import clean_line, drop_hidden

MOST: Final = 16 * 1024
"""Characters of HTML that are looked at."""
_DEEP: Final = 40
"""Elements within each other. Parsing takes time that grows with the square of it."""

_TAGS: Final = frozenset(
    (
        "a",
        "b",
        "blockquote",
        "br",
        "code",
        "del",
        "em",
        "i",
        "img",
        "li",
        "ol",
        "p",
        "pre",
        "s",
        "span",
        "strong",
        "u",
        "ul",
    )
)
_AS: Final = {"strike": "s", "ins": "u", "h1": "p", "h2": "p", "h3": "p", "h4": "p", "h5": "p", "h6": "p", "div": "p"}
"""Elements that stand for what we have no own of."""
_WITH_ALL: Final = frozenset(
    (
        "script",
        "style",
        "title",
        "textarea",
        "iframe",
        "noscript",
        "template",
        "mx-reply",
        "head",
        "select",
        "svg",
        "math",
    )
)
"""Elements that go with what is in them."""
_HEADS: Final = re.compile(r"<(/?)(strike|ins|h[1-6]|div)(?=[\s/>])", re.IGNORECASE)
_OPENED: Final = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*)")
_VOID: Final = frozenset(("br", "img", "hr", "input", "wbr", "p", "li"))
_NOWHERE: Final = re.compile(r'<a(?: rel="[a-z ]*")?>(.*?)</a>', re.DOTALL)
"""A link whose address was none that we allow."""
_MXC: Final = re.compile(r"mxc://([A-Za-z0-9.:\[\]-]{1,230})/([A-Za-z0-9_-]{1,255})", re.ASCII)
_LINK: Final = re.compile(r"https?://[^\s/]|mailto:[^\s]", re.IGNORECASE)
_EMPTY: Final = re.compile(r"<(b|i|em|strong|del|s|u|code|pre|blockquote|p|ul|ol|li|a|span)(?: [^>]*)?>\s*</\1>")
_IMAGE: Final = re.compile(r"<img\b[^>]*?/?>")
_ALT: Final = re.compile(r'\balt="([^"]*)"')
_SRC: Final = re.compile(r'\bsrc="([^"]*)"')

Proxy = Callable[[str], str | None]
"""The path on this server of a picture's `mxc:` address; None when there is to be none."""


def clean_html(html: str, proxy: Proxy) -> str | None:
    """`html` as pages may get it; None when it is no more than its plain text, or not to be understood.

    `proxy` is asked for each small picture (a custom emote); other pictures stay away, as their text.
    """
    if len(html) > MOST or _depth(html) > _DEEP:
        return None
    html = _HEADS.sub(lambda match: f"<{match[1]}{_AS[match[2].lower()]}", drop_hidden(html))
    emote = False

    def attribute(tag: str, name: str, value: str) -> str | None:
        nonlocal emote
        if tag == "img" and name == "src":
            path = proxy(value) if _MXC.fullmatch(value) else None
            emote = emote or path is not None
            return path
        if tag == "a" and name == "href":
            return value if _LINK.match(value) else None
        if tag == "span" and name == "data-mx-spoiler":
            return ""
        if tag in ("img", "span") and name == "class":
            return None
        if tag == "img" and name in ("alt", "title"):
            return clean_line(value, 100)
        return value

    cleaned = nh3.clean(
        html,
        tags=set(_TAGS),
        clean_content_tags=set(_WITH_ALL),
        attributes={"a": {"href"}, "img": {"src", "alt", "title", "data-mx-emoticon"}, "span": {"data-mx-spoiler"}},
        attribute_filter=attribute,
        url_schemes={"http", "https", "mailto", "mxc"},
        link_rel="noopener nofollow ugc",
        strip_comments=True,
    )
    cleaned = _IMAGE.sub(_image, drop_hidden(cleaned))
    cleaned = cleaned.replace('<span data-mx-spoiler="">', '<span class="spoiler">')
    cleaned = _NOWHERE.sub(r"\1", cleaned)
    while (shorter := _EMPTY.sub("", cleaned)) != cleaned:
        cleaned = shorter
    cleaned = cleaned.strip()
    if not cleaned or not re.search(r"<(?!/?(?:p|br|span)\b(?! class))", cleaned):
        return None
    return cleaned


def _image(match: "re.Match[str]") -> str:
    """A picture of the media proxy as an emote, another one as the words that stand for it."""
    tag = match[0]
    alt, src = _ALT.search(tag), _SRC.search(tag)
    words = "" if alt is None else alt[1]
    if src is None:
        return words
    return f'<img class="emote" src="{src[1]}" alt="{words}">'


def _depth(html: str) -> int:
    """How many elements are open at once at most, counted roughly: those that are never closed count too."""
    depth = deepest = 0
    for match in _OPENED.finditer(html):
        if match[2].lower() in _VOID:
            continue
        if match[1]:
            depth = max(0, depth - 1)
        else:
            depth += 1
            deepest = max(deepest, depth)
    return deepest
