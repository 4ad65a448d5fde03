"""The word filter: what must not be said, as words, with wildcards, or as regular expressions.

Words and wildcards are compared without case, marks, and letters of other scripts that look alike, and stand for whole
words: a filter for `ass` lets a class pass. Regular expressions see the text as it is but for case, and then once more
as words are compared.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from ghostlive.chat.moderation.matcher import BUDGET, Matcher, OutOfTimeError
from ghostlive.chat.moderation.pattern import (
    LONGEST_PATTERN,
    Assert,
    Chars,
    Machine,
    Node,
    One,
    PatternError,
    Repeat,
    Row,
    is_word,
    literal,
    parse,
)
from ghostlive.chat.names import skeleton

WordKind = Literal["exact", "glob", "regex"]
WordAction = Literal["refuse", "hold"]

_WORD: Final = re.compile(r"\w+")
"""Linear, whatever is searched: one class, repeated."""
_NO_SPACE: Final = One(Chars(classes=(str.isspace,), negated=True))
_SPACES: Final = Repeat(One(Chars(classes=(str.isspace,))), 1, None)
MOST_STATES: Final = 20_000
"""States of all patterns of one filter together."""


@dataclass(frozen=True, slots=True)
class Word:
    """One entry of the filter."""

    text: str
    kind: WordKind = "exact"
    action: WordAction = "refuse"


def check_word(word: Word) -> None:
    """Raises `PatternError` when `word` cannot be filtered."""
    _tree_of(word)
    Machine().add(_tree_of(word), 0)


@lru_cache(maxsize=4096)
def _fold_character(character: str) -> str:
    bare = "".join(part for part in unicodedata.normalize("NFKD", character) if unicodedata.category(part)[0] != "M")
    return "".join(part if part.isascii() else skeleton(part) for part in bare.casefold())


def fold(text: str) -> str:
    """`text` as words are compared: no case, no marks, one letter for all that look alike."""
    if text.isascii():
        return text.lower()
    return "".join(map(_fold_character, unicodedata.normalize("NFKC", text)))


def _tree_of(word: Word) -> Node:
    if not word.text.strip():
        raise PatternError("nothing is left to look for")
    if word.kind == "regex":
        return parse(word.text)
    if len(word.text) > LONGEST_PATTERN:
        raise PatternError(f"a word has at most {LONGEST_PATTERN} characters")
    glob = word.kind == "glob"
    if glob and not word.text.strip("*? "):
        raise PatternError("that would match everything")
    pieces = word.text.split()
    parts: list[Node] = []
    for piece in pieces:
        if parts:
            parts.append(_SPACES)
        parts += _glob(piece) if glob else [literal(fold(piece))]
    if _has_edge(pieces[0][0], glob=glob):
        parts.insert(0, Assert("edge"))
    if _has_edge(pieces[-1][-1], glob=glob):
        parts.append(Assert("edge"))
    return Row(tuple(parts))


def _glob(piece: str) -> list[Node]:
    return [
        Repeat(_NO_SPACE, 0, None) if character == "*" else _NO_SPACE if character == "?" else literal(fold(character))
        for character in piece
    ]


def _has_edge(character: str, *, glob: bool) -> bool:
    """Whether a word begins or ends beside it. A sign (`$$$`) has none, and a `*` takes what stands there anyway."""
    if glob and character in "*?":
        return character == "?"
    folded = fold(character)
    return folded != "" and is_word(folded[0])


class WordFilter:
    """All words of one chat, looked for at once."""

    def __init__(self, words: Sequence[Word]) -> None:
        """Raises `PatternError` when they are too many together."""
        self._filters = [
            _Filter(some)
            for action in ("refuse", "hold")
            if (some := [word for word in words if word.action == action])
        ]

    def find(self, text: str, budget: int = BUDGET) -> Word | None:
        """What occurs in `text`; what is refused goes before what is held. Raises `OutOfTimeError`."""
        folded, plain = fold(text), text.casefold()
        for words in self._filters:
            if (word := words.find(folded, plain, budget)) is not None:
                return word
        return None


class _Filter:
    """Words of one action. A single word is looked up; the rest is a machine, or two where there are expressions."""

    def __init__(self, words: Sequence[Word]) -> None:
        self._words = words
        self._exact: dict[str, Word] = {}
        plain, folded = Machine(), Machine()
        for number, word in enumerate(words):
            bare = fold(word.text)
            if word.kind == "exact" and bare and all(map(is_word, bare)):
                self._exact.setdefault(bare, word)
                continue
            tree = _tree_of(word)
            folded.add(tree, number)
            if word.kind == "regex":
                plain.add(tree, number)
            if len(folded.states) > MOST_STATES:
                raise PatternError("these are too many patterns together; take some away")
        self._plain, self._folded = Matcher(plain), Matcher(folded)

    def find(self, folded: str, plain: str, budget: int) -> Word | None:
        if self._exact:
            for found in _WORD.finditer(folded):
                if (word := self._exact.get(found[0])) is not None:
                    return word
        number = self._folded.search(folded, budget)
        if number is None and plain != folded:
            number = self._plain.search(plain, budget)
        return None if number is None else self._words[number]


__all__ = ["OutOfTimeError", "Word", "WordAction", "WordFilter", "WordKind", "check_word", "fold"]
