"""What every message goes through before it is stored, from whatever side it comes: the rules of its room, one by one.

Synchronous and in memory. A rule answers with a reason that the author is told. What is counted (slow mode, what was
said already) is counted when nothing stands against a message. Time is monotonic. Who moderates is exempt from
everything, who is trusted from everything but read-only.
"""

import re
import unicodedata
from typing import Final

from ghostlive.chat.errors import RefusalError
from ghostlive.chat.moderation.errors import (
    CapsError,
    DuplicateError,
    EmotesOnlyError,
    LinksError,
    ReadOnlyError,
    SlowError,
    WatchLongerError,
    WordError,
)
from ghostlive.chat.moderation.rules import Rules
from ghostlive.chat.moderation.state import REMEMBERED, RoomState
from ghostlive.chat.moderation.verdict import Hold, Refusal, Verdict
from ghostlive.chat.moderation.words import OutOfTimeError, fold
from ghostlive.chat.people import Author, Visitor

READ_ONLY: Final = "Only moderators write here at the moment."
APPROVE: Final = "Here, each message waits until a moderator lets it through."
SHIELDED: Final = "For the moment, each message waits until a moderator lets it through."
NEWCOMER: Final = "You are new here, so your message waits until a moderator lets it through."
WORDS: Final = "Your message waits for a moderator, because of a word in it."
SLOW_FILTER: Final = "Your message waits for a moderator, since it could not be checked quickly."

_FEWEST_LETTERS: Final = 8
"""Letters below which capitals do not matter: "OK", "LOL"."""
_ALIVE: Final = 45.0
"""Most seconds that one "I am watching" stands for; pages say it every 30."""

_DOMAINS: Final = (
    "com|net|org|info|biz|io|co|me|tv|gg|ly|app|dev|xyz|site|online|shop|store|live|stream|club|top|link|click|fun|ru|su"
    "|cn|de|uk|fr|it|es|pl|nl|be|ch|at|eu|us|ca|au|br|jp|kr|in|ir|tk|ml|cf|ga|gq|to|cc|ws|vip|pro|icu|bet|casino|porn|xxx"
    "|sex|cam|chat|ai|gl|be|id|tr|ua|cz|se|no|fi|dk|pt|gr|ro|hu|mx|ar|vn|th|sg|hk|tw|za|nz|ie"
)
# Each begins where no longer one could have begun, so a search is linear.
_LINK: Final = re.compile(
    rf"(?<![\w+.-])[a-z][a-z0-9+.-]{{1,20}}://\S|(?<![\w.-])www\.\w|(?<![\w.-])[\w-]{{1,63}}(?:\.[\w-]{{1,63}}){{0,8}}"
    rf"(?:\.|\(dot\)|\[\.\])(?:{_DOMAINS})(?![\w-])|(?<!\w)(?:mailto|magnet|tel|matrix):\S"
)
_EMOJI: Final = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2934\u2935\u2b00-\u2bff"
    "\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
    "\u200d\ufe0e\ufe0f\u20e3\U000e0020-\U000e007f"  # what joins and changes them
)
_EMOTES: Final = re.compile(rf"(?::[\w+-]{{1,64}}:|[0-9#*]\ufe0f?\u20e3|[{_EMOJI}]|\s)+")
_TAG: Final = re.compile(r"<[^<>]*>")


class Pipeline:
    """The rules of all rooms. One for a server."""

    def check(
        self, state: RoomState, visitor: Visitor, text: str, *, kind: str, now: float, html: str | None = None
    ) -> Verdict:
        """What becomes of a message. `now` is monotonic; see `Reviewer.review`."""
        author = visitor.author
        if state.idle or author is None or visitor.moderates or state.moderates(author):
            return None
        rules = state.effective
        if rules.readonly:
            return Refusal(ReadOnlyError(READ_ONLY))
        if author.id in state.trusted:
            return None
        refusal = (
            self._watched(state, rules, visitor, author, now)
            or _emotes(rules, text, kind)
            or _links(rules, text, html)
            or _caps(rules, text)
        )
        if refusal is not None:
            return Refusal(refusal)
        verdict = _words(state, text, html)
        if isinstance(verdict, Refusal):
            return verdict
        key = (author.id, fold(text) if kind != "image" else "")
        refusal = _said(state, rules, key, now) or _slow(state, rules, author, now)
        if refusal is not None:
            return Refusal(refusal)
        state.slow.take(author.id, now)
        if rules.duplicates and key[1]:
            state.said.pop(key, None)
            state.said[key] = now
            if len(state.said) > REMEMBERED:
                del state.said[next(iter(state.said))]
        if rules.approve:
            return Hold(SHIELDED if rules.shield else APPROVE)
        if verdict is None and rules.guests == "hold" and author.id[:2] != "u_" and author.id not in state.approved:
            return Hold(NEWCOMER)
        return verdict

    def check_reaction(self, state: RoomState, visitor: Visitor) -> Verdict:
        """What becomes of a reaction. It has no words, so of all rules only read-only is for it."""
        author = visitor.author
        if not state.effective.readonly or author is None or visitor.moderates or state.moderates(author):
            return None
        return Refusal(ReadOnlyError(READ_ONLY))

    def unwelcome(self, state: RoomState, name: str) -> bool:
        """Whether a name has a word in it that is refused, or a link where those are off."""
        verdict = _words(state, name, None)
        return isinstance(verdict, Refusal) or (not state.effective.links and has_link(name))

    def alive(self, state: RoomState, visitor: Visitor, now: float, *, playing: bool) -> None:
        """A page says whether it plays; that counts as far as its player really got media (`Visitor.media_since`).

        Several pages of one person count as one.
        """
        person = visitor.id
        if not playing:
            visitor.alive_at = None
            return
        if person is None:
            if visitor.alive_at is not None:
                visitor.watched += _got(visitor, visitor.alive_at, now)
            visitor.alive_at = now
            return
        last = state.watching.pop(person, visitor.alive_at)
        self._add(state, person, visitor.watched + (0.0 if last is None else _got(visitor, last, now)))
        visitor.watched, visitor.alive_at = 0.0, now
        state.watching[person] = now
        if len(state.watching) > REMEMBERED:
            del state.watching[next(iter(state.watching))]

    def watched(self, state: RoomState, visitor: Visitor, author: Author, now: float) -> float:
        """Seconds for which somebody has watched; of a user of Matrix, since they were first heard of here."""
        if visitor.watched:
            self._add(state, author.id, visitor.watched)
            visitor.watched = 0.0
        seconds = state.watched.get(author.id, 0.0)
        if author.id.startswith("m_"):
            seconds += now - state.watching.setdefault(author.id, now)
        elif visitor.alive_at is not None:
            seconds += _got(visitor, state.watching.get(author.id, visitor.alive_at), now)
        return seconds

    def _add(self, state: RoomState, person: str, seconds: float) -> None:
        if not seconds:
            return
        state.watched[person] = state.watched.pop(person, 0.0) + seconds
        state.watched_news.add(person)
        if len(state.watched) > REMEMBERED:
            gone = next(iter(state.watched))
            del state.watched[gone]
            state.watched_news.discard(gone)

    def _watched(
        self, state: RoomState, rules: Rules, visitor: Visitor, author: Author, now: float
    ) -> RefusalError | None:
        if not rules.followers:
            return None
        missing = 60.0 * rules.followers - self.watched(state, visitor, author, now)
        if missing <= 0:
            return None
        minutes = f"{rules.followers} minute{'s' if rules.followers > 1 else ''}"
        return WatchLongerError(
            f"Who writes here has watched for {minutes}. You can soon.", float(round(missing + 0.5))
        )


def _got(visitor: Visitor, last: float, now: float) -> float:
    """Seconds since their page said so last in which, as the server knows, their player got media."""
    since = visitor.media_since()
    return 0.0 if since is None else min(max(now - max(last, since), 0.0), _ALIVE)


def _emotes(rules: Rules, text: str, kind: str) -> RefusalError | None:
    if not rules.emotes or kind == "sticker" or (kind != "image" and _EMOTES.fullmatch(text)):
        return None
    return EmotesOnlyError("Only emotes and emoji are welcome here at the moment.")


def _links(rules: Rules, text: str, html: str | None) -> RefusalError | None:
    if rules.links:
        return None
    if not has_link(text) and (html is None or ("<a " not in html and not has_link(_bare(html)))):
        return None
    return LinksError("Links cannot be sent here. Send your message without it.")


def has_link(text: str) -> bool:
    """Whether there is something in it that a reader, or their browser, would take for a link."""
    if "." not in text and ":" not in text and "(dot)" not in text and text.isascii():
        return False
    return _LINK.search((text if text.isascii() else unicodedata.normalize("NFKC", text)).lower()) is not None


def _caps(rules: Rules, text: str) -> RefusalError | None:
    if not rules.caps:
        return None
    letters = [character for character in text if character.isalpha()]
    capitals = sum(1 for letter in letters if letter.isupper())
    if len(letters) < _FEWEST_LETTERS or 100 * capitals <= rules.caps * len(letters):
        return None
    return CapsError("Those are too many capital letters. Write it in small ones.")


def _words(state: RoomState, text: str, html: str | None) -> Verdict:
    if state.words is None:
        return None
    held = False
    for part in (text,) if html is None else (text, _bare(html)):
        try:
            word = state.words.find(part)
        except OutOfTimeError:
            return Hold(SLOW_FILTER)
        if word is not None and word.action == "refuse":
            return Refusal(WordError("There is a word in it that is not welcome here. Send your message without it."))
        held = held or word is not None
    return Hold(WORDS) if held else None


def _said(state: RoomState, rules: Rules, key: tuple[str, str], now: float) -> RefusalError | None:
    at = state.said.get(key)
    if not rules.duplicates or at is None or now - at >= rules.duplicates:
        return None
    return DuplicateError("You have said that already.", round(rules.duplicates - (now - at) + 0.05, 1))


def _slow(state: RoomState, rules: Rules, author: Author, now: float) -> RefusalError | None:
    wait = state.slow.wait(author.id, now)
    if wait <= 0:
        return None
    return SlowError(f"Slow mode: one message every {rules.slow:g} seconds.", round(wait + 0.05, 1))


def _bare(html: str) -> str:
    """The words of sanitized HTML."""
    text = _TAG.sub("", html)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#39;", "'"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text
