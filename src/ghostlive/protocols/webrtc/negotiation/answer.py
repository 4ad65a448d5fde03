"""Answers to offers of others: WHIP and WHEP.

Specifications: RFC 8829 §5.3, RFC 9143 §7.3, RFC 9725 §4.4. Invariant: hostile offers raise `NegotiationError` only.
"""

from collections.abc import Sequence
from typing import Final

from ghostlive.core.track import Codec, TrackKind
from ghostlive.formats.rtp import extensions
from ghostlive.formats.sdp import MediaDescription, Origin, SessionDescription
from ghostlive.protocols.webrtc.errors import NegotiationError
from ghostlive.protocols.webrtc.negotiation.bundle import bundles, is_usable, read_description, share_transport
from ghostlive.protocols.webrtc.negotiation.media import (
    describe,
    known_extensions,
    known_feedback,
    new_ssrcs,
    prefer_remb,
    read_bandwidth,
    read_extensions,
    read_layers,
    read_rids,
    read_sources,
    reject,
)
from ghostlive.protocols.webrtc.negotiation.model import LocalParameters, MediaStream, Negotiation
from ghostlive.protocols.webrtc.negotiation.payloads import encoding_names, read_formats
from ghostlive.protocols.webrtc.negotiation.transport import read_transport

_MAX_ONE_BYTE_VALUE: Final = 16
"""Bytes of a header extension's value in the one form that the fan-out writes (RFC 8285 §4.2)."""


def answer_offer(offer: str, local: LocalParameters, *, sending: bool, codecs: Sequence[Codec]) -> Negotiation:
    """Agree to an offer: to send media (WHEP) or to receive it (WHIP), in `codecs`, the preferred first.

    One audio and one video m-line are used, the first of each kind that can be; all others are rejected. A kind that
    `codecs` has none of is rejected silently. Raises `NegotiationError` when nothing is left, or when an m-line could
    be used but for its codecs: half of a broadcast is not what anybody wants.
    """
    session = read_description(offer, "offer")
    chosen: dict[TrackKind, tuple[MediaDescription, MediaStream]] = {}
    lacking: dict[TrackKind, MediaDescription] = {}
    wanted = {codec.kind for codec in codecs}
    for medium in session.media:
        kind = {"audio": TrackKind.AUDIO, "video": TrackKind.VIDEO}.get(medium.kind)
        if kind is None or kind not in wanted or kind in chosen or not is_usable(session, medium, sending=sending):
            continue
        stream = read_stream(medium, kind, sending=sending, codecs=codecs)
        if stream is None:
            lacking.setdefault(kind, medium)
        else:
            chosen[kind] = (medium, stream)
    for kind, medium in lacking.items():
        if kind not in chosen:
            raise NegotiationError(_no_common_codec(medium, kind, codecs, sending=sending))
    if not chosen:
        raise NegotiationError(
            f"the offer has no audio or video to {'receive' if sending else 'send'} (m-lines that are "
            f"{'recvonly' if sending else 'sendonly'} or sendrecv)"
        )
    used = {id(medium): stream for medium, stream in chosen.values()}
    media = [medium for medium in session.media if id(medium) in used]
    if not share_transport(session, media):
        raise NegotiationError("the offer has audio and video on separate transports; bundle them (max-bundle)")
    if not all(medium.has("rtcp-mux") for medium in media):
        raise NegotiationError("the offer does not multiplex RTP and RTCP on one port (a=rtcp-mux)")
    streams = tuple(used[id(medium)] for medium in media)
    group = next((bundle for bundle in bundles(session) if media[0].first("mid") in bundle), [])
    mids = {stream.mid for stream in streams}
    accepted = [mid for mid in dict.fromkeys(group) if mid in mids]
    tagged = next((medium for medium in media if accepted and medium.first("mid") == accepted[0]), media[0])
    transport = read_transport(session, tagged, local, answer=False)
    answer = SessionDescription(origin=Origin(local.session_id))
    if local.ice_lite:
        answer.add("ice-lite")
    if accepted:
        answer.add("group", f"BUNDLE {' '.join(accepted)}")
    if session.has("extmap-allow-mixed") or any(medium.has("extmap-allow-mixed") for medium in media):
        answer.add("extmap-allow-mixed")
    if sending:
        answer.add("msid-semantic", f"WMS {local.cname}")
    for medium in session.media:
        if id(medium) not in used:
            answer.media.append(reject(medium))
            continue
        answer.media.append(
            describe(
                used[id(medium)],
                local,
                sending=sending,
                setup="active" if transport.dtls_client else "passive",
                tagged=medium is tagged,
                protocol=medium.protocol,
                theirs=medium,
            )
        )
    return Negotiation(transport, streams, answer.to_text(), offer, sending, local.cname)


def read_stream(
    medium: MediaDescription,
    kind: TrackKind,
    *,
    sending: bool,
    codecs: Sequence[Codec],
    ssrcs: tuple[int, int] | None = None,
) -> MediaStream | None:
    """What both sides can do with an m-line of the peer; None without a common codec."""
    found = read_extensions(medium, known_extensions(kind, sending=sending), sending=sending)
    mid = medium.first("mid") or ""
    if sending and len(mid) > _MAX_ONE_BYTE_VALUE:
        found.pop(extensions.MID, None)
    formats = read_formats(medium, codecs, known_feedback(kind, found, sending=sending))
    if not formats:
        return None
    if sending and kind is TrackKind.VIDEO:
        formats, found = prefer_remb(formats, found)
    ssrc, rtx_ssrc = ssrcs or new_ssrcs(2)
    rids = () if sending else read_rids(medium, found)
    remote_ssrcs, remote_repairs = ((), {}) if sending else read_sources(medium)
    return MediaStream(
        mid=mid,
        kind=kind,
        formats=formats,
        extensions=found,
        ssrc=ssrc,
        rtx_ssrc=rtx_ssrc if sending and any(one.rtx is not None for one in formats) else None,
        rids=rids,
        layers=() if sending or rids or kind is TrackKind.AUDIO else read_layers(medium),
        remote_ssrcs=remote_ssrcs,
        remote_repairs=remote_repairs,
        max_bitrate=read_bandwidth(medium) if sending else None,
    )


def _no_common_codec(medium: MediaDescription, kind: TrackKind, codecs: Sequence[Codec], *, sending: bool) -> str:
    theirs = ", ".join(encoding_names(medium)) or "no known codec"
    ours = ", ".join(codec.value.upper() for codec in codecs if codec.kind is kind)
    verb = "can be sent" if sending else "can be received"
    hint = " (H.264 with packetization-mode=1)" if Codec.H264 in codecs and kind is TrackKind.VIDEO else ""
    return f"no {kind} codec in common: the offer has {theirs}; {ours}{hint} {verb}"
