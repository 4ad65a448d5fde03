"""Counting of viewers, on fake time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clock import FakeClock

from ghostlive.core.events import StreamAudienceChanged, StreamEvent
from ghostlive.web.audience import Audience


class Stage:
    """An audience, and when it told of itself."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.told: list[tuple[float, int]] = []
        self.audience = Audience(self.clock, self.hear)

    def hear(self, event: StreamEvent) -> None:
        assert isinstance(event, StreamAudienceChanged)
        self.told.append((self.clock.now() - 1000, self.audience.count(event.stream)))

    @property
    def count(self) -> int:
        return self.audience.count("demo")


def test_pages_count_each_and_leave_one_by_one() -> None:
    stage = Stage()
    stage.audience.enter("demo", "a")
    stage.audience.enter("demo", "a")
    stage.audience.enter("demo", "b")
    stage.audience.enter("other", "a")
    assert stage.count == 3
    stage.audience.leave("demo", "a")
    assert stage.count == 2
    stage.audience.leave("demo", "a")
    stage.audience.leave("demo", "b")
    assert stage.count == 0
    assert stage.audience.count("other") == 1
    assert stage.audience.count("never heard of") == 0


def test_a_page_that_plays_counts_once() -> None:
    stage = Stage()
    stage.audience.seen("demo", "a")
    assert stage.count == 1
    stage.audience.enter("demo", "a")
    stage.audience.seen("demo", "a")
    assert stage.count == 1
    stage.audience.leave("demo", "a")
    assert stage.count == 1  # the player may have been another program


def test_a_player_that_asks_for_nothing_is_forgotten() -> None:
    stage = Stage()
    stage.audience.seen("demo", "a")
    for _ in range(5):
        stage.clock.advance(5)
        stage.audience.seen("demo", "b")
    assert stage.count == 1
    stage.clock.advance(25)
    assert stage.count == 0
    stage.audience.seen("demo", "b")
    assert stage.count == 1


def test_a_change_is_told_at_once_and_then_every_two_seconds_at_most() -> None:
    stage = Stage()
    for viewer in "abc":
        stage.audience.enter("demo", viewer)
    assert stage.told == [(0, 1)]
    stage.clock.advance(1)
    stage.audience.leave("demo", "a")
    stage.clock.advance(9)
    assert stage.told == [(0, 1), (2, 2)]
    stage.audience.leave("demo", "b")
    assert stage.told[2:] == [(10, 1)]


def test_a_reload_is_no_change() -> None:
    stage = Stage()
    stage.audience.enter("demo", "a")
    stage.clock.advance(1)
    stage.audience.leave("demo", "a")
    stage.audience.enter("demo", "a")
    stage.clock.advance(10)
    assert len(stage.told) == 1


def test_a_large_audience_is_told_of_itself_less_often() -> None:
    stage = Stage()
    for n in range(5000):
        stage.audience.enter("demo", f"viewer {n}")
    stage.clock.advance(2)
    told = len(stage.told)
    stage.audience.leave("demo", "viewer 1")
    stage.clock.advance(9)
    assert len(stage.told) == told
    stage.clock.advance(2)
    assert len(stage.told) == told + 1


def test_long_names_and_too_many_of_them_cost_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ghostlive.web.audience._MOST", 100)
    stage = Stage()
    for n in range(1000):
        stage.audience.seen("demo", f"{n} {'x' * 10_000}")
    assert stage.count == 100
    crowd = stage.audience._crowds["demo"]
    assert max(map(len, crowd.media)) <= 200
    stage.audience.enter("demo", "y" * 500)
    stage.audience.leave("demo", "y" * 500)
    assert stage.count == 100


def test_a_leave_without_an_enter_and_one_after_the_end_change_nothing() -> None:
    stage = Stage()
    stage.audience.leave("demo", "a")
    assert stage.count == 0
    stage.audience.enter("demo", "a")
    stage.audience.seen("demo", "b")
    stage.audience.enter("demo", "c")
    stage.audience.close()
    stage.audience.leave("demo", "a")
    stage.clock.advance(60)
    assert (stage.count, len(stage.told)) == (0, 1)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["enter", "leave", "seen"]), st.sampled_from("abc")),
            st.tuples(st.just("wait"), st.sampled_from([0.5, 4.0, 30.0])),
        )
    )
)
def test_the_count_is_what_the_rule_says(steps: list[tuple[str, str | float]]) -> None:
    stage = Stage()
    pages = dict.fromkeys("abc", 0)
    seen = dict.fromkeys("abc", float("-inf"))
    for what, value in steps:
        if what == "wait":
            assert isinstance(value, float)
            stage.clock.advance(value)
            continue
        assert isinstance(value, str)
        if what == "leave" and not pages[value]:
            continue
        getattr(stage.audience, what)("demo", value)
        pages[value] += {"enter": 1, "leave": -1, "seen": 0}[what]
        if what == "seen":
            seen[value] = stage.clock.now()
        ages = {viewer: stage.clock.now() - last for viewer, last in seen.items()}
        least = sum(max(pages[viewer], ages[viewer] < 15) for viewer in "abc")
        most = sum(max(pages[viewer], ages[viewer] <= 20) for viewer in "abc")
        assert least <= stage.count <= most


def test_what_is_watched_is_counted_for_each_player() -> None:
    stage = Stage()
    assert stage.audience.watching("demo") == {}
    for viewer in "abc":
        stage.audience.seen("demo", viewer, "v0")
        stage.audience.seen("demo", viewer, "a0")
        stage.audience.seen("demo", viewer, "v0")
    stage.audience.seen("other", "a", "v0-720p30")
    stage.audience.seen("demo", "d")  # of which track is not known
    assert stage.audience.watching("demo") == {"v0": 3, "a0": 3}
    assert stage.count == 4


def test_who_changes_the_rendition_leaves_the_old_one_after_a_while() -> None:
    stage = Stage()
    stage.audience.seen("demo", "a", "v0")
    for _ in range(3):
        stage.clock.advance(5)
        stage.audience.seen("demo", "a", "v0-720p30")
    assert stage.audience.watching("demo") == {"v0-720p30": 1}
    stage.clock.advance(21)
    assert stage.audience.watching("demo") == {}
    assert stage.count == 0


def test_a_player_that_asks_for_everything_counts_for_a_few() -> None:
    stage = Stage()
    for number in range(100):
        stage.audience.seen("demo", "a", f"v{number}")
    assert sum(stage.audience.watching("demo").values()) == 8
    stage.clock.advance(30)
    assert stage.audience.watching("demo") == {}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["v0", "v1", "a0"]), st.integers(0, 9)), max_size=60))
def test_what_is_watched_is_what_was_asked_for_lately(steps: list[tuple[str, str, int]]) -> None:
    stage = Stage()
    for viewer, track, pause in steps:
        stage.audience.seen("demo", viewer, track)
        assert stage.audience.watching("demo")[track] >= 1
        stage.clock.advance(pause)
    stage.clock.advance(25)
    assert stage.audience.watching("demo") == {}
    assert stage.count == 0
