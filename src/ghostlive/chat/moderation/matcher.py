"""Searches texts for many patterns at once, in one pass.

The states in which a machine (`pattern`) is together are remembered, with where each character led from there, so what
was seen before costs one look-up a character. Characters that no pattern tells apart count as one. How much is
remembered is bounded, and how much a search may cost: its `budget` counts states that were looked at, so it is the same
on every machine.
"""

from collections.abc import Iterable
from typing import Final

from ghostlive.chat.moderation.pattern import Assertion, Machine, State, is_word

BUDGET: Final = 100_000
"""States that one search may look at: some 20 ms."""
_REMEMBERED: Final = 2000
"""Sets of states."""
_CHARACTERS: Final = 8192

_Place = tuple[bool, bool, bool, bool]
"""Nothing came before; a word character came before; one comes next; nothing comes next."""


class OutOfTimeError(Exception):
    """A search came to more work than it may."""


class _Set:
    """States that a machine is in, before what goes on by itself, and what came before."""

    __slots__ = ("after", "led", "start", "states")

    def __init__(self, states: tuple[int, ...], *, start: bool, after: bool) -> None:
        self.states = states
        self.start = start
        self.after = after
        self.led: dict[str, tuple[_Set, int | None]] = {}
        """Where characters lead, and which pattern was found by then. The end of the text is ''."""


class _Starts:
    """Where all patterns begin, at one kind of place: looked up by their first character."""

    def __init__(self, machine: Machine, place: _Place) -> None:
        reached, self.found = _close(machine, machine.starts, place)
        self._by_character: dict[str, list[int]] = {}
        self._others: list[State] = []
        for state in reached:
            if (character := _only(state)) is not None:
                self._by_character.setdefault(character, []).extend(state.next)
            else:
                self._others.append(state)

    def led(self, character: str) -> tuple[set[int], int]:
        """Where `character` leads, and how many states were looked at."""
        led = set(self._by_character.get(character, ()))
        for state in self._others:
            if state.chars is not None and character in state.chars:
                led.update(state.next)
        return led, len(self._others) + 1


class Matcher:
    """One machine. Not for two threads at once."""

    def __init__(self, machine: Machine) -> None:
        """`machine` is complete."""
        self._machine = machine
        self._sets: dict[tuple[tuple[int, ...], bool, bool], _Set] = {}
        self._starts: dict[_Place, _Starts] = {}
        chars = [state.chars for state in machine.states if state.chars is not None]
        ranges = {each for one in chars for each in one.ranges}
        self._single = {low for low, high in ranges if low == high}
        self._wide = sorted(each for each in ranges if each[0] != each[1])
        self._symbols: dict[str, str] = {}
        self._kinds: dict[tuple[bool, ...], str] = {}

    def search(self, text: str, budget: int = BUDGET) -> int | None:
        """The number of a pattern that occurs in `text`, the first to be seen, of several the lowest; None without.

        `text` is case-folded. Raises `OutOfTimeError`.
        """
        if not self._machine.starts:
            return None
        at = self._set((), start=True, after=False)
        symbols = self._symbols
        for character in (*text, ""):
            symbol = symbols.get(character)
            if symbol is None:
                symbol = self._symbol(character)
            step = at.led.get(symbol)
            if step is None:
                following, found, cost = self._step(at, symbol)
                budget -= cost
                if budget < 0:
                    raise OutOfTimeError
                at.led[symbol] = (following, found)
            else:
                following, found = step
            if found is not None:
                return found
            at = following
        return None

    def _symbol(self, character: str) -> str:
        """The first character that was seen of those that no pattern tells from this one."""
        upper = character.upper()
        if character in self._single or upper in self._single or not character:
            symbol = character
        else:
            kind = (
                is_word(character),
                character.isdecimal(),
                character.isspace(),
                *(low <= character <= high or low <= upper <= high for low, high in self._wide),
            )
            symbol = self._kinds.setdefault(kind, character)
        if len(self._symbols) >= _CHARACTERS:
            self._symbols.clear()
        self._symbols[character] = symbol
        return symbol

    def _set(self, states: tuple[int, ...], *, start: bool, after: bool) -> _Set:
        key = (states, start, after)
        found = self._sets.get(key)
        if found is None:
            if len(self._sets) >= _REMEMBERED:
                self._sets.clear()
            found = self._sets[key] = _Set(states, start=start, after=after)
        return found

    def _step(self, at: _Set, character: str) -> tuple[_Set, int | None, int]:
        """Where `character` leads, what was found before it, and how many states were looked at."""
        place = (at.start, at.after, character != "" and is_word(character), character == "")
        starts = self._starts.get(place)
        if starts is None:
            starts = self._starts[place] = _Starts(self._machine, place)
        led, cost = starts.led(character)
        reached, pattern = _close(self._machine, at.states, place)
        for state in reached:
            if state.chars is not None and character and character in state.chars:
                led.update(state.next)
        if pattern is None or (starts.found is not None and starts.found < pattern):
            pattern = starts.found
        following = self._set(tuple(sorted(led)), start=False, after=place[2])
        return following, pattern, cost + len(reached)


def _close(machine: Machine, numbers: Iterable[int], place: _Place) -> tuple[list[State], int | None]:
    """All states that are reached from these without a character, and the lowest pattern that is found by that."""
    start, after, word, end = place
    holds: dict[Assertion | None, bool] = {
        None: True,
        "start": start,
        "end": end,
        "edge": after != word,
        "inside": after == word,
    }
    waiting, seen = list(numbers), set[int]()
    reached: list[State] = []
    pattern: int | None = None
    while waiting:
        number = waiting.pop()
        if number in seen:
            continue
        seen.add(number)
        if (ending := machine.found.get(number)) is not None and (pattern is None or ending < pattern):
            pattern = ending
        state = machine.states[number]
        reached.append(state)
        if state.chars is None and holds[state.assertion]:
            waiting += state.next
    return reached, pattern


def _only(state: State) -> str | None:
    """The character that leads on from here, when it is a single one."""
    chars = state.chars
    if chars is None or chars.negated or chars.classes or len(chars.ranges) != 1:
        return None
    [(low, high)] = chars.ranges
    return low if low == high else None
