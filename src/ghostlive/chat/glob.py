"""Patterns of Matrix IDs as policy lists have them (Matrix specification, "Glob-style matching"): `*` is any number of
characters, `?` one. Strangers write the patterns, so matching takes at most their length times that of the text.
"""

import re
from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_WILD: Final = re.compile(r"[*?]")


def has_wildcards(pattern: str) -> bool:
    """Whether `pattern` may be for more than one text."""
    return "*" in pattern or "?" in pattern


def count_wildcards(pattern: str) -> int:
    """How many there are in it."""
    return pattern.count("*") + pattern.count("?")


def matches(pattern: str, text: str) -> bool:
    """Whether `text` as a whole is of the form of `pattern`."""
    at, place = 0, 0
    star, kept = -1, 0  # the last `*`, and where in the text what it stands for ends
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, kept = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            at += 1
            place += 1
        elif star >= 0:
            kept += 1
            at, place = kept, star + 1
        else:
            return False
    return not pattern[place:].strip("*")


class Glob:
    """A pattern that many texts are compared with: prepared once, and compared in a few searches for substrings."""

    __slots__ = ("_expression", "_head", "_middle", "_shortest", "_tail", "server")

    def __init__(self, pattern: str) -> None:
        """`pattern` has wildcards."""
        self._head = _WILD.split(pattern, maxsplit=1)[0]
        self._tail = pattern[max(pattern.rfind("*"), pattern.rfind("?")) + 1 :]
        parts = re.split(r"\*+", pattern)
        self._shortest = sum(map(len, parts))
        self._middle = parts[1:-1]
        self._expression = _compile(parts) if "?" in pattern else None
        self.server = self._tail.partition(":")[2]
        """What is behind the first colon of its end, as long as that has no wildcards; empty when there is none."""

    def matches(self, text: str) -> bool:
        """See `matches`."""
        if len(text) < self._shortest or not text.endswith(self._tail) or not text.startswith(self._head):
            return False
        if self._expression is not None:
            return self._expression.fullmatch(text) is not None
        at, end = len(self._head), len(text) - len(self._tail)
        for part in self._middle:
            at = text.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True


class Globs(Generic[K]):
    """Many patterns, found by a text that they match.

    Those whose end names a whole server are looked up by that (or by its port); the others are gone through.
    """

    __slots__ = ("_by_server", "_others")

    def __init__(self) -> None:
        self._by_server: dict[str, dict[K, Glob]] = {}
        self._others: dict[K, Glob] = {}

    def __len__(self) -> int:
        return len(self._others) + sum(map(len, self._by_server.values()))

    def add(self, key: K, pattern: str) -> None:
        """`pattern` has wildcards; there is none under that key yet."""
        glob = Glob(pattern)
        place = self._by_server.setdefault(glob.server, {}) if glob.server else self._others
        place[key] = glob

    def remove(self, key: K, pattern: str) -> None:
        """The opposite of `add`."""
        server = Glob(pattern).server
        if not server:
            del self._others[key]
            return
        del self._by_server[server][key]
        if not self._by_server[server]:
            del self._by_server[server]

    def find(self, text: str) -> Iterator[K]:
        """The keys of all patterns that match."""
        for key, glob in self._others.items():
            if glob.matches(text):
                yield key
        at = text.find(":")
        while self._by_server and at >= 0:
            if (theirs := self._by_server.get(text[at + 1 :])) is not None:
                for key, glob in theirs.items():
                    if glob.matches(text):
                        yield key
            at = text.find(":", at + 1)


def _compile(parts: list[str]) -> re.Pattern[str]:
    """What stands between two `*`, wherever it is found first, is not looked for again (atomic groups)."""
    first, *rest = ("".join("." if char == "?" else re.escape(char) for char in part) for part in parts)
    if not rest:
        return re.compile(first, re.DOTALL)
    *middle, last = rest
    return re.compile(first + "".join(f"(?>.*?{part})" for part in middle) + f".*{last}", re.DOTALL)
