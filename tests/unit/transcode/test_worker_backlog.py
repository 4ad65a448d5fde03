"""What a rendition that starts late begins with."""

import pytest

from ghostlive.transcode.wire import Media
from ghostlive.transcode.worker.backlog import Recent

SECOND = 90000


def kept(seconds: float, group: float, *, size: int = 10, rate: int = 10) -> tuple[float, float]:
    """Where the packets begin and end, in seconds, after a source with a keyframe each `group` seconds."""
    recent = Recent(SECOND)
    for number in range(round(seconds * rate)):
        time = number * SECOND // rate
        keyframe = number % round(group * rate) == 0
        recent.add(Media(1, 0, time, time, keyframe, bytes(size)), 0.0)
    packets = recent.packets()
    assert packets[0].media.keyframe
    assert [packet.media.dts for packet in packets] == list(
        range(packets[0].media.dts, packets[-1].media.dts + 1, SECOND // rate)
    )
    return packets[0].media.dts / SECOND, packets[-1].media.dts / SECOND


@pytest.mark.parametrize(
    ("seconds", "group", "begins"),
    [(7.0, 2.0, 4.0), (6.1, 2.0, 4.0), (1.0, 2.0, 0.0), (4.0, 3.0, 0.0), (10.0, 8.0, 0.0), (19.0, 10.0, 10.0)],
)
def test_two_groups_where_both_are_short_else_one(seconds: float, group: float, begins: float) -> None:
    assert kept(seconds, group) == pytest.approx((begins, seconds - 0.1))


def test_large_groups_are_not_kept() -> None:
    recent = Recent(SECOND)
    for number in range(10):
        recent.add(Media(1, 0, number, number, number == 0, bytes(8 * 1024 * 1024)), 0.0)
    assert recent.packets() == []
    recent.add(Media(1, 0, 10, 10, keyframe=True, payload=b"small"), 0.0)
    assert [packet.media.dts for packet in recent.packets()] == [10]
