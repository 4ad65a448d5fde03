"""What is kept of a lane, for packets that get lost and for who joins late."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ghostlive.protocols.webrtc.egress.history import History, LaneFrame


def fill(history: History, count: int, *, group: int = 30, packets: int = 3, size: int = 100, begin: int = 0) -> None:
    for number in range(begin, begin + count):
        history.add(
            LaneFrame(
                number * packets,
                number * 3000,
                [bytes(size)] * packets,
                keyframe=number % group == 0,
                at=number / 30,
            )
        )


def history(*, keep: float = 1.0, group_bytes: int = 1_000_000, seconds: float = 4.0) -> History:
    return History(keep=keep, group_bytes=group_bytes, group_ticks=int(seconds * 90_000))


def group_of(kept: History) -> int | None:
    """The first packet of the group that may be used."""
    return None if kept.keyframe is None else kept.keyframe.index


def test_packets_are_found_for_a_second_and_those_of_the_group_for_longer() -> None:
    kept = history()
    fill(kept, 200, group=80)
    assert kept.find(200 * 3 - 1) is not None
    found = kept.find(170 * 3 + 2)
    assert found is not None
    assert (found[0].index, found[1]) == (170 * 3, 2)
    assert kept.find(160 * 3) is not None  # the group's keyframe
    assert kept.find(160 * 3 - 1) is None or 159 / 30 >= 199 / 30 - 1.0
    assert kept.find(600) is None
    assert kept.find(-1) is None


def test_a_group_is_there_from_its_keyframe_on() -> None:
    kept = history()
    assert group_of(kept) is None
    assert kept.since(0) == []
    fill(kept, 45)
    assert group_of(kept) == 90
    assert [frame.index for frame in kept.since(90)] == list(range(90, 135, 3))
    assert kept.since(91)[0].index == 90
    assert kept.group_size == 15 * 300
    assert kept.newest is not None
    assert kept.newest.index == 132


def test_a_group_that_is_too_long_or_too_large_is_not_for_joining() -> None:
    long = history(seconds=1.0)
    fill(long, 31, group=1000)
    assert group_of(long) == 0
    fill(long, 10, group=1000, begin=31)
    assert group_of(long) is None
    assert long.group_size == 0
    large = history(group_bytes=10_000)
    fill(large, 40, group=1000)
    assert group_of(large) is None
    # It forgets what is older than a second then.
    fill(large, 100, group=1000, begin=40)
    assert len(large.since(110 * 3)) == 30
    assert large.find(100 * 3) is None


def test_what_breaks_off_is_not_for_joining() -> None:
    kept = history()
    fill(kept, 10)
    kept.break_off()
    assert group_of(kept) is None
    fill(kept, 35, begin=10)
    assert group_of(kept) == 90


def test_the_bit_rate_is_that_of_what_is_kept() -> None:
    kept = history()
    assert kept.bitrate(90_000) == 0
    fill(kept, 90)
    assert 70_000 < kept.bitrate(90_000) < 76_000


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.integers(0, 200)), min_size=1, max_size=400))
def test_memory_has_a_limit_whatever_comes(frames: list[tuple[int, bool, int]]) -> None:
    kept = history(group_bytes=20_000, seconds=2.0)
    index = time = 0
    for packets, keyframe, milliseconds in frames:
        time += milliseconds
        kept.add(LaneFrame(index, time * 90, [bytes(100)] * packets, keyframe=keyframe, at=time / 1000))
        index += packets
    since = kept.since(kept.keyframe.index) if kept.keyframe is not None else []
    assert sum(frame.size for frame in since) <= 20_000
    assert all(a.end == b.index for a, b in itertools.pairwise(since))
    newest = kept.newest
    assert newest is not None
    for number in range(index - 1, max(index - 300, -1), -1):
        found = kept.find(number)
        if found is not None:
            assert found[0].index <= number < found[0].end
    assert kept.find(index - 1) is not None
