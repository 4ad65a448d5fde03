"""The rules of one chat, as one value that never changes: whoever sets a rule makes another one.

Times are in seconds, but for `followers`, which is in minutes, as moderators say it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal, get_args

from ghostlive.chat.moderation.errors import BadRulesError
from ghostlive.chat.moderation.pattern import PatternError
from ghostlive.chat.moderation.words import Word, WordAction, WordKind, check_word

GuestRule = Literal["open", "hold", "work", "signin"]
"""What becomes of somebody new: they write, their messages wait, their browser works first, they sign in first."""

LONGEST_SLOW: Final = 6 * 3600
LONGEST_FOLLOWERS: Final = 7 * 24 * 60
LONGEST_DUPLICATES: Final = 3600
MOST_WORDS: Final = 500
SHIELD_SLOW: Final = 10.0
"""Seconds of slow mode behind the shield, unless it is slower already."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be said here, and by whom."""

    slow: float = 0
    """Seconds between two messages of one person; 0 without."""
    followers: int = 0
    """Minutes that somebody must have watched before they write; 0 without."""
    approve: bool = False
    """Each message waits until a moderator lets it through."""
    links: bool = True
    """Whether links may be sent."""
    emotes: bool = False
    """Nothing but emotes, emoji and stickers."""
    readonly: bool = False
    """Only who moderates writes."""
    guests: GuestRule = "open"
    shield: bool = False
    """Slow, approve first and no new names, over whatever else is set; taken off, all is as it was."""
    duplicates: int = 0
    """Seconds in which nobody says the same twice; 0 without."""
    caps: int = 0
    """Most capital letters among the letters of a message, in percent; 0 without a limit."""
    words: tuple[Word, ...] = ()
    """What is refused or held when it occurs."""

    def json(self) -> dict[str, Any]:
        """As every page sees them: without the words, which nobody shall learn from here."""
        return {
            "slow": self.slow,
            "followers": self.followers,
            "approve": self.approve,
            "links": self.links,
            "emotes": self.emotes,
            "readonly": self.readonly,
            "guests": self.guests,
            "shield": self.shield,
        }

    def full(self) -> dict[str, Any]:
        """As moderators see them, and as they are stored."""
        return {**asdict(self), "words": [asdict(word) for word in self.words]}

    def effective(self) -> "Rules":
        """What the pipeline goes by: with the shield up, slower and stricter than what is set."""
        if not self.shield:
            return self
        return replace(self, slow=max(self.slow, SHIELD_SLOW), approve=True)

    @property
    def plain(self) -> bool:
        """Whether there is nothing to check."""
        return replace(self, guests="open") == _PLAIN and self.guests != "hold"

    def change(self, changes: Mapping[str, Any]) -> "Rules":
        """With some of them set anew, as a moderator sent it. Raises `BadRulesError`, which says what is wrong."""
        unknown = sorted(set(changes) - _NAMES)
        if unknown:
            raise BadRulesError(f"There is no rule {unknown[0][:40]!r}; there are {', '.join(sorted(_NAMES))}.")
        return replace(self, **{name: _CHECKS[name](name, value) for name, value in changes.items()})


def from_full(members: Mapping[str, Any]) -> Rules:
    """Rules as they were stored. What this version does not know, or cannot read, is left at its default."""
    rules = Rules()
    for name, value in members.items():
        for part in value if name == "words" and isinstance(value, list) else [value]:
            try:
                rules = rules.change({name: [*rules.words, part] if name == "words" else part})
            except BadRulesError:
                continue
    return rules


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadRulesError(f"{name} is on or off (true or false).")
    return value


def _number(longest: float, unit: str) -> Any:
    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= longest:
            raise BadRulesError(f"{name} is a number of {unit}, from 0 (off) to {longest}.")
        return value

    return check


def _whole(longest: int, unit: str) -> Any:
    number = _number(longest, unit)
    return lambda name, value: int(number(name, value))


def _guests(name: str, value: Any) -> GuestRule:
    if value not in get_args(GuestRule):
        raise BadRulesError(f"{name} is one of {', '.join(get_args(GuestRule))}.")
    return value  # type: ignore[no-any-return]  # checked in the line above


def _words(name: str, value: Any) -> tuple[Word, ...]:
    if not isinstance(value, list | tuple) or len(value) > MOST_WORDS:
        raise BadRulesError(f"{name} is a list of at most {MOST_WORDS} words and patterns.")
    return tuple(dict.fromkeys(_word(item) for item in value))


def _word(item: Any) -> Word:
    if isinstance(item, Word):
        return item
    if not isinstance(item, Mapping):
        raise BadRulesError('Each of words is {"text", "kind", "action"}.')
    text, kind, action = item.get("text"), item.get("kind", "exact"), item.get("action", "refuse")
    if kind not in get_args(WordKind) or action not in get_args(WordAction) or not isinstance(text, str):
        raise BadRulesError('Each of words has a text, a kind (exact, glob, regex) and an action ("refuse", "hold").')
    word = Word(text.strip(), kind, action)
    try:
        check_word(word)
    except PatternError as error:
        raise BadRulesError(f"{text[:80]!r}: {error}") from error
    return word


_CHECKS: Final = {
    "slow": _number(LONGEST_SLOW, "seconds"),
    "followers": _whole(LONGEST_FOLLOWERS, "minutes"),
    "approve": _flag,
    "links": _flag,
    "emotes": _flag,
    "readonly": _flag,
    "guests": _guests,
    "shield": _flag,
    "duplicates": _whole(LONGEST_DUPLICATES, "seconds"),
    "caps": _whole(100, "percent"),
    "words": _words,
}
_NAMES: Final = frozenset(field.name for field in fields(Rules))
_PLAIN: Final = Rules()
