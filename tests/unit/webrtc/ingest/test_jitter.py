"""Packets put in order and cut into frames, whatever happens to them."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ghostlive.protocols.webrtc.ingest.jitter import JitterBuffer, Lost, Packet, WholeFrame
from ghostlive.protocols.webrtc.ingest.nack import MissingPackets


def begins(packet: Packet) -> bool | None:
    """Payloads say it with their first byte: `b` begins, `?` does not tell."""
    return {b"b": True, b"?": None}.get(packet.payload[:1], False)


def buffer(*, asks: bool = True, audio: bool = False, max_packets: int = 500, max_bytes: int = 100_000) -> JitterBuffer:
    return JitterBuffer(
        begins,
        audio=audio,
        asks=asks,
        told=True,
        max_wait=0.25,
        max_far_wait=0.8,
        max_packets=max_packets,
        max_bytes=max_bytes,
    )


def packet(timestamp: int, payload: bytes, now: float, *, marker: bool = False) -> Packet:
    return Packet(96, timestamp, payload, marker, now)


def payloads(items: list[WholeFrame | Lost]) -> list[list[bytes] | int]:
    return [[one.payload for one in item.packets] if isinstance(item, WholeFrame) else item.packets for item in items]


def test_a_frame_ends_with_its_marker_or_with_another_timestamp() -> None:
    jitter = buffer()
    jitter.put(1, packet(10, b"b1", 0.0))
    jitter.put(2, packet(10, b"-2", 0.0))
    assert jitter.take(0.0) == []
    jitter.put(3, packet(20, b"b3", 0.0, marker=True))
    assert payloads(jitter.take(0.0)) == [[b"b1", b"-2"], [b"b3"]]
    assert len(jitter) == jitter.size == 0


def test_what_is_missing_is_waited_for_and_then_given_up() -> None:
    jitter = buffer()
    jitter.put(1, packet(10, b"b1", 0.0, marker=True))
    jitter.put(3, packet(20, b"-3", 0.0, marker=True))
    jitter.put(4, packet(30, b"b4", 0.0, marker=True))
    assert payloads(jitter.take(0.1)) == [[b"b1"]]
    assert payloads(jitter.take(0.3)) == []  # asking three times takes longer than 0.25 s on a path of 0.1 s
    assert payloads(jitter.take(0.42)) == [1, [b"b4"]]
    assert not jitter.put(2, packet(20, b"b2", 0.5))
    assert jitter.duplicates == 1


def test_it_comes_in_time() -> None:
    jitter = buffer()
    jitter.put(1, packet(10, b"b1", 0.0, marker=True))
    jitter.put(3, packet(20, b"-3", 0.0, marker=True))
    jitter.put(2, packet(20, b"b2", 0.2), again=True)
    assert payloads(jitter.take(0.2)) == [[b"b1"], [b"b2", b"-3"]]


def test_where_nobody_tells_a_frame_begins_behind_the_one_before() -> None:
    jitter = buffer()
    jitter.put(1, packet(10, b"b1", 0.0, marker=True))
    jitter.put(2, packet(20, b"?2", 0.0, marker=True))
    assert payloads(jitter.take(0.0)) == [[b"b1"], [b"?2"]]
    jitter.put(4, packet(30, b"?4", 0.0, marker=True))  # 3 may have been its beginning
    jitter.put(5, packet(40, b"?5", 0.0, marker=True))
    assert payloads(jitter.take(1.0)) == [1, [b"?5"]]


def test_the_first_packet_need_not_arrive_first() -> None:
    jitter = buffer()
    jitter.put(12, packet(10, b"-3", 0.0, marker=True))
    jitter.put(11, packet(10, b"-2", 0.01))
    assert jitter.take(0.01) == []
    jitter.put(10, packet(10, b"b1", 0.02))
    assert payloads(jitter.take(0.02)) == [[b"b1", b"-2", b"-3"]]


def test_a_stream_that_is_joined_in_the_middle() -> None:
    jitter = buffer()
    jitter.put(7, packet(10, b"-1", 0.0))
    jitter.put(8, packet(10, b"-2", 0.0, marker=True))
    jitter.put(9, packet(20, b"?3", 0.0, marker=True))
    assert jitter.take(0.05) == []
    assert payloads(jitter.take(0.2)) == [[b"?3"]]


def test_padding_fills_the_sequence() -> None:
    jitter = buffer()
    jitter.put(1, packet(10, b"b1", 0.0, marker=True))
    jitter.put(2, packet(10, b"", 0.0))
    jitter.put(3, packet(10, b"", 0.0))
    jitter.put(4, packet(20, b"?4", 0.0, marker=True))
    assert payloads(jitter.take(0.0)) == [[b"b1"], [b"?4"]]


def test_sound_that_nobody_asks_for_is_waited_for_as_long_as_packets_are_late() -> None:
    jitter = buffer(asks=False, audio=True)
    now = 0.0
    for number in range(0, 200, 2):
        now = number * 0.02
        jitter.put(number + 1, packet(number + 1, b"b", now))
        jitter.take(now)
        jitter.take(now + 0.09)
        jitter.put(number, packet(number, b"b", now + 0.1))  # each second packet is 0.1 s late
        jitter.take(now + 0.1)
    assert jitter.wait == pytest.approx(0.125, abs=0.02)
    jitter.put(202, packet(202, b"b", now + 0.1))
    assert jitter.take(now + 0.2) == []
    assert payloads(jitter.take(now + 0.3)) == [2, [b"b"]]


def test_numbers_from_elsewhere_are_believed_when_they_go_on() -> None:
    jitter = buffer()
    jitter.put(1, packet(10, b"b1", 0.0, marker=True))
    assert not jitter.put(20_000, packet(11, b"b?", 0.0, marker=True))
    assert jitter.put(2, packet(20, b"b2", 0.0, marker=True))
    assert payloads(jitter.take(0.0)) == [[b"b1"], [b"b2"]]
    assert not jitter.put(20_000, packet(30, b"b3", 0.0, marker=True))
    assert jitter.put(20_001, packet(40, b"b4", 0.0, marker=True))
    assert payloads(jitter.take(0.0)) == [1, [b"b4"]]
    assert jitter.restarts == 1


@pytest.mark.parametrize("limit", ["packets", "bytes"])
def test_it_holds_no_more_than_it_may(limit: str) -> None:
    jitter = buffer(max_packets=50 if limit == "packets" else 10_000, max_bytes=5000 if limit == "bytes" else 10**9)
    jitter.put(1, packet(10, b"b1", 0.0, marker=True))
    for number in range(3, 1000):
        jitter.put(number, packet(20, b"-" * 100, 0.0))
        assert len(jitter) <= 50
        assert jitter.size <= 5000
    assert jitter.restarts > 5


def test_gaps_after_gaps_are_bounded() -> None:
    jitter = buffer()
    number = 0
    for _ in range(1000):
        number += 2900
        jitter.put(number & 0xFFFF, packet(number, b"-", 0.0))
        assert len(jitter.missing) <= 3000


@settings(max_examples=150, deadline=None)
@example(seed=3114, first=0, lost=0.0, late=0.25, again=0.0, hidden=False)
@given(
    seed=st.integers(0, 2**32),
    first=st.integers(0, 65_535),
    lost=st.floats(0, 0.3),
    late=st.floats(0, 0.4),
    again=st.floats(0, 0.3),
    hidden=st.booleans(),
)
def test_frames_are_whole_and_in_order(
    *, seed: int, first: int, lost: float, late: float, again: float, hidden: bool
) -> None:
    random_ = random.Random(seed)
    arrivals: list[tuple[float, int, Packet]] = []
    frames: dict[int, list[bytes]] = {}
    number = first
    for index in range(60):
        count = random_.randint(1, 6)
        sent = [b"%s%d.%d" % (b"b" if at == 0 and not hidden else b"?", index, at) for at in range(count)]
        frames[index] = sent
        for at, payload in enumerate(sent):
            now = index * 0.033 + (random_.random() * late if random_.random() < 0.5 else 0)
            copies = (random_.random() >= lost) + (random_.random() < again)
            for copy in range(copies):
                time = now + 0.1 * copy
                arrivals.append((time, number & 0xFFFF, packet(index, payload, time, marker=at == count - 1)))
            number += 1
        if random_.random() < 0.2:
            arrivals.append((index * 0.033, number & 0xFFFF, packet(index, b"", index * 0.033)))
            number += 1
    jitter = buffer()
    taken: list[int] = []
    for time, sequence, one in sorted(arrivals, key=lambda item: item[0]):
        jitter.put(sequence, one)
        for item in [*jitter.take(time), *(jitter.take(10.0) if one is arrivals[-1][2] else [])]:
            if isinstance(item, WholeFrame):
                index = item.packets[0].timestamp
                assert [found.payload for found in item.packets] == frames[index]
                taken.append(index)
    taken += [item.packets[0].timestamp for item in jitter.take(100.0) if isinstance(item, WholeFrame)]
    assert taken == sorted(set(taken))
    if not lost and not late:
        assert taken == list(range(1 if hidden else 0, 60))  # of the very first nobody knows that it is whole


def test_what_is_missing_is_asked_for_in_time_and_not_too_often() -> None:
    missing = MissingPackets(told=True)
    missing.add(10, 13, now=1.0)
    assert missing.due(1.0) == ()
    assert missing.due(1.01) == (10, 11, 12)
    assert missing.due(1.05) == ()
    missing.arrived(11, 1.05, again=True)
    assert missing.round_trip_time == pytest.approx(0.04)
    assert missing.due(1.07) == (10, 12)
    assert missing.forget(12) == 1
    assert 12 in missing
    asked = sum(bool(missing.due(1.07 + step * 0.02)) for step in range(200))
    assert asked == 8  # ten times in all


def test_late_packets_teach_patience() -> None:
    missing = MissingPackets(told=True)
    for number in range(20):
        missing.add(number, number + 1, now=float(number))
        missing.arrived(number, number + 0.04, again=False)
    assert missing.reordering == pytest.approx(0.05)
    missing.add(30, 31, now=50.0)
    assert missing.due(50.04) == ()
    assert missing.due(50.06) == (30,)
