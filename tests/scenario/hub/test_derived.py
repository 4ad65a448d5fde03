"""Derived tracks on the hub: offered with the source, made while leased, read like any other."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.support.clock import FakeClock
from tests.support.packaged import audio, steady, video

from ghostlive.core.frame import Frame
from ghostlive.core.track import Track
from ghostlive.hub.derived import Offer, OfferRefusedError, OfferUnknownError
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream, Publication, Source
from ghostlive.hub.subscription import Announced, Closed, Ended, Offered, Opened

SMALL = replace(video("v0-360p30", height=360), config=b"")


class Maker:
    """A deriver that notes what it is asked."""

    def __init__(self, *tracks: Track) -> None:
        self.tracks = tracks
        self.asked: list[tuple[str, str]] = []
        self.refusal = ""

    def plan(self, live: LiveStream) -> Sequence[Offer]:
        self.asked.append(("plan", ",".join(track.id for track in live.tracks)))
        return [Offer(track, 700_000) for track in self.tracks]

    def demand(self, live: LiveStream, track: str) -> None:
        if self.refusal:
            raise OfferRefusedError(self.refusal)
        self.asked.append(("demand", track))

    def rest(self, live: LiveStream, track: str) -> None:
        self.asked.append(("rest", track))

    def want_keyframe(self, live: LiveStream, track: str) -> bool:
        self.asked.append(("keyframe", track))
        return True


def broadcast(maker: Maker) -> tuple[LiveStream, Publication]:
    hub = Hub(clock=FakeClock())
    hub.deriver = maker
    publication = hub.publish("cam", Source("test", "192.0.2.1"), lambda reason: None)
    publication.announce([video(), audio()])
    live = hub.get("cam")
    assert live is not None
    return live, publication


def test_the_offer_is_told_with_each_announcement() -> None:
    maker = Maker(SMALL)
    live, publication = broadcast(maker)
    reader = live.subscribe()
    publication.announce([video(height=360)])
    said = reader.take()
    assert [item.offers[0].track for item in said if isinstance(item, Announced)] == [SMALL, SMALL]
    assert maker.asked == [("plan", "v0,a0"), ("plan", "v0")]


def test_the_first_lease_starts_and_the_last_one_stops() -> None:
    maker = Maker(SMALL)
    live, _ = broadcast(maker)
    one, two = live.lease(SMALL.id), live.lease(SMALL.id)
    one.close()
    one.close()
    assert live.leases(SMALL.id) == 1
    two.close()
    assert maker.asked[1:] == [("demand", SMALL.id), ("rest", SMALL.id)]


def test_a_refused_lease_leaves_nothing() -> None:
    maker = Maker(SMALL)
    live, _ = broadcast(maker)
    maker.refusal = "the machine is busy"
    with pytest.raises(OfferRefusedError, match="busy"):
        live.lease(SMALL.id)
    assert live.leases(SMALL.id) == 0
    with pytest.raises(OfferUnknownError):
        live.lease("v9")


def test_frames_of_a_run_stand_between_opened_and_closed() -> None:
    live, publication = broadcast(Maker(SMALL))
    reader = live.subscribe()
    for frame in steady(video(), 0.1):
        publication.write(frame)
    run = live.derive(replace(SMALL, config=b"\1"))
    frame = Frame(SMALL.id, 0, 0, keyframe=True, payload=b"x")
    run.write(frame)
    run.close("nobody watches")
    run.write(frame)
    run.close("again")
    items = reader.take()[-3:]
    assert items[0] == Opened(replace(SMALL, config=b"\1"))
    assert items[1:] == [frame, Closed(SMALL.id, "nobody watches")]


def test_a_late_reader_is_told_what_runs() -> None:
    live, _ = broadcast(Maker(SMALL))
    live.derive(SMALL)
    assert [type(item) for item in live.subscribe().take()] == [Announced, Opened]


def test_a_new_announcement_closes_runs_silently_and_keeps_leases() -> None:
    maker = Maker(SMALL)
    live, publication = broadcast(maker)
    live.lease(SMALL.id)
    run = live.derive(SMALL)
    reader = live.subscribe()
    reader.take()
    publication.announce([video(height=360)])
    run.write(Frame(SMALL.id, 0, 0, keyframe=True, payload=b"late"))
    assert run.closed
    assert live.leases(SMALL.id) == 1
    assert [type(item) for item in reader.take()] == [Announced]


def test_another_offer_closes_what_is_gone() -> None:
    maker = Maker(SMALL)
    live, _ = broadcast(maker)
    lease = live.lease(SMALL.id)
    run = live.derive(SMALL)
    reader = live.subscribe()
    reader.take()
    maker.tracks = ()
    live.reoffer()
    assert run.closed
    assert [type(item) for item in reader.take()] == [Closed, Offered]
    lease.close()


def test_the_end_closes_everything() -> None:
    live, publication = broadcast(Maker(SMALL))
    run = live.derive(SMALL)
    reader = live.subscribe()
    publication.end("bye")
    assert run.closed
    assert isinstance(reader.take()[-1], Ended)
    with pytest.raises(OfferUnknownError):
        live.derive(SMALL)


@pytest.mark.parametrize(
    ("seconds", "group", "begins"),
    [(5, 2, 2), (3.5, 3, 0), (7.5, 3, 3), (8.7, 3, 6), (10, 8, 0), (13, 8, 8), (25, 12, 12), (34, 16, 32)],
)
def test_a_replay_begins_with_two_groups_where_that_is_sooner(seconds: float, group: float, begins: float) -> None:
    live, publication = broadcast(Maker())
    for frame in steady(video(), seconds, group=round(30 * group)):
        publication.write(frame)

    def first(*, replay: bool) -> float:
        return next(item.dts for item in live.subscribe(replay=replay).take() if isinstance(item, Frame)) / 90000

    assert first(replay=True) == begins
    assert first(replay=False) == seconds // group * group


def test_a_keyframe_is_asked_for_once_a_second() -> None:
    maker = Maker(SMALL)
    live, _ = broadcast(maker)
    clock = live.clock
    assert isinstance(clock, FakeClock)
    assert not live.request_keyframe(SMALL.id)  # it does not run
    live.derive(SMALL)
    for _ in range(20):
        assert live.request_keyframe(SMALL.id)
        clock.advance(0.1)
    assert maker.asked.count(("keyframe", SMALL.id)) == 2


def test_a_publisher_that_can_be_asked_is_asked_for_all_its_pictures_at_once() -> None:
    live, publication = broadcast(Maker(SMALL))
    assert not live.request_keyframe("v0")  # RTMP takes no wishes
    asked: list[str] = []
    publication.on_keyframe_wanted = lambda: asked.append("publisher")
    assert live.request_keyframe("v0")
    assert live.request_keyframe("v1") is False  # no such track
    assert live.request_keyframe("a0")
    assert asked == ["publisher"]
    publication.lose("cable")
    assert live.clock.now() > 0
    live.clock.advance(2)  # type: ignore[attr-defined]
    assert not live.request_keyframe("v0")


def test_a_new_announcement_may_be_asked_at_once() -> None:
    live, publication = broadcast(Maker(SMALL))
    asked: list[str] = []
    publication.on_keyframe_wanted = lambda: asked.append("publisher")
    live.request_keyframe("v0")
    publication.announce([video(height=360)])
    live.request_keyframe("v0")
    assert len(asked) == 2
