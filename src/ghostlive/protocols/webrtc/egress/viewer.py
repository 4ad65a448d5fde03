"""One viewer: its picture, its sound, and what it says of both. A `PeerHandler`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import structlog

from ghostlive.core.track import TrackKind
from ghostlive.formats.rtcp.compound import parse_compound
from ghostlive.formats.rtcp.ntp import ntp_from_unix_ns
from ghostlive.formats.rtcp.packets import (
    FullIntraRequest,
    Nack,
    PictureLossIndication,
    ReceiverReport,
    Remb,
    ReportBlock,
    RtcpError,
    SenderReport,
    TransportFeedback,
)
from ghostlive.protocols.webrtc.egress.delay import Arrival
from ghostlive.protocols.webrtc.egress.lane import Lane
from ghostlive.protocols.webrtc.egress.leases import Leases
from ghostlive.protocols.webrtc.egress.model import (
    Ended,
    NothingToSendError,
    NotLiveError,
    OnEvent,
    RenditionChanged,
    RenditionInfo,
    RenditionsChanged,
    ViewerEvent,
    ViewerStats,
)
from ghostlive.protocols.webrtc.egress.outlet import Outlet
from ghostlive.protocols.webrtc.egress.pacing import Budget, TokenBucket
from ghostlive.protocols.webrtc.egress.renditions import Rendition, why_nothing
from ghostlive.protocols.webrtc.egress.reports import REPORT_EVERY, Reporter
from ghostlive.protocols.webrtc.egress.resending import Resender
from ghostlive.protocols.webrtc.egress.steering import Steering
from ghostlive.protocols.webrtc.egress.terms import Terms

if TYPE_CHECKING:
    from ghostlive.protocols.webrtc.egress.stream import StreamEgress
    from ghostlive.protocols.webrtc.link import PeerLink
    from ghostlive.protocols.webrtc.negotiation.model import Negotiation
    from ghostlive.protocols.webrtc.path import Path

_log = structlog.get_logger("webrtc.egress")

_GIVE_UP: Final = 10.0
"""Seconds for which another rendition is waited for."""
_FLOWING: Final = 1.0
"""Seconds since the source's last frame within which it is not the source that is waited for."""
_RETRY: Final = 5.0
"""Seconds until what was refused is asked for again, where there is nothing else to show."""
_ASK_EVERY: Final = 0.5
"""Seconds between two requests of a viewer for a keyframe that are answered."""
_FRESH: Final = 0.7
"""Seconds that a group may have lasted to be sent again to a viewer who lost a picture, rather than to ask for a new
one, which all viewers have to pay for."""
_SAY_PER_SECOND: Final = 200.0
_SAY_AT_ONCE: Final = 400.0
_NUMBERS_PER_SAYING: Final = 8
"""Packets that one saying may ask for; more count as more of them."""
_ARRIVALS_PER_SAYING: Final = 64
_MOST_BURSTS: Final = 100
"""Viewers who are sent a group at a time; with more, the next keyframe that all get does."""
_FULL: Final = 0.25
"""Share of the backlog by TCP below which a viewer that had too much is sent a picture again."""


class Viewer:
    """Made by `Egress.open`. Either the server gets it as a handler, or whoever opened it calls `closed`."""

    def __init__(self, stream: "StreamEgress", negotiation: "Negotiation", *, on_event: OnEvent) -> None:
        """Leases what it needs at once, so that it is there when the session is.

        Raises `NothingToSendError` and `NotLiveError`.
        """
        around = stream.around
        clock = around.clock
        now = clock.now()
        self._stream = stream
        self._clock = clock
        self._config = around.config
        self._sender = around.sender
        self._on_event = on_event
        self._terms = Terms(negotiation)
        stream.begin()
        if stream.ended:
            raise NotLiveError(f"{stream.live.name} is not live")
        self._renditions = stream.renditions(self._terms.takes)
        if not self._renditions:
            stream.leave(self)
            raise NothingToSendError(why_nothing(stream.tracks))
        self.number = next(around.viewers)
        self._auto = True
        self._shown = ""
        self._aimed: Rendition | None = None
        self._aimed_at = 0.0
        self._current: Rendition | None = None
        self._leases = Leases(stream)
        self._retry_at = 0.0
        self._link: PeerLink | None = None
        self._over = False
        self._video = self._terms.outlet(TrackKind.VIDEO, self.number, around.sender, self._entered)
        self._audio = self._terms.outlet(TrackKind.AUDIO, self.number, around.sender, self._entered)
        self._outlets = tuple(outlet for outlet in (self._audio, self._video) if outlet is not None)
        self._reporter = Reporter(tuple(outlet.headers.ssrc for outlet in self._outlets), self._terms.cname)
        self._report_at = 0.0
        self._steering = Steering(around, self._terms.max_bitrate)
        self._sayings = TokenBucket(_SAY_PER_SECOND, _SAY_AT_ONCE, now)
        self._resender = Resender(now)
        self._asked_at = -_ASK_EVERY
        self._choked = False
        stream.join(self)
        self._start()

    # What it is told and asked by whoever opened it

    @property
    def renditions(self) -> Sequence[RenditionInfo]:
        """What it can choose from, best first."""
        return tuple(rendition.info for rendition in self._renditions)

    @property
    def current(self) -> str:
        """The name of the rendition that it sees, or will see first."""
        rendition = self._current or self._aimed or (self._renditions[0] if self._renditions else None)
        return rendition.name if rendition is not None else ""

    @property
    def auto(self) -> bool:
        """Whether the server chooses."""
        return self._auto

    def choose(self, name: str) -> bool:
        """The viewer wants that rendition and no other; False when there is none of that name.

        When it cannot be had now, what plays goes on, and `RenditionChanged` tells so.
        """
        found = next((rendition for rendition in self._renditions if rendition.name == name), None)
        if found is None:
            return False
        self._auto = False
        self._steering.stop_probe()
        if not self._want(found):
            self._tell_shown()
        return True

    def choose_auto(self) -> None:
        """The server is to choose."""
        if not self._auto:
            self._auto = True
            self._steering.chosen_by_server(self._clock.now())
            self._tell_shown()

    def stats(self) -> ViewerStats:
        """How it does."""
        lane = self._video.lane if self._video is not None else None
        return ViewerStats(
            rendition=self.current,
            auto=self._auto,
            estimate=self._steering.estimate(self._clock.now()),
            loss=self._steering.loss,
            rtt=self._steering.rtt,
            delay=lane.delay if lane is not None else None,
            nacks=self._resender.asked,
            resent=self._resender.answered,
        )

    # The session

    def secured(self, link: "PeerLink") -> None:
        """See `PeerHandler.secured`."""
        if self._over:
            return
        if self._stream.ended:
            link.close(self._stream.ended)
            return
        self._link = link
        address = link.address
        self._sender.open(self.number, link.local, address)
        for outlet in self._outlets:
            outlet.connect(link, stream=address is None)
        self._aim_all()
        self._report(self._clock.now())

    def rtp(self, data: bytes, now: float) -> None:
        """See `PeerHandler.rtp`; a viewer sends none."""

    def rtcp(self, data: bytes, now: float) -> None:
        """See `PeerHandler.rtcp`. What cannot be read is ignored, as is what comes too often."""
        if self._over or not self._sayings.take(1, now):
            return
        try:
            packets = parse_compound(data)
        except RtcpError:
            return
        for packet in packets:
            if isinstance(packet, ReceiverReport | SenderReport):
                for block in packet.blocks:
                    self._hear_report(block, now)
            elif isinstance(packet, Remb):
                self._steering.remb(packet.bitrate, now)
            elif isinstance(packet, Nack):
                self._hear_nack(packet, now)
            elif isinstance(packet, TransportFeedback):
                self._hear_arrivals(packet, now)
            elif isinstance(packet, PictureLossIndication | FullIntraRequest):
                self._picture_lost(now)

    def moved(self, path: "Path") -> None:
        """See `PeerHandler.moved`."""
        link = self._link
        if link is None or self._over:
            return
        address = link.address
        self._sender.move(self.number, address)
        for outlet in self._outlets:
            outlet.connect(link, stream=address is None)

    def closed(self, reason: str) -> None:
        """See `PeerHandler.closed`."""
        if self._over:
            return
        self._over = True
        self._steering.stop_probe()
        for outlet in self._outlets:
            self._stream.around.pacer.discard(outlet)
            outlet.close()
        self._sender.close(self.number)
        self._leases.keep(())
        self._stream.leave(self)
        self._link = None
        # Who opened it holds it, too: nobody is to be kept by the other.
        self._on_event = _nobody

    # What the stream tells

    def end(self, reason: str) -> None:
        """The stream is over."""
        link = self._link
        self._emit(Ended(reason))
        if link is not None:
            link.close(reason)
        if not self._over:
            # Its session was not secured yet, or the link leaves it to us.
            self.closed(reason)

    def replan(self) -> None:
        """The stream's tracks or offers are others."""
        before = self.renditions
        self._renditions = self._stream.renditions(self._terms.takes)
        if not self._renditions:
            self.end(why_nothing(self._stream.tracks))
            return
        self._leases.forgive()
        if self.renditions != before:
            self._emit(RenditionsChanged(tuple(self.renditions)))
        wanted = self._aimed or self._current
        same = self._find(wanted)
        if same is None:
            self._auto = self._auto or wanted is None or not any(r.name == wanted.name for r in self._renditions)
            same = next((r for r in self._renditions if wanted is not None and r.name == wanted.name), None)
        self._current = self._find(self._current)
        self._aimed = None
        self._start(same)
        self._aim_all()
        self._drop_unused()

    def lost(self, closed: Mapping[str, str]) -> None:
        """Renditions are not made any more, for these reasons."""
        shown = (self._aimed or self._current) if self._video is not None else None
        if shown is not None and shown.video is not None and shown.video.id in closed:
            self._leases.refuse(shown.video.id, self._clock.now())
            self._leases.release(shown.video.id)
            self._current = self._aimed = None
            self._start(None)
            self._aim_all()

    def tick(self, now: float) -> None:
        """Its turn, about twice a second."""
        if self._over:
            return
        if now >= self._report_at:
            self._report(now)
        self._look_at_backlog(now)
        self._look_at_aim(now)
        self._look_at_sound(now)
        if self._auto:
            self._select(now)
        if self._video is not None:
            self._video.tidy()

    # Renditions

    def _start(self, preferred: Rendition | None = None) -> None:
        """Have something to show: `preferred`, else the best that can be had now."""
        order = [*([preferred] if preferred is not None else []), *self._renditions]
        for rendition in order:
            if self._acquire(rendition):
                self._aimed = rendition
                self._aimed_at = self._clock.now()
                break
        else:
            self._retry_at = self._clock.now() + _RETRY
        audio = (self._aimed or self._renditions[0]).audio
        if self._audio is not None and audio is not None and self._renditions[0].audio_made:
            self._leases.acquire(audio, self._clock.now())

    def _want(self, rendition: Rendition) -> bool:
        """Go over to a rendition; False when it cannot be had now."""
        current = self._find(self._current)
        if self._aimed is None and current is not None and _same_picture(current, rendition):
            return False
        if not self._acquire(rendition):
            return False
        aimed, self._aimed = self._aimed, rendition
        self._aimed_at = self._clock.now()
        if aimed is not None and aimed.video is not None and not _same_picture(aimed, rendition):
            self._free(aimed)
        self._aim_video()
        return True

    def _acquire(self, rendition: Rendition) -> bool:
        video = rendition.video
        return video is None or not rendition.video_made or self._leases.acquire(video, self._clock.now())

    def _free(self, rendition: Rendition) -> None:
        """Give the lease of a rendition's picture back, unless it is shown or aimed at."""
        video = rendition.video
        if video is None or any(
            other is not None and other.video is not None and other.video.id == video.id
            for other in (self._aimed, self._current)
        ):
            return
        self._leases.release(video.id)

    def _drop_unused(self) -> None:
        """Give back what neither its picture nor its sound is made of any more."""
        used = {one.video.id for one in (self._aimed, self._current) if one is not None and one.video is not None}
        if (sound := self._renditions[0].audio) is not None:
            used.add(sound.id)
        self._leases.keep(used)

    def _find(self, rendition: Rendition | None) -> Rendition | None:
        """The same rendition among those that there are now."""
        if rendition is None:
            return None
        return next((other for other in self._renditions if _same_picture(other, rendition)), None)

    def _aim_all(self) -> None:
        if self._link is None or self._over:
            return
        self._aim_video()
        self._aim_sound()

    def _aim_sound(self) -> None:
        outlet, audio = self._audio, self._renditions[0].audio if self._renditions else None
        if outlet is None or self._link is None:
            return
        lane = self._stream.lane(audio) if audio is not None else None
        if lane is None:
            outlet.drop()
            return
        if outlet.lane is not None and outlet.lane is not lane and not outlet.lane.open:
            outlet.drop()
        self._aim(outlet, lane)

    def _aim_video(self) -> None:
        outlet, aimed = self._video, self._aimed
        if outlet is None or aimed is None or self._link is None:
            return
        if aimed.video is None:
            self._arrived(aimed)
            return
        lane = self._stream.lane(aimed.video)
        if lane is None:
            return
        if outlet.lane is not None and outlet.lane is not lane and not outlet.lane.open:
            outlet.drop()
        if outlet.lane is lane:
            self._arrived(aimed)
        self._aim(outlet, lane)

    def _aim(self, outlet: Outlet, lane: Lane) -> None:
        """Begin with the lane's last group if nothing is shown now, else with its next keyframe."""
        if outlet.target is lane:
            return
        pacer = self._stream.around.pacer
        pacer.discard(outlet)
        now = self._clock.now()
        if outlet.lane is None and lane.kind is TrackKind.VIDEO and len(pacer) < _MOST_BURSTS:
            outlet.aim(lane, self._burst_budget(lane, now))
        else:
            outlet.aim(lane)
        if outlet.catching_up:
            pacer.add(outlet)
        elif outlet.target is not None and lane.kind is TrackKind.VIDEO:
            self._stream.live.request_keyframe(lane.track.id)

    def _burst_budget(self, lane: Lane, now: float) -> Budget:
        return Budget(lane.bitrate(), now, self._steering.estimate(now))

    def _entered(self, outlet: Outlet, lane: Lane) -> None:
        """The first packet of another lane goes out."""
        self._report_at = 0.0
        if outlet is self._video and self._aimed is not None:
            self._arrived(self._aimed)

    def _arrived(self, rendition: Rendition) -> None:
        before, self._current, self._aimed = self._current, rendition, None
        if before is not None:
            self._free(before)
        picture = before is None or not _same_picture(before, rendition)
        self._steering.changed(self._clock.now(), picture=picture)
        if before is None or before.name != rendition.name or self._shown != rendition.name:
            self._tell_shown()

    def _tell_shown(self) -> None:
        if self.current:
            self._shown = self.current
            self._emit(RenditionChanged(self.current, self._auto))

    def _look_at_aim(self, now: float) -> None:
        """What is waited for: ask again, give up, try again."""
        outlet, aimed = self._video, self._aimed
        if outlet is None or self._link is None:
            return
        if aimed is None:
            if self._current is None and now >= self._retry_at:
                self._leases.forgive()
                self._start(None)
                self._aim_all()
            return
        if aimed.video is None or outlet.catching_up:
            return
        if now - self._aimed_at > _GIVE_UP and now - self._stream.heard < _FLOWING:
            self._leases.refuse(aimed.video.id, now)
            outlet.forgo()
            self._aimed = None
            self._free(aimed)
            self._steering.refused(now)
            if self._current is None:
                self._start(None)
                self._aim_all()
            self._tell_shown()
        elif outlet.target is not None:
            self._stream.live.request_keyframe(outlet.target.track.id)

    def _look_at_sound(self, now: float) -> None:
        """Sound that could not be had is asked for again."""
        rendition = self._renditions[0] if self._renditions else None
        if self._audio is None or rendition is None or rendition.audio is None or not rendition.audio_made:
            return
        if rendition.audio.id not in self._leases and self._leases.acquire(rendition.audio, now):
            self._aim_sound()

    # Choosing

    def _select(self, now: float) -> None:
        current = self._find(self._current)
        if self._video is None or current is None or self._aimed is not None or self._link is None:
            return
        place = self._renditions.index(current)
        rates = [self._rate(rendition) for rendition in self._renditions]
        can_probe = self._video.headers.rtx_ssrc is not None and self._link.address is not None
        choice = self._steering.decide(now, rates, place, can_probe=can_probe)
        if choice.rendition != place:
            # Downwards the next lower one will do, too.
            places = range(choice.rendition, len(rates)) if choice.rendition > place else (choice.rendition,)
            if not any(self._want(self._renditions[found]) for found in places):
                self._steering.refused(now)
        if choice.probe and not self._steering.probing:
            self._resender.begin_probe(now)
        self._steering.probe(self._video, choice.probe, now)

    def _rate(self, rendition: Rendition) -> int:
        if rendition.video is not None and self._video is not None:
            lane = self._video.lane
            if lane is not None and lane.track.id == rendition.video.id:
                # What is sent counts, not what was promised: a still picture needs next to nothing.
                return lane.bitrate() or max(rendition.info.bitrate, 1)
            if not rendition.video_made and (measured := self._stream.live.bitrate(rendition.video.id)):
                return measured
        return max(rendition.info.bitrate, 1)

    # What the viewer says

    def _hear_report(self, block: ReportBlock, now: float) -> None:
        main = self._video or self._audio
        if main is not None and block.ssrc in [outlet.headers.ssrc for outlet in self._outlets]:
            self._steering.report(block, main.lane, now, main=block.ssrc == main.headers.ssrc)

    def _hear_nack(self, nack: Nack, now: float) -> None:
        outlet = self._video
        if outlet is None or nack.media_ssrc != outlet.headers.ssrc or outlet.headers.rtx_ssrc is None:
            return
        if self._link is None or self._link.address is None:
            return  # TCP loses nothing.
        if not self._sayings.take(len(nack.sequence_numbers) / _NUMBERS_PER_SAYING, now):
            return
        outlet.jitters = True
        self._resender.resend(outlet, nack.sequence_numbers, self._steering.rtt or 0.0, now)
        if self._steering.probing and self._resender.probe_crowds(outlet.lane, now):
            self._steering.overflowed(now)

    def _hear_arrivals(self, feedback: TransportFeedback, now: float) -> None:
        arrivals = feedback.arrivals
        if not self._sayings.take(len(arrivals) / _ARRIVALS_PER_SAYING, now):
            return
        sent = {
            number & 0xFFFF: (at, size)
            for number, at, size in self._sender.sent(self.number, feedback.base_sequence_number, len(arrivals))
        }
        found = [Arrival(sent[number][0], received, sent[number][1]) for number, received in arrivals if number in sent]
        self._steering.arrivals(found, now)

    def _picture_lost(self, now: float) -> None:
        """The viewer's decoder has nothing to go on with."""
        outlet = self._video
        if outlet is None or outlet.lane is None or now - self._asked_at < _ASK_EVERY:
            return  # What it waits for begins with a keyframe.
        self._asked_at = now
        lane = outlet.lane
        group, last = lane.history.keyframe, lane.last_timestamp
        lasted = None if group is None or last is None else (last - group.timestamp) / lane.rate
        if (lasted is None or lasted > _FRESH) and self._stream.live.request_keyframe(lane.track.id):
            return
        if lasted is None or self._resender.group_crowds(lane, now):
            return
        if self._resender.may_send_group(now):
            outlet.aim(lane, self._burst_budget(lane, now))
            if outlet.catching_up:
                self._stream.around.pacer.add(outlet)

    # By TCP

    def _look_at_backlog(self, now: float) -> None:
        link = self._link
        if link is None or link.address is not None or self._video is None:
            return
        backlog = link.backlog
        if self._choked:
            if backlog < _FULL * self._config.tcp_backlog:
                self._choked = False
                if self._current is not None and self._aimed is None:
                    self._aimed, self._aimed_at = self._current, now
                self._aim_all()
        elif backlog > self._config.tcp_backlog:
            self._choke()
        self._steering.backlog(backlog, self._video.lane)

    def _choke(self) -> None:
        self._choked = True
        assert self._video is not None
        self._stream.around.pacer.discard(self._video)
        self._video.drop()

    # The rest

    def _report(self, now: float) -> None:
        self._report_at = now + REPORT_EVERY
        if self._link is not None:
            present = self._stream.media_time()
            ntp = ntp_from_unix_ns(self._clock.wall_ns())
            self._link.send_rtcp(self._reporter.write(ntp, [outlet.sent(present) for outlet in self._outlets]))

    def _emit(self, event: ViewerEvent) -> None:
        try:
            self._on_event(event)
        except Exception as error:
            # Whoever listens is one viewer's; the stream is everybody's.
            _log.error("a listener of a viewer failed", stream=self._stream.live.name, exc_info=error)


def _nobody(_event: ViewerEvent) -> None:
    """Nobody listens any more."""


def _same_picture(one: Rendition, other: Rendition) -> bool:
    if one.video is None or other.video is None:
        return one.video is other.video
    return one.video.id == other.video.id
