"""What the dates of a homeserver's answers tell of its clock."""

from email.utils import formatdate

import pytest

from ghostlive.chat.matrix.skew import Skew

NOW = 1_800_000_000.0


def told(theirs: float, *, sent: float = NOW, came: float = NOW + 0.1) -> Skew:
    skew = Skew()
    skew.answered(formatdate(theirs, usegmt=True), sent, came)
    return skew


@pytest.mark.parametrize("off", [-3600.0, -61.0, 61.0, 3600.0, 10 * 365 * 86400.0])
def test_a_wrong_clock_is_known_to_the_second(off: float) -> None:
    assert told(NOW + off).corrected(NOW + off) == pytest.approx(NOW, abs=1.0)


@pytest.mark.parametrize("off", [-9.0, -1.0, 0.0, 1.0, 9.0])
def test_what_may_have_been_under_way_is_no_wrong_clock(off: float) -> None:
    skew = told(NOW + off)
    assert (skew.seconds, skew.advice) == (0.0, "")


def test_a_slow_answer_tells_less() -> None:
    assert told(NOW + 30, came=NOW + 60).seconds == 0.0
    assert told(NOW + 3600, came=NOW + 60).corrected(NOW + 3600) == pytest.approx(NOW, abs=31.0)
    assert told(NOW - 50, sent=NOW, came=NOW - 3600).seconds == 0.0, "our clock was set meanwhile"


@pytest.mark.parametrize("date", ["", "now", "Thu, 99 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 -9959", "\0"])
def test_nonsense_is_no_date(date: str) -> None:
    skew = Skew()
    skew.answered(date, NOW, NOW)
    assert abs(skew.seconds) < 10**12


def test_who_can_set_it_is_told_how_far_it_is_off() -> None:
    assert "60 minutes ahead of" in told(NOW + 3600).advice
    assert "1 minute behind" in told(NOW - 65).advice
    assert told(NOW - 30).advice == ""
