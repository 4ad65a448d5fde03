"""The content of a message event to what pages show of it: text, HTML, media (Client-Server API, "Instant messaging").

Anybody on any homeserver may write anything into it. No IO.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ghostlive.chat.gateway.session import fold_lines
from ghostlive.chat.matrix import events as types
from ghostlive.chat.matrix.events import RoomEvent, mapping, text
from ghostlive.chat.matrix.media import path_of, picture_of, record_of
from ghostlive.chat.matrix.sanitize import clean_html
from ghostlive.chat.message import Kind
from ghostlive.core.text import clean_text
from ghostlive.db.chat import MediaRecord

_UNREADABLE: Final = "This message is encrypted, so it can only be read in a Matrix client."
_FILES: Final = frozenset(("m.file", "m.audio", "m.video"))
_KINDS: Final = {"m.notice": Kind.NOTICE, "m.emote": Kind.EMOTE, "m.image": Kind.IMAGE}
_DEED: Final = re.compile(r"[/!]me\s+(?=\S)", re.IGNORECASE)
"""Before what somebody does, in clients that make no `m.emote` of it."""
_DEED_IN_HTML: Final = re.compile(r"((?:<mx-reply>.*?</mx-reply>)?(?:<p>)?)[/!]me\s+", re.IGNORECASE | re.DOTALL)
_MOST_PICTURES: Final = 40
_POLLS: Final = ("m.poll", types.POLL, types.UNSTABLE_POLL)
_TEXTS: Final = ("m.text", "org.matrix.msc1767.text", "body")
_MOST_ANSWERS: Final = 20
"""Of a poll (MSC3381)."""
_MOST_HTML: Final = 16
"""How much longer than the longest text HTML may be, with all its tags."""


class Said:
    """What somebody said, as pages get it."""

    __slots__ = ("files", "html", "kind", "media", "text")

    def __init__(
        self,
        kind: Kind,
        text: str,
        html: str | None = None,
        media: Mapping[str, Any] | None = None,
        files: Sequence[MediaRecord] = (),
    ) -> None:
        """See `chat.message.More`; `files` are what `html` and `media` need."""
        self.kind = kind
        self.text = text
        self.html = html
        self.media = media
        self.files = files


def read_said(event: RoomEvent, content: Mapping[str, Any], length: int) -> Said | None:
    """What `content` says, which is the event's or the new one of an edit, in at most `length` characters.

    None when there is nothing to show.
    """
    if event.type == types.ENCRYPTED or mapping(content, "file"):
        return Said(Kind.UNREADABLE, _UNREADABLE)
    if event.type in (types.POLL, types.UNSTABLE_POLL):
        words = _text(_poll(content), length)
        return Said(Kind.TEXT, words) if words else None
    kind = _KINDS.get(text(content, "msgtype"), Kind.TEXT)
    body = text(content, "body")
    if event.type == types.STICKER or kind is Kind.IMAGE:
        kind = Kind.STICKER if event.type == types.STICKER else Kind.IMAGE
        picture = picture_of(content)
        # With a file name there may be words beside it (Client-Server API, "Media captions").
        caption = text(content, "filename") not in ("", body)
        if picture is not None:
            media, record = picture
            words = _text(body, length) or media["alt"] or "🖼"
            html = None
            files = [record]
            if caption:
                html, more = _html(content, words, length)
                files += more
            return Said(kind, words, html, media, files)
        kind = Kind.TEXT
        body = body or "🖼"
    if text(content, "msgtype") in _FILES:
        name = text(content, "filename")
        body = f"📎 {body}" if name in ("", body) else f"📎 {name}\n{body}"
    if mapping(event.relates_to, "m.in_reply_to"):
        body = strip_fallback(body)
    deed = _DEED.match(body) if text(content, "msgtype") == "m.text" else None
    if deed is not None:
        kind, body = Kind.EMOTE, body[deed.end() :]
    words = _text(body, length)
    if not words:
        return None
    html, files = _html(content, words, length, cut=deed is not None)
    return Said(kind, words, html, None, files)


def _poll(content: Mapping[str, Any]) -> str:
    """The question of a poll and its answers, a line each (MSC3381), under whatever names a client may find them.

    Pages cannot vote; rules look at all that a client may show.
    """
    lines: dict[str, None] = {}
    for poll in (mapping(content, name) for name in _POLLS):
        answers = poll.get("answers")
        for part in [mapping(poll, "question"), *(answers[:_MOST_ANSWERS] if isinstance(answers, list) else [])]:
            if isinstance(part, dict):
                lines |= dict.fromkeys(_texts(part))
    shown = list(lines) or _texts(content)  # what clients show that know no polls
    return "📊 " + "\n".join(shown) if shown else ""


def _texts(part: Mapping[str, Any]) -> list[str]:
    """The texts of a part of an extensible event (MSC1767): plain, or a list of representations."""
    found: list[str] = []
    for name in _TEXTS:
        value = part.get(name)
        parts = [text(one, "body") for one in value if isinstance(one, dict)] if isinstance(value, list) else [value]
        found += [one for one in parts if isinstance(one, str) and one]
    return found


def strip_fallback(body: str) -> str:
    """A reply without the quote that older clients put before it ("Fallbacks for rich replies")."""
    if not body.startswith("> "):
        return body
    lines = body.split("\n")
    at = 0
    while at < len(lines) and (lines[at].startswith("> ") or lines[at] == ">"):
        at += 1
    if at < len(lines) and not lines[at].strip():
        at += 1
    return "\n".join(lines[at:]) or body


def _text(body: str, length: int) -> str:
    words = clean_text(body[: 8 * length])
    if len(words) > length:
        words = clean_text(words, length - 1) + "…"
    return fold_lines(words)


def _html(
    content: Mapping[str, Any], words: str, length: int, *, cut: bool = False
) -> tuple[str | None, list[MediaRecord]]:
    """`cut`: without the `/me` that it begins with; None when that is not where it begins."""
    formatted = text(content, "formatted_body")
    if cut:
        deed = _DEED_IN_HTML.match(formatted)
        formatted = "" if deed is None else deed[1] + formatted[deed.end() :]
    if not formatted or text(content, "format") != "org.matrix.custom.html" or words.endswith("…"):
        return None, []
    files: list[MediaRecord] = []

    def proxy(mxc: str) -> str | None:
        record = record_of(mxc)
        if record is None or len(files) >= _MOST_PICTURES:
            return None
        files.append(record)
        return path_of(record)

    html = clean_html(formatted, proxy)
    if html is not None and len(html) > _MOST_HTML * length:
        return None, []
    return html, files
