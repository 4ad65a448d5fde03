"""Each rule, with the reason that its author is told, and who is exempt."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.chat.identity import Origin
from ghostlive.chat.moderation.errors import BadRulesError
from ghostlive.chat.moderation.pipeline import Pipeline, has_link
from ghostlive.chat.moderation.rules import Rules, from_full
from ghostlive.chat.moderation.state import Moderator, RoomState, Trusted
from ghostlive.chat.moderation.verdict import Hold, Refusal
from ghostlive.chat.moderation.words import Word
from ghostlive.chat.people import Author, Role, Visitor

NOW = datetime(2026, 1, 2, tzinfo=UTC)
Say = Callable[..., str]


class Room:
    """A pipeline and one room's state, with a clock that is a number."""

    def __init__(self, **rules: object) -> None:
        self.state = RoomState()
        self.set(rules)
        self.pipeline = Pipeline()
        self.now = 1000.0

    def set(self, rules: dict[str, object]) -> None:
        """These rules change."""
        changed = self.state.rules.change(rules)
        self.state.set(changed, self.state.filter_of(changed))

    def visitor(self, author: str = "g_ann", role: Role = Role.GUEST, mxid: str | None = None) -> Visitor:
        origin = Origin.__new__(Origin)  # nobody looks at it here
        visitor = Visitor(origin, author=Author(author, "Ann", role, mxid), moderates=role is not Role.GUEST)
        visitor.media_since = lambda: 0.0
        return visitor

    def say(self, text: str, visitor: Visitor | None = None, kind: str = "text", html: str | None = None) -> str:
        """The code of the refusal, `held`, or nothing."""
        verdict = self.pipeline.check(self.state, visitor or self.visitor(), text, kind=kind, now=self.now, html=html)
        if isinstance(verdict, Refusal):
            assert str(verdict.error)
            return verdict.error.code
        return "held" if isinstance(verdict, Hold) else ""


def test_without_rules_everything_may_be_said() -> None:
    room = Room()
    assert room.state.idle
    assert room.say("HTTPS://EXAMPLE.COM IS ALL CAPITALS") == ""


def test_read_only() -> None:
    room = Room(readonly=True)
    room.state.trusted["g_ann"] = Trusted("g_ann", "Ann", "mo", NOW)
    assert room.say("hello") == "read_only"
    assert room.say("hello", room.visitor("u_1", Role.MODERATOR)) == ""
    assert room.say("hello", room.visitor("u_2", Role.STREAMER)) == ""


def test_slow_mode_counts_what_was_said_only() -> None:
    room = Room(slow=10, links=False)
    assert room.say("x.com") == "links"
    assert room.say("one") == ""
    room.now += 4
    verdict = room.pipeline.check(room.state, room.visitor(), "two", kind="text", now=room.now)
    assert isinstance(verdict, Refusal)
    assert verdict.error.retry_after == pytest.approx(6, abs=0.2)
    assert room.say("two", room.visitor("g_bob")) == ""
    room.now += 6
    assert room.say("two") == ""
    room.set({"links": True})
    assert room.say("three") == "slow_mode", "another rule does not begin slow mode anew"


def test_who_has_watched_for_long_enough_may_write() -> None:
    room = Room(followers=2)
    ann = room.visitor()
    assert room.say("hello", ann) == "watch_longer"
    for _ in range(5):
        room.pipeline.alive(room.state, ann, room.now, playing=True)
        room.now += 30
    assert room.say("hello", ann) == ""
    # Two pages of one person do not watch twice, and pauses do not count.
    bob, other = room.visitor("g_bob"), room.visitor("g_bob")
    for _ in range(3):
        room.pipeline.alive(room.state, bob, room.now, playing=True)
        room.pipeline.alive(room.state, other, room.now, playing=True)
        room.now += 30
    room.pipeline.alive(room.state, other, room.now, playing=True)
    assert room.state.watched["g_bob"] == pytest.approx(90)
    room.now += 3600
    room.pipeline.alive(room.state, bob, room.now, playing=True)
    assert room.state.watched["g_bob"] <= 90 + 45


def test_who_only_says_that_they_watch_does_not() -> None:
    room = Room(followers=1)
    nobody = Visitor(Origin.__new__(Origin))
    ann = room.visitor()
    got: list[float | None] = [None]
    for visitor in (nobody, ann):
        visitor.media_since = lambda: got[0]
    for _ in range(10):
        for visitor in (nobody, ann):
            room.pipeline.alive(room.state, visitor, room.now, playing=True)
        room.now += 30
    nobody.author = Author("g_new", "New")
    assert room.say("hello", nobody) == "watch_longer"
    assert room.say("hello", ann) == "watch_longer"
    assert room.state.watched == {}
    # Only what they got counts, not what they say of the time before.
    got[0] = room.now - 10
    room.pipeline.alive(room.state, ann, room.now, playing=True)
    assert room.state.watched["g_ann"] == pytest.approx(10)
    room.now += 30
    got[0] = None
    room.pipeline.alive(room.state, ann, room.now, playing=True)
    assert room.state.watched["g_ann"] == pytest.approx(10)


def test_what_was_watched_before_the_name_counts() -> None:
    room = Room(followers=1)
    nobody = Visitor(Origin.__new__(Origin))
    nobody.media_since = lambda: 0.0
    for _ in range(3):
        room.pipeline.alive(room.state, nobody, room.now, playing=True)
        room.now += 30
    nobody.author = Author("g_new", "New")
    assert room.say("hello", nobody) == ""
    assert room.state.watched["g_new"] == pytest.approx(60, abs=31)


def test_users_of_matrix_are_here_since_they_were_heard_of() -> None:
    room = Room(followers=1)
    visitor = room.visitor("m_x", mxid="@a:b")
    assert room.say("hello", visitor) == "watch_longer"
    room.now += 61
    assert room.say("hello", visitor) == ""


@pytest.mark.parametrize("text", ["😀", "😀 👍🏽 :wave:", ":a_b-1:", "1️⃣ 🏴\U000e0067\U000e0062\U000e007f", "👨‍👩‍👧 ❤️"])
def test_emotes_only(text: str) -> None:
    room = Room(emotes=True)
    assert room.say(text) == ""
    assert room.say(text + " hello") == "emotes_only"
    assert room.say("a", kind="sticker") == ""
    assert room.say("😀", kind="image") == "emotes_only"


@pytest.mark.parametrize(
    "text",
    [
        "https://a.b/c",
        "HTTP://X",
        "see www.example.org",
        "example.com",
        "bit.ly/abc",
        "ftp://x",
        "example[.]com",
        "example(dot)com",
        "example．com",
        "a sub.domain.example.co now",
        "mailto:a@b.c",
        "magnet:?xt",
    ],
)
def test_links_off(text: str) -> None:
    room = Room(links=False)
    assert room.say(text) == "links"
    assert room.say("click", html='<a href="https://x.y">click</a>') == "links"
    assert room.say("hello", html="<b>exa</b>mple.com") == "links"


@pytest.mark.parametrize(
    "text", ["hello.", "e.g. this", "1.5", "v2.0.1", "what...no", "12:30", "a:b", "end.Then", "😀"]
)
def test_what_is_no_link(text: str) -> None:
    assert not has_link(text)


@given(st.text("ab./:-@ww", max_size=300))
def test_looking_for_links_never_fails(text: str) -> None:
    has_link(text)


def test_capitals() -> None:
    room = Room(caps=50)
    assert room.say("WHY IS NOBODY LISTENING") == "caps"
    assert room.say("OK LOL") == ""
    assert room.say("Why Is Nobody Listening") == ""
    assert room.say("为什么没有人听我说话呢朋友") == ""


def test_words_in_the_text_or_behind_it() -> None:
    room = Room(words=[{"text": "bad"}, {"text": "maybe", "action": "hold"}])
    assert room.say("so BÁD") == "word"
    assert room.say("good", html="<b>b</b>ad") == "word"
    assert room.say("maybe") == "held"
    assert room.say("maybe bad") == "word"
    assert room.say("fine", room.visitor("g_bob"), html="<i>fine</i>") == ""


def test_a_filter_that_is_too_slow_lets_nothing_through(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(words=[{"text": "(.*a.{40}b){3}", "kind": "regex"}])
    assert room.state.words is not None
    find = room.state.words.find
    monkeypatch.setattr(type(room.state.words), "find", lambda _self, text: find(text, 100))
    assert room.say("ab" * 100) == "held"


def test_duplicates() -> None:
    room = Room(duplicates=30)
    assert room.say("Hello") == ""
    room.now += 29
    assert room.say("hello") == "duplicate"
    assert room.say("hello", room.visitor("g_bob")) == ""
    assert room.say("other") == ""
    room.now += 1
    assert room.say("hello") == ""


def test_approve_first_and_the_shield() -> None:
    room = Room(approve=True)
    assert room.say("hello") == "held"
    room.state.trusted["g_ann"] = Trusted("g_ann", "Ann", "mo", NOW)
    assert room.say("hello") == ""
    before = Rules().change({"slow": 3})
    up = before.change({"shield": True})
    assert (up.effective().slow, up.effective().approve) == (10, True)
    assert up.change({"shield": False}) == before
    assert before.change({"slow": 60, "shield": True}).effective().slow == 60


def test_the_first_message_of_new_guests_waits() -> None:
    room = Room(guests="hold")
    assert room.say("hello") == "held"
    assert room.say("hello", room.visitor("m_x", mxid="@a:b")) == "held"
    assert room.say("hello", room.visitor("u_7")) == ""
    room.state.approved.add("g_ann")
    assert room.say("hello") == ""


def test_moderators_of_this_room_are_exempt() -> None:
    room = Room(readonly=True, slow=60)
    room.state.moderators["u_5"] = Moderator("u_5", "sam", "olga", NOW)
    room.state.moderators["@a:b"] = Moderator("@a:b", "@a:b", "olga", NOW)
    assert room.say("x", room.visitor("u_5")) == ""
    assert room.say("x", room.visitor("m_x", mxid="@a:b")) == ""
    assert room.say("x", room.visitor("m_y", mxid="@c:d")) == "read_only"


_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "slow": st.integers(0, 21600),
        "followers": st.integers(0, 10080),
        "approve": st.booleans(),
        "links": st.booleans(),
        "emotes": st.booleans(),
        "readonly": st.booleans(),
        "guests": st.sampled_from(["open", "hold", "work", "signin"]),
        "shield": st.booleans(),
        "duplicates": st.integers(0, 3600),
        "caps": st.integers(0, 100),
        "words": st.lists(st.fixed_dictionaries({"text": st.text("abc", min_size=1, max_size=5)}), max_size=3),
    },
)


@given(_CHANGES)
def test_rules_survive_being_stored(changes: dict[str, object]) -> None:
    rules = Rules().change(changes)
    assert from_full(rules.full()) == rules
    assert rules.change({}) == rules
    assert rules.change({"shield": not rules.shield}).change({"shield": rules.shield}) == rules


@given(st.dictionaries(st.sampled_from([*Rules.__dataclass_fields__, "other"]), st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.text(max_size=3), max_size=2)
), max_size=3))  # fmt: skip
def test_what_rules_cannot_be_is_refused_with_a_reason(changes: dict[str, object]) -> None:
    try:
        rules = Rules().change(changes)
    except BadRulesError:
        return
    RoomState().filter_of(rules)


def test_stored_rules_of_another_version() -> None:
    words = [{"text": "(", "kind": "regex"}, {"text": "bad"}, 7]
    stored = {"slow": 5, "unheard": 1, "caps": "x", "words": words}
    assert from_full(stored) == Rules(slow=5, words=(Word("bad"),))
