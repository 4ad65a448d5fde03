"""Messages of the page as contents of Matrix events (Client-Server API, "Instant Messaging"; MSC4144).

Each has a mark of ours with the number of the message: so events of our ghosts are told from others, and what was sent
is found again in the room when nobody knows any more whether it was.
"""

import html
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from ghostlive.chat.matrix.media import PATH
from ghostlive.db.matrix import OutgoingRecord

ID: Final = "live.ghost.id"
"""The message's number."""
PENDING: Final = "live.ghost.pending"
"""The number of an edit or reaction in `matrix_pending`."""
PROFILE: Final = "com.beeper.per_message_profile"

NO_EMOTES: Final[Mapping[str, str]] = {}
NO_FILES: Final[Mapping[str, str]] = {}

_CODE: Final = re.compile(r":([^\s:<>\"'&\x00-\x1f]{1,64})(?=:)")
"""Without the second colon, which may be the first of the next."""
_LINK: Final = re.compile(r"https?://[^\s<>\"`{}|\\^]+", re.IGNORECASE)
"""As pages find them (`linkify.ts`): an address stays one whatever stands between its colons."""
_EMOTE: Final = '<img data-mx-emoticon height="32" src="{src}" alt="{name}" title="{name}">'
_OURS: Final = re.compile(rf'<img class="emote" src="{PATH}([A-Za-z0-9_-]{{22}})" alt="([^"]*)">')
"""An emote as `sanitize` writes it."""
_OUR_PICTURE: Final = re.compile(rf"{PATH}([A-Za-z0-9_-]{{22}})(?:\?.*)?")
_TYPES: Final = {"text": "m.text", "notice": "m.notice", "emote": "m.emote"}


def message_content(
    message: OutgoingRecord,
    *,
    reply_event: str | None,
    by_bot: bool,
    answered: str | None = None,
    emotes: Mapping[str, str] = NO_EMOTES,
    files: Mapping[str, str] = NO_FILES,
) -> dict[str, Any]:
    """What a message is in the room; `by_bot`: the bot says it for its author, so the author has to be in it.

    `answered` is the Matrix ID of whom it answers, who is told so ("User and room mentions"); nobody else is.
    `emotes` are `mxc:` addresses by the code that people write between colons, `files` those of `media_ids`.
    """
    markup = None if message.html is None else _for_clients(message.html, files)
    content = _body(message.kind, message.text, markup, emotes)
    _add_picture(content, message, files)
    content[ID] = message.id
    content["m.mentions"] = {}
    if reply_event is not None:
        if answered is not None:
            content["m.mentions"] = {"user_ids": [answered]}
        content["m.relates_to"] = {"m.in_reply_to": {"event_id": reply_event}}
    if by_bot:
        _speak_for(content, message.author, message.name)
    return content


def edit_content(
    *,
    number: int,
    event_id: str,
    kind: str,
    text: str,
    markup: str | None,
    speaker: tuple[str, str] | None,
    emotes: Mapping[str, str] = NO_EMOTES,
) -> dict[str, Any]:
    """A message says something else now (Client-Server API, "Event replacements").

    `number` is that in `matrix_pending`; `speaker` is (author, name) when the bot had said it for somebody.
    """
    new = _body(kind, text, markup, emotes)
    if speaker is not None:
        _speak_for(new, *speaker)
    content = {**new, "body": f"* {new['body']}"}
    if "formatted_body" in new:
        content["formatted_body"] = f"* {new['formatted_body']}"
    return {
        **content,
        PENDING: number,
        "m.mentions": {},
        "m.new_content": {**new, "m.mentions": {}},
        "m.relates_to": {"rel_type": "m.replace", "event_id": event_id},
    }


def reaction_content(*, number: int, event_id: str, key: str, mxc: str | None = None) -> dict[str, Any]:
    """Somebody reacts to a message, if `mxc` is given with that picture instead of an emoji (MSC4027)."""
    relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key if mxc is None else mxc}
    content: dict[str, Any] = {PENDING: number, "m.relates_to": relation}
    if mxc is not None and key.startswith(":"):
        content |= {"shortcode": key, "com.beeper.reaction.shortcode": key}
    return content


def media_ids(message: OutgoingRecord) -> set[str]:
    """Which files of ours a message shows: it came by Matrix, waited for a moderator, and was taken away there."""
    found = set() if message.html is None else {match[1] for match in _OURS.finditer(message.html)}
    url = _OUR_PICTURE.fullmatch(str(_media(message).get("url")))
    return found if url is None else {*found, url[1]}


def has_codes(text: str) -> bool:
    """Whether there is something in a text that could stand for a picture."""
    return _CODE.search(text) is not None


def mark(content: Mapping[str, Any], name: str) -> int | None:
    """The number in one of our marks."""
    number = content.get(name)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def _body(kind: str, text: str, markup: str | None, emotes: Mapping[str, str]) -> dict[str, Any]:
    content: dict[str, Any] = {"msgtype": _TYPES.get(kind, "m.text"), "body": text}
    markup = _with_emotes(text, emotes) if markup is None and emotes else markup
    if markup:
        content["format"] = "org.matrix.custom.html"
        content["formatted_body"] = markup
    return content


def _media(message: OutgoingRecord) -> Mapping[str, Any]:
    """The picture of a message, as pages get it."""
    if message.extra is None or message.kind not in ("image", "sticker"):
        return {}
    return json.loads(message.extra).get("media") or {}


def _add_picture(content: dict[str, Any], message: OutgoingRecord, files: Mapping[str, str]) -> None:
    """Make it a picture, as far as its file is known. A sticker too: an `m.sticker` could not say whose it is."""
    media = _media(message)
    url = _OUR_PICTURE.fullmatch(str(media.get("url")))
    mxc = None if url is None else files.get(url[1])
    if mxc is None:
        return
    names = {"mimetype": "type", "w": "width", "h": "height", "size": "size"}
    info = {name: media[ours] for name, ours in names.items() if media.get(ours) is not None}
    # A file name beside other words makes those a caption ("Media captions"): the author's name, where the bot speaks.
    content |= {"msgtype": "m.image", "url": mxc, "info": info, "filename": media.get("alt") or content["body"]}


def _for_clients(markup: str, files: Mapping[str, str]) -> str:
    """Sanitized HTML as other clients know it: pictures and what is covered are written in another way for pages."""
    if "<img" in markup:
        markup = _OURS.sub(lambda found: _emote(files.get(found[1]), found[2]), markup)
    return markup.replace('<span class="spoiler">', "<span data-mx-spoiler>")


def _emote(mxc: str | None, words: str) -> str:
    """`words` are escaped already."""
    return words if mxc is None else _EMOTE.format(src=html.escape(mxc), name=words)


def _with_emotes(text: str, emotes: Mapping[str, str]) -> str | None:
    """The text with pictures for the codes in it (MSC2545, "Image Packs"); None when there is none."""
    links = [link.span() for link in _LINK.finditer(text)]
    parts, at = [], 0
    for found in _CODE.finditer(text):
        mxc = emotes.get(found[1])
        in_link = any(start <= found.start() < end for start, end in links)
        if mxc is not None and not in_link and found.start() >= at:
            name = html.escape(f"{found[0]}:")
            parts += [_markup(text[at : found.start()]), _EMOTE.format(src=html.escape(mxc), name=name)]
            at = found.end() + 1
    return "".join([*parts, _markup(text[at:])]) if parts else None


def _markup(text: str) -> str:
    return html.escape(text, quote=False).replace("\n", "<br>")


def _speak_for(content: dict[str, Any], author: str, name: str) -> None:
    """Clients that know the profile show it and leave the name away from the text; others show the name there."""
    shown = content.get("formatted_body") or _markup(content["body"])
    content["format"] = "org.matrix.custom.html"
    content["formatted_body"] = f"<strong data-mx-profile-fallback>{html.escape(name, quote=False)}: </strong>{shown}"
    content["body"] = f"{name}: {content['body']}"
    content[PROFILE] = {"id": author, "displayname": name, "has_fallback": True}
