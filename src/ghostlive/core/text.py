"""Text that strangers wrote, made fit to be shown to others: names, titles, chat messages.

What stays is what a reader sees. Control characters go, and so does what turns the writing direction, hides behind
other characters, or means nothing outside one program (private use). Joiners and variation selectors stay where
writing or an emoji needs them. Lengths are in characters (code points).

Invariant: cleaning what was cleaned changes nothing, and nothing is ever longer than its limit.
"""

import re
import unicodedata
from typing import Final

_STACKED: Final = 4
"""Combining marks in a row; living languages need up to three or four, more of them only climb over other lines."""

# Symbols that have an emoji form, and the modifiers for skin (Unicode Technical Standard #51). Whole blocks, so that
# the emoji of later Unicode versions are among them.
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2934\u2935\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
# Arabic and its kin, the Indic scripts and those of South-East Asia, Mongolian: their letters join, or are kept apart.
_JOINING = (
    "\u0620-\u07ff\u0840-\u085f\u0860-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17b3\u17b6-\u17ff\u1807\u1820-\u18aa"
    "\u1a20-\u1aaf\u1b00-\u1bff\ua840-\ua87f\ua8e0-\ua8ff\ua980-\ua9ff\uaa60-\uaa7f\ufb50-\ufdcf\ufdf0-\ufdff"
    "\ufe70-\ufefc\U00010a00-\U00010a5f\U00010d00-\U00010d3f\U00011000-\U00011fff\U0001e900-\U0001e95f"
)
_KEPT = "|".join(
    [
        f"(?<=[{_EMOJI}\ufe0f])\u200d(?=[{_EMOJI}])",  # a family of emoji
        f"(?<=[{_JOINING}])[\u200c\u200d](?=[{_JOINING}])",
        f"(?<=[{_EMOJI}])[\ufe0e\ufe0f]",  # as text, as a picture
        "(?<=[0-9#*])\ufe0f(?=\u20e3)",  # a keycap
        "(?<=\U0001f3f4)[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f",  # the flag of a region
        "(?<=[\u1820-\u18aa])[\u180b-\u180d\u180f]",  # a Mongolian letter's other form
    ]
)
_DROPPED = (
    "\u0000-\u0008\u000e-\u001b\u007f-\u0084\u0086-\u009f"  # controls that are no white space
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ud800-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc\ufffe\uffff"
    "\U00013430-\U00013455\U00016fe4\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U0010ffff"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 14))
)
_HIDDEN = re.compile(f"({_KEPT})|[{_DROPPED}]")
_ONE = f"(?![\U0001f1e6-\U0001f1ff])[{_EMOJI}]\ufe0f?[\U0001f3fb-\U0001f3ff]?"
_ONE_EMOJI = re.compile(
    f"{_ONE}(?:\u200d{_ONE}){{0,8}}|[\U0001f1e6-\U0001f1ff]{{2}}|[0-9#*]\ufe0f?\u20e3"
    "|\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
)
_STACK = re.compile(rf"[^\w\s\x00-\x7f]{{{_STACKED + 1},}}")  # marks are no word characters; symbols are looked at too
_BLANK_LINES = re.compile(r"\n{3,}")
_JOINERS = "\u200c\u200d"


def clean_line(text: str, limit: int | None = None) -> str:
    """`text` as one line without white space around it, cut to `limit` characters."""
    return _clean(text, limit, lines=False)


def clean_text(text: str, limit: int | None = None) -> str:
    """`text` with its line breaks but at most one empty line in a row, cut to `limit` characters."""
    return _clean(text, limit, lines=True)


def is_emoji(text: str) -> bool:
    """Whether `text` is one emoji, however many characters it is made of: a family, a flag, a keycap."""
    return _ONE_EMOJI.fullmatch(text) is not None


def drop_hidden(text: str) -> str:
    """`text` without what hides, turns the direction or piles up; characters are taken away and never changed.

    So it may be done to markup too: nothing can become a tag by it.
    """
    if text.isascii() and text.isprintable():
        return text
    while (left := _STACK.sub(_unstack, _HIDDEN.sub(r"\1", text))) != text:
        text = left
    return text


def _clean(text: str, limit: int | None, *, lines: bool) -> str:
    if text.isascii() and text.isprintable() and "  " not in text:  # nothing to do for most of what is written
        return text.strip(" ") if limit is None else text.strip(" ")[:limit].rstrip(" ")
    while True:
        # What one step takes away may bring together what another has to look at again.
        cleaned = _cut(_space(_visible(text), lines), limit)
        if cleaned == text:
            return cleaned
        text = cleaned


def _visible(text: str) -> str:
    text = unicodedata.normalize("NFC", _HIDDEN.sub(r"\1", text))
    return _STACK.sub(_unstack, text)


def _unstack(run: re.Match[str]) -> str:
    kept, marks = [], 0
    for character in run[0]:
        if unicodedata.category(character)[0] == "M":
            marks += 1
        elif character not in _JOINERS:  # which stand between marks without ending their pile
            marks = 0
        if marks <= _STACKED:
            kept.append(character)
    return "".join(kept)


def _space(text: str, lines: bool) -> str:
    text = text.replace("\u2800", " ")  # Braille without a dot
    if not lines:
        return " ".join(text.split())
    joined = "\n".join(" ".join(line.split()) for line in text.splitlines())
    return _BLANK_LINES.sub("\n\n", joined).strip("\n")


def _cut(text: str, limit: int | None) -> str:
    """Cut before the character that a reader would see cut in two; one that is longer than all is cut nevertheless."""
    if limit is None or len(text) <= limit:
        return text
    end = limit
    while end > 0 and (_continues(text[end]) or text[end - 1] == "\u200d"):
        end -= 1
    return text[: end or limit].rstrip()


def _continues(character: str) -> bool:
    return (
        unicodedata.category(character)[0] == "M"
        or character in _JOINERS
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or "\U000e0020" <= character <= "\U000e007f"
    )
