"""Lengths of time as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.chat.moderation.duration import parse_duration, say_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("10m", 600), ("1h30m", 5400), ("2D", 172800), ("1w", 604800), ("0", 0), ("5s", 5)],
)
def test_lengths(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "10x", "1h 30m", "-5", "1.5h", "ten", "١٠", "9" * 30, "1m" * 9])
def test_what_is_none(text: str) -> None:
    assert parse_duration(text) is None


@given(st.text("0123456789smhdw", max_size=12))
def test_whatever_is_written(text: str) -> None:
    seconds = parse_duration(text)
    assert seconds is None or say_duration(seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 seconds"), (1, "1 second"), (600, "10 minutes"), (5400, "1 hour 30 minutes"), (90061, "1 day 1 hour")],
)
def test_as_they_are_read(seconds: float, text: str) -> None:
    assert say_duration(seconds) == text
