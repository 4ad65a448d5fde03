"""Fan-out with members that are none: everybody gets everything once, in order, in short turns."""

import json
import random
from collections.abc import Callable

import pytest
from tests.support.chat import FakeConnection, unframe
from tests.support.clock import FakeClock

from ghostlive.chat.gateway.room import GONE, Fanout
from ghostlive.chat.moderation.acts import Act, Actor
from ghostlive.chat.people import Author


class _Member:
    def __init__(self, fanout: Fanout) -> None:
        self.connection = FakeConnection()
        self.write: Callable[[bytes], None] = self.connection.write
        self.place = GONE
        self.fanout = fanout
        self.slow = False
        self.author_id: str | None = None
        self.moderates = False
        self.told: list[str] = []

    def tell(self, text: str) -> None:
        self.told.append(text)

    def kicked(self, text: str) -> None:
        self.told.append(f"kicked: {text}")

    def renewed(self) -> None:
        self.told.append("renewed")

    @property
    def waiting(self) -> int:
        return self.connection.waiting

    def too_slow(self) -> None:
        self.slow = True
        self.fanout.remove(self)

    def close(self, code: int, reason: str) -> None:
        self.connection.close(code, reason)
        self.fanout.remove(self)

    def banned(self, ban: object) -> None: ...

    def lifted(self, ban: object) -> None: ...
    def listed(self) -> None: ...

    def got(self) -> list[str]:
        return unframe(b"".join(self.connection.written))


class _StepClock(FakeClock):
    """Fires one timer at a time."""

    def step(self) -> bool:
        due = [timer for timer in sorted(self._timers) if timer[2].callback is not None]
        if not due or due[0][0] > self.now():
            return False
        callback, due[0][2].callback = due[0][2].callback, None
        assert callback is not None
        callback()
        return True


@pytest.mark.parametrize("seed", range(20))
def test_everybody_gets_what_came_after_them_once_and_in_order(seed: int) -> None:
    dice = random.Random(seed)
    clock = _StepClock()
    fanout = Fanout(clock, waiting_bytes=1000, people=lambda: 0)
    members: dict[_Member, int] = {}
    left: dict[_Member, tuple[int, int]] = {}
    count = 0
    for _ in range(400):
        match dice.randrange(8):
            case 0 | 1:
                for _ in range(dice.choice([1, 1, 5, 300])):
                    member = _Member(fanout)
                    members[member] = count
                    fanout.add(member)
            case 2 if members:
                member = dice.choice(list(members))
                fanout.remove(member)
                left[member] = (members.pop(member), count)
            case 3 | 4 if fanout.members:
                fanout.broadcast(f"{count}")
                count += 1
            case _:
                clock.step()
    while clock.step():
        pass
    for member, begin in members.items():
        assert member.got() == [f"{number}" for number in range(begin, count)]
    for member, (begin, end) in left.items():
        got = member.got()
        assert got == [f"{number}" for number in range(begin, begin + len(got))]
        assert begin + len(got) <= end


def test_what_comes_during_a_round_is_joined() -> None:
    clock = _StepClock()
    fanout = Fanout(clock, waiting_bytes=1000, people=lambda: 0)
    members = [_Member(fanout) for _ in range(1000)]
    for member in members:
        fanout.add(member)
    fanout.broadcast("1")
    clock.step()
    fanout.broadcast("2")
    fanout.broadcast("3")
    while clock.step():
        pass
    writes = sorted(len(member.connection.written) for member in members)
    assert writes == [1] * 744 + [2] * 256
    assert all(member.got() == ["1", "2", "3"] for member in members)


def test_who_does_not_read_is_dropped_after_some_traffic() -> None:
    clock = FakeClock()
    fanout = Fanout(clock, waiting_bytes=1000, people=lambda: 0)
    fast, slow = _Member(fanout), _Member(fanout)
    for member in (fast, slow):
        fanout.add(member)
    slow.connection.waiting = 1001
    fast.connection.waiting = 1000
    for number in range(100):
        fanout.broadcast(f"{number}" + "x" * 1000)
        clock.advance(0)
    assert slow.slow
    assert not fast.slow
    assert len(slow.got()) < 40
    assert len(fast.got()) == 100


def test_the_count_is_told_when_it_changes() -> None:
    clock, people = FakeClock(), [1]
    fanout = Fanout(clock, waiting_bytes=1000, people=lambda: people[0])
    member = _Member(fanout)
    fanout.add(member)
    for number in (1, 1, 5, 6, 6, 7):
        people[0] = number
        fanout.count_soon()
        clock.advance(0.5)
    clock.advance(5)
    assert [json.loads(text)["people"] for text in member.got()] == [1, 6, 7]
    fanout.count_soon()
    fanout.broadcast("x")
    fanout.stop()
    clock.advance(5)
    assert len(member.got()) == 3


def test_the_end_reaches_everybody() -> None:
    fanout = Fanout(FakeClock(), waiting_bytes=1000, people=lambda: 0)
    members = [_Member(fanout) for _ in range(3)]
    for member in members:
        fanout.add(member)
    fanout.closed("gone")
    assert [member.connection.closed for member in members] == [(1001, "gone")] * 3
    fanout.broadcast("nobody hears")
    assert not fanout.members


def test_who_leaves_gets_first_what_they_would_get() -> None:
    clock = _StepClock()
    fanout = Fanout(clock, waiting_bytes=1000, people=lambda: 0)
    leaver, other = _Member(fanout), _Member(fanout)
    fanout.add(leaver)
    fanout.broadcast("1")
    fanout.add(other)
    fanout.broadcast("2")
    fanout.flush(leaver)
    fanout.flush(leaver)
    fanout.remove(leaver)
    fanout.flush(leaver)
    while clock.step():
        pass
    assert leaver.got() == ["1", "2"]
    assert other.got() == ["2"]


def test_who_is_told_what_was_done() -> None:
    clock = _StepClock()
    fanout = Fanout(clock, waiting_bytes=1000, people=lambda: 0)
    members = {name: _Member(fanout) for name in ("ann", "bob", "mo", "nobody")}
    for name, member in members.items():
        member.author_id = f"g_{name}" if name != "nobody" else None
        member.moderates = name == "mo"
        fanout.add(member)
    ann, mo = Author("g_ann", "Ann"), Actor(Author("u_1", "mo"), "page")
    fanout.acted(Act("warn", mo, ann, reason="calm down"))
    fanout.acted(Act("kick", mo, ann, reason="out"))
    fanout.acted(Act("moderator", mo, Author("g_bob", "Bob")))
    fanout.acted(Act("rules", mo, detail={"rules": {"slow": 5}}))
    fanout.acted(Act("pin", mo))
    fanout.acted(Act("trust", mo, ann))
    fanout.held([], [7])
    assert json.loads(members["ann"].told[0]) == {"type": "notice", "text": "calm down", "level": "warn"}
    assert members["ann"].told[1:] == ["kicked: out"]
    assert members["bob"].told == ["renewed"]
    assert [json.loads(text) for text in members["mo"].told] == [{"type": "held", "add": [], "remove": [7]}]
    assert members["nobody"].told == []
    while clock.step():
        pass
    for member in members.values():
        assert [json.loads(text)["type"] for text in member.got()] == ["rules", "pinned"]
