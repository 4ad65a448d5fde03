"""Our own offers, as OvenMediaEngine's signalling has the server make them, and the peer's answers.

Specifications: RFC 8829 §5.2 and §5.11. Invariant: hostile answers raise `NegotiationError` only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ghostlive.core.track import Codec, TrackKind
from ghostlive.formats.rtp import extensions
from ghostlive.formats.sdp import MediaDescription, Origin, SessionDescription
from ghostlive.protocols.webrtc.errors import NegotiationError
from ghostlive.protocols.webrtc.negotiation.answer import read_stream
from ghostlive.protocols.webrtc.negotiation.bundle import is_usable, read_description, share_transport
from ghostlive.protocols.webrtc.negotiation.media import describe, known_feedback, new_ssrcs
from ghostlive.protocols.webrtc.negotiation.model import LocalParameters, MediaStream, Negotiation
from ghostlive.protocols.webrtc.negotiation.payloads import offered_formats
from ghostlive.protocols.webrtc.negotiation.transport import read_transport

_MID = {TrackKind.VIDEO: "0", TrackKind.AUDIO: "1"}
"""Short, since packets carry them."""
_SENDING = {TrackKind.VIDEO: {extensions.ABS_SEND_TIME: 2, extensions.MID: 4}, TrackKind.AUDIO: {extensions.MID: 4}}
# Layers cannot be asked for by an offer that browsers answer alike, so that rids are of no use.
_RECEIVING = {
    TrackKind.VIDEO: {
        extensions.ABS_SEND_TIME: 2, extensions.TRANSPORT_SEQUENCE_NUMBER: 3, extensions.MID: 4,
    },
    TrackKind.AUDIO: {extensions.TRANSPORT_SEQUENCE_NUMBER: 3, extensions.MID: 4},
}  # fmt: skip


@dataclass(frozen=True)
class PendingOffer:
    """An offer that waits for its answer."""

    sdp: str = field(repr=False)
    local: LocalParameters
    sending: bool
    streams: tuple[MediaStream, ...]
    """What is offered, one for each m-line."""

    def accept(self, answer: str) -> Negotiation:
        """Take the peer's answer. Raises `NegotiationError`, and may then be tried again."""
        session = read_description(answer, "answer")
        if len(session.media) != len(self.streams):
            raise NegotiationError(
                f"the answer has {len(session.media)} m-lines; the offer has {len(self.streams)} of them"
            )
        agreed: list[tuple[MediaDescription, MediaStream]] = []
        for medium, offered in zip(session.media, self.streams, strict=True):
            if medium.kind != offered.kind.value or (medium.first("mid") or offered.mid) != offered.mid:
                raise NegotiationError("the m-lines of the answer are not those of the offer")
            stream = self._agree(session, medium, offered)
            if stream is not None:
                agreed.append((medium, stream))
        if not agreed:
            raise NegotiationError("the answer takes neither audio nor video")
        media = [medium for medium, _ in agreed]
        if not share_transport(session, media):
            raise NegotiationError("the answer does not bundle audio and video")
        if not all(medium.has("rtcp-mux") for medium in media):
            raise NegotiationError("the answer does not multiplex RTP and RTCP on one port (a=rtcp-mux)")
        transport = read_transport(session, media[0], self.local, answer=True)
        streams = tuple(stream for _, stream in agreed)
        return Negotiation(transport, streams, self.sdp, answer, self.sending, self.local.cname)

    def _agree(self, session: SessionDescription, medium: MediaDescription, offered: MediaStream) -> MediaStream | None:
        if not is_usable(session, medium, sending=self.sending):
            return None
        stream = read_stream(
            medium,
            offered.kind,
            sending=self.sending,
            codecs=list(dict.fromkeys(one.codec for one in offered.formats)),
            ssrcs=(offered.ssrc, offered.rtx_ssrc or 0),
        )
        if stream is None:
            return None
        known = {one.payload_type: one.codec for one in offered.formats}
        formats = tuple(one for one in stream.formats if known.get(one.payload_type) is one.codec)
        numbers = {uri: number for uri, number in stream.extensions.items() if offered.extensions.get(uri) == number}
        if not formats:
            raise NegotiationError("the answer has other payload types than the offer")
        return MediaStream(
            mid=offered.mid,
            kind=stream.kind,
            formats=formats,
            extensions=numbers,
            ssrc=stream.ssrc,
            rtx_ssrc=stream.rtx_ssrc,
            layers=stream.layers,
            remote_ssrcs=stream.remote_ssrcs,
            remote_repairs=stream.remote_repairs,
            max_bitrate=stream.max_bitrate,
        )


def make_offer(local: LocalParameters, *, sending: bool, codecs: Sequence[Codec]) -> PendingOffer:
    """Offer to send media or to receive it in `codecs`, the preferred first: one m-line for each kind among them.

    Raises `NegotiationError` when WebRTC can carry none of them.
    """
    streams = tuple(
        stream
        for kind in (TrackKind.VIDEO, TrackKind.AUDIO)
        if (stream := _offered(kind, sending=sending, codecs=codecs)) is not None
    )
    if not streams:
        raise NegotiationError("there is no audio or video that WebRTC can carry")
    offer = SessionDescription(origin=Origin(local.session_id))
    if local.ice_lite:
        offer.add("ice-lite")
    offer.add("group", f"BUNDLE {' '.join(stream.mid for stream in streams)}")
    offer.add("extmap-allow-mixed")
    offer.add("msid-semantic", f"WMS {local.cname}" if sending else "WMS *")
    for index, stream in enumerate(streams):
        offer.media.append(describe(stream, local, sending=sending, setup="actpass", tagged=index == 0))
    return PendingOffer(offer.to_text(), local, sending, streams)


def _offered(kind: TrackKind, *, sending: bool, codecs: Sequence[Codec]) -> MediaStream | None:
    found = (_SENDING if sending else _RECEIVING)[kind]
    # Without transport-wide feedback in a sender's offer, receivers use REMB.
    formats = offered_formats(kind, codecs, known_feedback(kind, found, sending=sending), rtx=True)
    if not formats:
        return None
    ssrc, rtx_ssrc = new_ssrcs(2)
    has_rtx = sending and any(one.rtx is not None for one in formats)
    return MediaStream(_MID[kind], kind, formats, found, ssrc, rtx_ssrc if has_rtx else None)
