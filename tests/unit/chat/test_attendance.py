"""Who gets a stream while they have its chat open: by what their player asks for, without gaps, and nobody else."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ghostlive.chat.attendance import GAP, Attendance

ANN = "192.0.2.1 Browser/1.0"


class Time:
    """A clock that is a number."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_requests_without_gaps_are_one_watching() -> None:
    time = Time()
    attendance = Attendance(time)
    attendance.enter("demo", ANN)
    assert attendance.since("demo", ANN) is None
    for _ in range(5):
        attendance.seen("demo", ANN)
        time.now += GAP
    assert attendance.since("demo", ANN) == 1000.0
    time.now += 0.1
    assert attendance.since("demo", ANN) is None
    attendance.seen("demo", ANN)
    assert attendance.since("demo", ANN) == time.now
    assert attendance.since("other", ANN) is None
    assert attendance.since("demo", "192.0.2.2 Browser/1.0") is None


def test_nothing_is_kept_of_who_has_no_chat_open() -> None:
    time = Time()
    attendance = Attendance(time)
    for number in range(1000):
        attendance.seen("demo", f"192.0.2.1 Player/{number}")
    assert len(attendance) == 0
    for _ in range(2):
        attendance.enter("demo", ANN)
    attendance.seen("demo", ANN)
    attendance.leave("demo", ANN)
    assert attendance.since("demo", ANN) == 1000.0
    attendance.leave("demo", ANN)
    assert len(attendance) == 0
    attendance.enter("demo", ANN)
    assert attendance.since("demo", ANN) is None


@given(st.lists(st.tuples(st.floats(0, 40), st.booleans()), max_size=30))
def test_watching_is_never_longer_than_what_was_sent(steps: list[tuple[float, bool]]) -> None:
    time = Time()
    attendance = Attendance(time)
    attendance.enter("demo", ANN)
    sent: list[float] = []
    for pause, is_sent in steps:
        time.now += pause
        if is_sent:
            attendance.seen("demo", ANN)
            sent.append(time.now)
        since = attendance.since("demo", ANN)
        if since is None:
            assert not sent or time.now - sent[-1] > GAP
        else:
            without_gaps = [at for at in sent if at >= since]
            assert without_gaps[0] == since
            assert all(b - a <= GAP for a, b in pairwise(without_gaps))
            assert time.now - without_gaps[-1] <= GAP
