"""Names that guests may have: none that is empty, and none that readers would take for somebody else's.

Two names look alike when they have the same skeleton. Unicode Technical Standard #39 has thousands of pairs; here are
those by which people pass for somebody else in a chat. A skeleton is only compared, never shown.
"""

import unicodedata
from collections.abc import Container
from functools import lru_cache
from typing import Final

from ghostlive.chat.errors import NameRefusedError, NameTakenError, TooLongError
from ghostlive.core.text import clean_line

# Keyed by the letter that stands for all of them: small Latin letters, after case was folded and marks were taken off.
_ALIKE: Final = {
    "a": "аαɑ@4",
    "b": "ьъβƅв8",
    "c": "сϲᴄ",
    "d": "ԁɗ",
    "e": "еєεҽ3",
    "g": "ɡց9",
    "h": "һнհ",
    "j": "јϳ",
    "k": "кκ",
    "l": "iіιıɩӏ1|!ɪlו",
    "m": "мϻ",
    "n": "ոռηп",
    "o": "оοσօ0ס",
    "p": "рρ",
    "q": "ԛզ",
    "r": "гᴦʀ",
    "s": "ѕꜱ5$",
    "t": "тτ",
    "u": "υսʋ",
    "v": "ѵνᴠ",
    "w": "ԝωшѡ",
    "x": "хχ",
    "y": "уγүʏ",
    "z": "ᴢ2",
}
_LETTERS: Final = {ord(other): letter for letter, others in _ALIKE.items() for other in others}
_MANY: Final = {
    ord(other): many for other, many in {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ħ": "h"}.items()
}
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"))


@lru_cache(maxsize=4096)
def skeleton(name: str) -> str:
    """What is left of a name when everything is taken off that readers overlook; never empty unless `name` is."""
    folded = unicodedata.normalize("NFKC", name).casefold().translate(_LETTERS)
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", folded) if letter.isalnum())
    bare = bare.translate(_MANY).translate(_LETTERS)
    for pair, letter in _PAIRS:
        bare = bare.replace(pair, letter)
    return bare or folded or name


RESERVED: Final = frozenset(map(skeleton, ("admin", "administrator", "moderator", "streamer", "system", "ghost live")))
"""Skeletons of names that claim an office; who has one is marked by their role."""


def check_name(name: str, limit: int, reserved: Container[str]) -> str:
    """`name` made fit for a guest. Raises a `RefusalError` that says why it cannot be one.

    `reserved` are the skeletons of names that guests cannot have.
    """
    cleaned = clean_line(name)
    # Modifier letters (Lm) look like apostrophes and dashes.
    if not any(character.isalnum() and unicodedata.category(character) != "Lm" for character in cleaned):
        raise NameRefusedError("A name needs at least one letter or digit.")
    if len(cleaned) > limit:
        raise TooLongError(f"That name is too long; the limit is {limit} characters.")
    bare = skeleton(cleaned)
    if bare in RESERVED:
        raise NameRefusedError("That name could be taken for somebody who runs this server. Choose another one.")
    if bare in reserved:
        raise NameTakenError("That name looks like the name of an account. Choose another one, or sign in.")
    return cleaned
