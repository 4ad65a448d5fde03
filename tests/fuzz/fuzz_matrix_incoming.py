"""Fuzz target: what strangers say in a Matrix room, on its way to pages: bodies, HTML, pictures, packs of emotes.

Run with `python -m tests.fuzz.fuzz_matrix_incoming [CORPUS…]`; nothing may escape, and what gets through is clean.
"""

import json
import sys

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.chat.matrix", "ghostlive.core.text"]):
    from ghostlive.chat.matrix.emotes import Packs
    from ghostlive.chat.matrix.events import read_event
    from ghostlive.chat.matrix.media import parse_mxc, picture_of
    from ghostlive.chat.matrix.said import read_said, strip_fallback
    from ghostlive.chat.matrix.sanitize import clean_html
    from ghostlive.core.text import clean_text

from tests.unit.chat.test_sanitize import check, proxy

from ghostlive.chat.message import Kind

_LENGTH = 200
# Only what needs no service: what a message says.
_TYPES = ("m.room.message", "m.sticker", "m.room.encrypted")


def test_one_input(data: bytes) -> None:
    """The first byte says how the rest is to be read."""
    if not data:
        return
    text = data[1:].decode(errors="replace")
    check(clean_html(text, proxy))
    strip_fallback(text)
    assert parse_mxc(text) is None or text.startswith("mxc://")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = {"msgtype": "m.text", "body": text, "format": "org.matrix.custom.html", "formatted_body": text}
    raw = {
        "event_id": "$e",
        "room_id": "!r",
        "type": _TYPES[data[0] % len(_TYPES)],
        "sender": "@a:b",
        "content": content,
    }
    event = read_event(raw)
    if event is None:
        return
    said = read_said(event, event.content, _LENGTH)
    if said is not None:
        assert 0 < len(said.text) <= _LENGTH
        assert clean_text(said.text) == said.text
        assert (said.media is not None) == (said.kind in (Kind.IMAGE, Kind.STICKER))
        json.dumps(said.media)
    picture_of(event.content)
    packs = Packs()
    packs.put("", event.content)
    for emote in packs.emotes():
        assert emote.url.startswith("/api/v1/chat/media/")


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
