"""What a room remembers: history, resuming, deletions, people, bans."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ghostlive.chat.message import Message
from ghostlive.chat.people import Author, People
from ghostlive.chat.room import DELETIONS, Room, kept
from ghostlive.db.chat import StreamKey

AT = datetime(2026, 1, 2, tzinfo=UTC)
ANN, BOB = Author("g_a", "Ann"), Author("g_b", "Bob")


def _message(number: int) -> Message:
    return Message(number, ANN, txn=f"t{number}", text=f"m{number}", sent_at=AT, quote=None)


def _room(history: int = 3) -> Room:
    return Room("demo", StreamKey(1, AT), history=history)


def _ids(messages: list[Message]) -> list[int]:
    return [message.id for message in messages]


def test_a_room_shows_the_last_and_reaches_back_as_far_as_it_keeps() -> None:
    room = _room()
    size = kept(3)
    for number in range(1, size + 11):
        room.add(_message(number))
    assert _ids(room.last()) == [size + 8, size + 9, size + 10]
    assert room.seq == size + 10
    assert room.since(9) is None
    news = room.since(10)
    assert news is not None
    assert _ids(news[0]) == list(range(11, size + 11))
    assert room.since(size + 10) == ([], [])
    assert room.since(size + 11) is None
    assert room.get(10) is None
    assert room.known("g_a", "t10") is None
    assert room.known("g_a", f"t{size}") == size


def test_an_empty_room_resumes_anybody_who_has_seen_nothing() -> None:
    room = _room()
    room.load([], [], [])
    assert room.since(0) == ([], [])
    assert room.since(1) is None
    assert room.last() == []


def test_a_room_without_history() -> None:
    room = _room(0)
    room.add(_message(1))
    assert room.last() == []
    assert room.seq == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=150), st.integers(0, 3))
def test_a_page_that_resumes_from_anywhere_has_what_the_room_has(acts: list[tuple[bool, int]], history: int) -> None:
    """And a room that is loaded anew answers like one that was there all the time."""
    room = _room(history)
    alive: list[int] = []
    gone: list[tuple[int, int]] = []
    states: dict[int, set[int]] = {0: set()}
    for seq, (delete, which) in enumerate(acts, 1):
        if delete and alive:
            victim = alive.pop(which % len(alive))
            gone.append((seq, victim))
            room.delete(seq, [victim])
        else:
            alive.append(seq)
            room.add(_message(seq))
        states[seq] = set(alive)
    loaded = _room(history)
    limit = kept(history)
    loaded.load([_message(number) for number in alive[-limit:]], gone[-DELETIONS:], [])
    assert _ids(loaded.last()) == _ids(room.last()) == (alive[-history:] if history else [])
    for seq, state in states.items():
        for answer in (room.since(seq), loaded.since(seq)):
            if answer is not None:
                said, deleted = answer
                assert (state - set(deleted)) | set(_ids(said)) == set(alive)
                assert not state & set(_ids(said))
    assert room.since(len(acts)) == ([], [])


def test_more_deletions_than_are_remembered() -> None:
    room = _room()
    for seq in range(1, DELETIONS + 50):
        room.delete(seq, [seq + 5000])
    assert room.since(48) is None
    assert room.since(49) is not None
    room.delete(DELETIONS + 50, list(range(2 * DELETIONS)))
    assert room.since(DELETIONS + 49) is None
    assert room.since(DELETIONS + 50) == ([], [])


def test_old_messages_are_forgotten() -> None:
    room = _room()
    room.add(_message(1))
    room.forget(AT)
    assert _ids(room.last()) == [1]
    room.forget(AT + timedelta(seconds=1))
    assert room.last() == []
    assert room.since(0) == ([], [])


def test_people_are_counted_once_and_hold_their_names() -> None:
    people = People()
    for author in (ANN, ANN, BOB, None, None):
        people.arrive(author)
    assert len(people) == 4
    assert sorted(author.name for author in people) == ["Ann", "Bob"]
    assert people.holder("ANN.") == "g_a"
    people.depart(ANN)
    people.depart(None)
    assert (len(people), people.holder("ann")) == (3, "g_a")
    people.rename(Author("g_a", "Anna"))
    assert (people.holder("ann"), people.holder("anna")) == (None, "g_a")
    people.rename(Author("g_x", "Nobody"))
    people.depart(ANN)
    assert (len(people), people.holder("anna")) == (2, None)
    people.arrive(Author("u_1", "bob"))  # an account may have a guest's name
    people.depart(BOB)
    people.depart(Author("u_1", "bob"))
    people.depart(None)
    assert len(people) == 0
    assert list(people) == []
