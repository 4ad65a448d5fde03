"""One source's report: its own tracks and its renditions, and what whoever manages the stream should know."""

from ghostlive.core.track import Track
from ghostlive.hub.live import LiveStream
from ghostlive.transcode.measuring import Performance
from ghostlive.transcode.offers import Offers
from ghostlive.transcode.plan import VideoPlan
from ghostlive.transcode.rendition import Rendition
from ghostlive.transcode.report import RenditionReport, RenditionState, StreamReport, TranscodeWarning
from ghostlive.transcode.troubles import Troubles

_HARDWARE = ("nvenc", "qsv", "vaapi", "amf", "v4l2m2m", "videotoolbox")


def report_of(
    live: LiveStream, offers: Offers, performance: Performance, troubles: Troubles, now: float
) -> StreamReport:
    """How everything stands, the source's own tracks first."""
    own = [_report_source(live, offers, track) for track in offers.tracks]
    thinned = performance.thinned
    made = [
        _report_rendition(live, rendition, now, thinned=rendition.id in thinned)
        for rendition in offers.renditions.values()
    ]
    warnings = (*_speed_warnings(offers, performance), *troubles.warnings(now), *_encoder_warnings(offers))
    return StreamReport((*own, *made), offers.left_out, warnings)


def _report_source(live: LiveStream, offers: Offers, track: Track) -> RenditionReport:
    return RenditionReport(
        id=track.id,
        name=offers.ladder.source_names.get(track.id, track.id),
        kind=str(track.kind),
        codec=str(track.codec),
        width=track.width,
        height=track.height,
        frame_rate=float(track.frame_rate) if track.frame_rate is not None else None,
        bitrate=live.bitrate(track.id),
        mode=None,
        state=RenditionState.SOURCE,
    )


def _report_rendition(live: LiveStream, rendition: Rendition, now: float, *, thinned: bool) -> RenditionReport:
    plan, stats = rendition.plan, rendition.stats
    rate = float(plan.frame_rate) if isinstance(plan, VideoPlan) else None
    state = rendition.state(now, leased=bool(live.leases(rendition.id)))
    reason = rendition.refused if state is RenditionState.REFUSED else ""
    if thinned:
        reason = "every second frame is left out, since this machine is too slow for all of them"
    return RenditionReport(
        id=plan.id,
        name=plan.name,
        kind=str(plan.kind),
        codec=str(plan.codec),
        width=plan.width if isinstance(plan, VideoPlan) else 0,
        height=plan.height if isinstance(plan, VideoPlan) else 0,
        frame_rate=rate / 2 if rate is not None and thinned else rate,
        bitrate=plan.bitrate,
        mode=plan.mode,
        state=state,
        encoder=rendition.encoder,
        hardware=any(kind in rendition.encoder for kind in _HARDWARE),
        speed=rendition.speed,
        cpu=rendition.cpu,
        frames_dropped=stats.dropped if stats else 0,
        reason=reason,
        realtime=rendition.offer.realtime,
    )


def _speed_warnings(offers: Offers, performance: Performance) -> list[TranscodeWarning]:
    found = []
    thinned = performance.thinned
    names = {plan.id: plan.name for plan in offers.ladder.plans}
    for track in (*thinned, *performance.withdrawn):
        step = "thinned" if track in thinned else "withdrawn"
        found.append(TranscodeWarning("too_slow", {"name": names.get(track, track), "step": step}))
    slow = any(one.speed is not None and one.speed < 1 for one in offers.renditions.values())
    if performance.slow and not slow:
        found.append(TranscodeWarning("decoder_too_slow", {}))
    return found


def _encoder_warnings(offers: Offers) -> list[TranscodeWarning]:
    return [
        TranscodeWarning("encoder_fell_back", {"name": one.name, "encoder": one.encoder, "instead_of": one.fell_back})
        for one in offers.renditions.values()
        if one.fell_back
    ]
