"""What is offered of a source: its ladder, without what no encoder here can make or this machine is too small for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ghostlive.core.track import Codec, Track, TrackKind
from ghostlive.hub.derived import Offer
from ghostlive.hub.live import LiveStream
from ghostlive.transcode.budget import claim_of
from ghostlive.transcode.ladder import Ladder, plan_ladder
from ghostlive.transcode.plan import AudioPlan, Mode, Plan, VideoPlan
from ghostlive.transcode.rendition import Rendition
from ghostlive.transcode.report import LeftOut
from ghostlive.transcode.surroundings import Surroundings
from ghostlive.transcode.vetting import AUDIO_TIMESCALE

_SOFTWARE = {
    Codec.H264: "libx264",
    Codec.AV1: "libsvtav1",
    Codec.VP8: "libvpx",
    Codec.AAC: "aac",
    Codec.OPUS: "libopus",
}


@dataclass(frozen=True, slots=True)
class Offers:
    """What is offered of a source's tracks."""

    tracks: tuple[Track, ...] = ()
    """The source's own."""
    ladder: Ladder = field(default_factory=lambda: Ladder(()))
    renditions: Mapping[str, Rendition] = field(default_factory=dict)
    """By the track's id."""
    left_out: tuple[LeftOut, ...] = ()

    @property
    def running(self) -> list[Rendition]:
        """Those that are made, or will be as soon as a worker can."""
        return [rendition for rendition in self.renditions.values() if rendition.running]


def plan_offers(live: LiveStream, around: Surroundings, before: Offers, withdrawn: Collection[str]) -> Offers:
    """Choose what to offer of `before.tracks`.

    Renditions that are the same as `before` keep their state; `withdrawn` are those that this machine is too slow for.
    """
    settings = around.settings_of(live.name)
    if settings is None and around.config.rendition:
        settings = around.config.rendition
    ladder = plan_ladder(before.tracks, settings)
    renditions: dict[str, Rendition] = {}
    left_out = list(ladder.left_out)
    for plan in ladder.plans:
        found = _consider(plan, live.session, around, before, withdrawn)
        if isinstance(found, Rendition):
            renditions[plan.id] = found
        elif not _is_realtime(plan):
            # Nobody configured what is for real time, so nobody misses it.
            left_out.append(LeftOut(plan.name, found))
    return Offers(before.tracks, ladder, renditions, tuple(left_out))


def _consider(
    plan: Plan, session: str, around: Surroundings, before: Offers, withdrawn: Collection[str]
) -> Rendition | str:
    """The rendition, or why it is not offered."""
    source = next(track for track in before.tracks if track.id == plan.source)
    encoders = encoders_for(plan.codec, around.encoders())
    if not encoders:
        return "no encoder for it works on this machine"
    known = before.renditions.get(plan.id)
    if known is not None:
        known.plan = replace(known.plan, mode=plan.mode)  # says when, not what
    if known is None or known.plan != plan or (known.encoders != encoders and not known.running):
        claim = claim_of(session, plan, source, encoder=encoders[0], preset=around.config.preset)
        offer = Offer(_promise(plan, source), plan.bitrate, realtime=_is_realtime(plan))
        known = Rendition(plan, offer, claim, encoders)
    if plan.mode is Mode.NEVER:
        return "it is switched off"
    if reason := around.budget.impossible(known.claim):
        return reason
    if plan.id in withdrawn:
        return "this machine is too slow for it now"
    return known


def encoders_for(codec: Codec, working: Sequence[str]) -> tuple[str, ...]:
    """FFmpeg's encoders of a codec among those that work here, in the order to try them."""
    software = _SOFTWARE.get(codec, "")
    if codec.kind is TrackKind.AUDIO:
        return (software,) if software else ()
    return tuple(name for name in working if name == software or name.startswith(f"{codec}_"))


def _is_realtime(plan: Plan) -> bool:
    return isinstance(plan, VideoPlan) and plan.realtime


def _promise(plan: Plan, source: Track) -> Track:
    """The track as it is offered."""
    if isinstance(plan, AudioPlan):
        return Track(
            plan.id,
            plan.codec,
            AUDIO_TIMESCALE,
            b"",
            plan.codec_string,
            sample_rate=plan.sample_rate,
            channels=plan.channels,
            language=source.language,
            title=plan.name,
        )
    rate = plan.frame_rate if source.frame_rate is not None else None
    return replace(
        Track(plan.id, plan.codec, source.timescale, b"", plan.codec_string, width=plan.width, height=plan.height),
        frame_rate=rate,
        language=source.language,
        title=plan.name,
    )
