"""Which rendition is chosen: traces of estimates and losses, and what is sent then."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.protocols.webrtc.egress.selection import Selector

RATES = [5_000_000, 2_500_000, 1_200_000, 600_000]


def play(
    seconds: float,
    estimate: Callable[[float, float], int | None],
    loss: Callable[[float, float], float] = lambda now, sent: 0.0,
    *,
    begin: int = 0,
    takes: float = 0.5,
    can_probe: bool = True,
) -> list[tuple[float, int]]:
    """Changes of rendition over time; both functions are told the time and what is sent, probe included."""
    selector = Selector(0.0)
    current, changes, probe = begin, [(0.0, begin)], 0
    due: tuple[float, int] | None = None
    for step in range(round(seconds * 2)):
        now = step / 2
        if due is not None and now >= due[0]:
            current, due = due[1], None
            changes.append((now, current))
            selector.changed(now)
            probe = 0
        sent = RATES[current] + probe
        if due is None:
            choice = selector.decide(
                now, RATES, current, estimate=estimate(now, sent), loss=loss(now, sent), can_probe=can_probe
            )
            probe = choice.probe
            if choice.rendition != current:
                due = (now + takes, choice.rendition)
    return changes


def follows(carries: float) -> Callable[[float, float], int]:
    """An estimate as receivers make it: not beyond half more than what comes."""
    return lambda now, sent: int(min(carries, 1.5 * sent))


def overflow(carries: float) -> Callable[[float, float], float]:
    return lambda now, sent: max(0.0, 1 - carries / sent)


def test_what_fits_stays() -> None:
    assert play(300, follows(6e6)) == [(0.0, 0)]
    assert play(300, lambda now, sent: None) == [(0.0, 0)]


def test_what_does_not_fit_is_left_within_seconds_for_what_does() -> None:
    changes = play(30, follows(2.7e6), overflow(2.7e6))
    assert changes[1][0] < 6
    assert changes[1][1] == 1
    assert play(30, follows(0.7e6), overflow(0.7e6))[1][1] == 3
    assert play(30, follows(0.2e6), overflow(0.2e6))[1][1] == 3


def test_much_loss_is_enough_where_nothing_is_estimated() -> None:
    changes = play(60, lambda now, sent: None, overflow(1.3e6))
    assert [place for _, place in changes][:3] == [0, 1, 2]
    assert changes[2][0] < 12
    # What loses nothing is stayed with, but for some tries.
    assert 2 in {place for now, place in changes if now > 20} or changes[-1][1] == 2


def test_a_short_dip_changes_nothing() -> None:
    assert play(60, lambda now, sent: 1_000_000 if 20 <= now < 21 else 6_000_000) == [(0.0, 0)]


def test_a_little_loss_changes_nothing() -> None:
    assert play(120, follows(9e6), lambda now, sent: 0.06) == [(0.0, 0)]


def test_up_goes_step_by_step_after_some_quiet_and_a_probe() -> None:
    changes = play(90, follows(20e6), begin=3)
    assert [place for _, place in changes] == [3, 2, 1, 0]
    assert 8 <= changes[1][0] < 16
    assert changes[3][0] < 50


def test_a_network_that_carries_no_more_is_tried_less_and_less() -> None:
    changes = play(900, follows(2.0e6), overflow(2.0e6), begin=2)
    ups = [now for now, place in changes if place < 2]
    assert len(ups) <= 3
    lowest = [now for now, place in changes if place == 3]
    assert lowest == []  # a probe that fails costs nothing


def test_a_better_one_that_fails_is_tried_less_and_less() -> None:
    # The network carries more for some seconds, and then no longer.
    since = 0.0

    def loss(now: float, sent: float) -> float:
        nonlocal since
        since = since if sent > 2.0e6 else now
        return 0.4 if now - since > 8 else 0.0

    changes = play(1800, lambda now, sent: int(1.5 * sent), loss, begin=2)
    ups = [now for now, place in changes if place == 1]
    gaps = [later - sooner for sooner, later in itertools.pairwise(ups)]
    assert len(ups) < 18
    assert gaps[-1] > 100


def test_who_cannot_be_probed_is_shown_the_better_one() -> None:
    changes = play(120, lambda now, sent: None, begin=3, can_probe=False)
    assert changes[-1][1] == 0
    assert play(120, follows(20e6), begin=3, can_probe=False)[-1][1] == 0
    assert play(120, lambda now, sent: int(sent), begin=3, can_probe=False) == [(0.0, 3)]


def test_what_is_refused_is_not_asked_for_each_time() -> None:
    selector = Selector(0.0)
    asked = 0
    for step in range(400):
        choice = selector.decide(step / 2, RATES, 1, estimate=9_000_000, loss=0.0)
        if choice.rendition == 0:
            asked += 1
            selector.refused(step / 2)
    assert asked <= 6


def test_one_rendition_leaves_no_choice() -> None:
    selector = Selector(0.0)
    for step in range(200):
        choice = selector.decide(step / 2, [2_000_000], 0, estimate=100_000, loss=0.5)
        assert (choice.rendition, choice.probe) == (0, 0)


@pytest.mark.parametrize("place", range(4))
@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 10**8)), st.floats(0, 1)), max_size=200))
def test_whatever_is_heard_there_is_a_choice(place: int, heard: list[tuple[int | None, float]]) -> None:
    selector = Selector(0.0)
    current = place
    for step, (estimate, loss) in enumerate(heard):
        choice = selector.decide(step / 2, RATES, current, estimate=estimate, loss=loss)
        assert 0 <= choice.rendition < 4
        assert 0 <= choice.probe < 6_000_000
        if choice.rendition != current:
            current = choice.rendition
            selector.changed(step / 2)
