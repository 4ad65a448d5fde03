"""Regular expressions that cannot be slow: parsed here into a machine that is in all its states at once.

Moderators write the patterns and strangers the texts, so neither may decide how long a search takes. Python's `re` goes
back and tries again, which is exponential for `(a+)+$`; this goes over the text once (Thompson's construction). The
price is that there are no back-references and no look-around.

What there is: `.` `[…]` `[^…]` `\\d \\w \\s \\D \\W \\S` `\\b \\B` `^ $ \\A \\Z` `(…)` `(?:…)` `|` `* + ?`
`{n} {n,} {n,m}` and escapes. Letters match in either case. `$` is the end of the text.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

LONGEST_PATTERN: Final = 200
"""Characters of one pattern."""
MOST_STATES: Final = 1000
"""States of one pattern: what repetitions of repetitions come to."""
_MOST_REPEATS: Final = 500
_DEEPEST: Final = 40

Assertion = Literal["start", "end", "edge", "inside"]
"""Beginning and end of the text, edge of a word, no edge of a word."""


class PatternError(ValueError):
    """This is no pattern; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Chars:
    """A set of characters: ranges, and classes as predicates."""

    ranges: tuple[tuple[str, str], ...] = ()
    classes: tuple[Callable[[str], bool], ...] = ()
    negated: bool = False

    def __contains__(self, character: str) -> bool:
        """`character` is of a text that was case-folded, so an upper-case range means the lower-case letters too."""
        return self._has(character) != self.negated

    def _has(self, character: str) -> bool:
        upper = character.upper()
        return any(low <= character <= high or low <= upper <= high for low, high in self.ranges) or any(
            matches(character) for matches in self.classes
        )


@dataclass(slots=True)
class State:
    """One state: it takes a character, or goes on by itself (under an assertion, if there is one)."""

    chars: Chars | None = None
    next: list[int] = field(default_factory=list)
    assertion: Assertion | None = None


@dataclass(slots=True)
class Machine:
    """States by number; `found[n]` says which pattern is found when state n is reached."""

    states: list[State] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    found: dict[int, int] = field(default_factory=dict)

    def add(self, tree: "Node", pattern: int) -> None:
        """One more pattern. Raises `PatternError` when it comes to too many states."""
        builder = _Builder(self.states)
        start, end = builder.build(tree)
        self.starts.append(start)
        self.found[end] = pattern


# -- trees


@dataclass(frozen=True, slots=True)
class One:
    """One character of a set."""

    chars: Chars


@dataclass(frozen=True, slots=True)
class Assert:
    """A place, not a character."""

    what: Assertion


@dataclass(frozen=True, slots=True)
class Row:
    """One after the other."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of them."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """So many times; `most` of None is without end."""

    part: "Node"
    least: int
    most: int | None


Node = One | Assert | Row | Either | Repeat


def literal(text: str) -> Row:
    """`text` as it stands."""
    return Row(tuple(One(Chars(((character, character),))) for character in text))


def is_word(character: str) -> bool:
    """Whether it belongs to a word."""
    return character.isalnum() or character == "_"


class _Builder:
    """Thompson's construction, into a list of states that may have others already."""

    def __init__(self, states: list[State]) -> None:
        self._states = states
        self._limit = len(states) + MOST_STATES

    def build(self, node: Node) -> tuple[int, int]:
        """First and last state of `node`."""
        match node:
            case One(chars):
                end = self._state(State())
                return self._state(State(chars, [end])), end
            case Assert(what):
                end = self._state(State())
                return self._state(State(None, [end], what)), end
            case Row(parts):
                start = end = self._state(State())
                for part in parts:
                    first, last = self.build(part)
                    self._states[end].next.append(first)
                    end = last
                return start, end
            case Either(parts):
                start, end = self._state(State()), self._state(State())
                for part in parts:
                    first, last = self.build(part)
                    self._states[start].next.append(first)
                    self._states[last].next.append(end)
                return start, end
            case Repeat():
                return self._repeat(node)

    def _repeat(self, node: Repeat) -> tuple[int, int]:
        start = end = self._state(State())
        for _ in range(node.least):
            first, last = self.build(node.part)
            self._states[end].next.append(first)
            end = last
        if node.most is None:
            first, last = self.build(node.part)
            after = self._state(State())
            self._states[end].next += [first, after]
            self._states[last].next += [first, after]
            return start, after
        after = self._state(State())
        for _ in range(node.most - node.least):
            self._states[end].next.append(after)
            first, last = self.build(node.part)
            self._states[end].next.append(first)
            end = last
        self._states[end].next.append(after)
        return start, after

    def _state(self, state: State) -> int:
        if len(self._states) >= self._limit:
            raise PatternError("this pattern is too large; repeat less in it")
        self._states.append(state)
        return len(self._states) - 1


# -- the parser

_ANY: Final = Chars((("\n", "\n"),), negated=True)
_CLASSES: Final[dict[str, Callable[[str], bool]]] = {
    "d": str.isdecimal,
    "w": is_word,
    "s": str.isspace,
    "D": lambda character: not character.isdecimal(),
    "W": lambda character: not is_word(character),
    "S": lambda character: not character.isspace(),
}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_PLACES: Final[dict[str, Assertion]] = {"b": "edge", "B": "inside", "A": "start", "Z": "end"}


def parse(text: str) -> Node:
    """The tree of a pattern. Raises `PatternError`."""
    if len(text) > LONGEST_PATTERN:
        raise PatternError(f"a pattern has at most {LONGEST_PATTERN} characters")
    return _Parser(text.removeprefix("(?i)")).parse()


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._either()
        if self._at < len(self._text):
            raise self._error("a ) without its (")
        return node

    def _either(self) -> Node:
        parts = [self._row()]
        while self._take("|"):
            parts.append(self._row())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _row(self) -> Node:
        parts = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated())
        return parts[0] if len(parts) == 1 else Row(tuple(parts))

    def _repeated(self) -> Node:
        node = self._atom()
        count = self._count()
        if count is None:
            return node
        if isinstance(node, Assert):
            raise self._error("nothing to repeat")
        self._take("?")  # lazy or not, what is found is the same
        if (self._peek() and self._peek() in "*+?") or (self._at < len(self._text) and self._braces() is not None):
            raise self._error("repeated twice; put ( ) around it")
        return Repeat(node, *count)

    def _count(self) -> tuple[int, int | None] | None:
        if self._take("*"):
            return 0, None
        if self._take("+"):
            return 1, None
        if self._take("?"):
            return 0, 1
        found = self._braces()
        if found is None:
            return None
        least, most, self._at = found
        if least > _MOST_REPEATS or (most is not None and (most > _MOST_REPEATS or most < least)):
            raise self._error(f"a count goes from the smaller to the larger number, to {_MOST_REPEATS} at most")
        return least, most

    def _braces(self) -> tuple[int, int | None, int] | None:
        """`{n}`, `{n,}`, `{,m}` or `{n,m}` here, and where it ends; other braces stand for themselves."""
        end = self._text.find("}", self._at) if self._peek() == "{" else -1
        if end < 0:
            return None
        least, comma, most = self._text[self._at + 1 : end].partition(",")
        if not all(part == "" or (part.isascii() and part.isdecimal()) for part in (least, most)):
            return None
        if not least and not most:
            return None
        low = int(least or 0)
        return low, (int(most) if most else None) if comma else low, end + 1

    def _atom(self) -> Node:
        character = self._text[self._at]
        self._at += 1
        match character:
            case "(":
                return self._group()
            case "[":
                return One(self._set())
            case ".":
                return One(_ANY)
            case "^":
                return Assert("start")
            case "$":
                return Assert("end")
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise self._error("nothing to repeat")
            case _:
                return _character(character)

    def _group(self) -> Node:
        if self._take("?"):
            if self._take("P<"):
                end = self._text.find(">", self._at)
                if end < 0:
                    raise self._error("a name of a group ends with >")
                self._at = end + 1
            elif not self._take(":"):
                raise self._error("groups with (? are (?:…) only; there is no look-around here")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error("too many groups in groups")
        node = self._either()
        self._depth -= 1
        if not self._take(")"):
            raise self._error("a ( without its )")
        return node

    def _escape(self) -> Node:
        character = self._escaped()
        if character in _PLACES:
            return Assert(_PLACES[character])
        if character in _CLASSES:
            return One(Chars(classes=(_CLASSES[character],)))
        if character.isascii() and character.isdecimal():
            raise self._error("there are no back-references here")
        return _character(self._plain(character))

    def _set(self) -> Chars:
        negated = self._take("^")
        ranges: list[tuple[str, str]] = []
        classes: list[Callable[[str], bool]] = []
        first = True
        while first or not self._take("]"):
            first = False
            low = self._member()
            if low in _SET_CLASSES:
                classes.append(_SET_CLASSES[low])
                continue
            if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("", "]"):
                self._at += 1
                high = self._member()
                if high in _SET_CLASSES or high < low:
                    raise self._error("a range goes from the smaller to the larger character")
                ranges.append((low, high))
            else:
                ranges.append((low, low))
        # Both cases of what stands there alone, since texts are case-folded.
        ranges += [(folded, folded) for low, high in ranges if low == high and len(folded := low.casefold()) == 1]
        return Chars(tuple(ranges), tuple(classes), negated)

    def _member(self) -> str:
        """One character of a set; of a class, its name with a backslash."""
        if self._at >= len(self._text):
            raise self._error("a [ without its ]")
        character = self._text[self._at]
        self._at += 1
        if character != "\\":
            return character
        character = self._escaped()
        if character in _CLASSES:
            return "\\" + character
        return "\b" if character == "b" else self._plain(character)

    def _escaped(self) -> str:
        if self._at >= len(self._text):
            raise self._error("a \\ at the end")
        self._at += 1
        return self._text[self._at - 1]

    def _plain(self, character: str) -> str:
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character.isascii() and character.isalnum():
            raise self._error(f"there is no \\{character} here")
        return character

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _error(self, text: str) -> PatternError:
        return PatternError(f"{text} (at character {min(self._at, len(self._text))})")


_SET_CLASSES: Final = {"\\" + name: matches for name, matches in _CLASSES.items()}


def _character(character: str) -> Node:
    folded = character.casefold()
    return literal(folded) if len(folded) != 1 else One(Chars(((folded, folded),)))
