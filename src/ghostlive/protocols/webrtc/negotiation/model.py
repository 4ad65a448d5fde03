"""What a negotiation results in."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ghostlive.core.track import Codec, TrackKind
from ghostlive.protocols.webrtc.candidate import Candidate
from ghostlive.protocols.webrtc.negotiation.payloads import PayloadFormat, match_format


@dataclass(frozen=True)
class MediaStream:
    """One m-line that both sides use. Media goes one way: to the peer or from it."""

    mid: str
    """Empty when the peer named none, which it may with a single m-line."""
    kind: TrackKind
    formats: tuple[PayloadFormat, ...]
    """In order of preference, ours first; at least one."""
    extensions: Mapping[str, int]
    """Identifiers of RTP header extensions by their URIs (`formats/rtp/extensions`)."""
    ssrc: int
    """Ours: of the media when we send, else of our RTCP alone."""
    rtx_ssrc: int | None = None
    """Ours, when we send and the peer takes retransmissions in a stream of their own (RFC 4588)."""
    rids: tuple[str, ...] = ()
    """The peer's simulcast layers, in its order; none without simulcast, or when we send."""
    layers: tuple[int, ...] = ()
    """The peer's simulcast layers by their SSRCs, in its order, where it tells them apart by nothing else: `SIM` groups
    (RFC 5576 has the form), which browsers had before rids and some encoders still have."""
    remote_ssrcs: tuple[int, ...] = ()
    """The peer's media sources, if it told them; its retransmissions are in `remote_repairs` only."""
    remote_repairs: Mapping[int, int] = field(default_factory=dict)
    """The peer's SSRCs of retransmissions, and which source each repairs (RFC 5576 §4.2, FID)."""
    max_bitrate: int | None = None
    """Bits per second that the peer wants at most, when we send."""

    def match(self, codec: Codec, codec_string: str = "") -> PayloadFormat | None:
        """The format for a track, whose RFC 6381 string tells the profile; None when the peer cannot take it."""
        return match_format(self.formats, codec, codec_string)


@dataclass(frozen=True)
class Transport:
    """The one ICE and DTLS transport of a session."""

    local_ufrag: str
    local_pwd: str = field(repr=False)
    remote_ufrag: str
    remote_pwd: str = field(repr=False)
    fingerprints: tuple[tuple[str, bytes], ...]
    """The peer's certificate: algorithms (`sha-256`, …) and digests; at least one."""
    dtls_client: bool
    """Whether we begin the handshake."""
    candidates: tuple[Candidate, ...] = ()
    """The peer's, as far as they can be understood; an ICE-lite agent needs none."""


@dataclass(frozen=True)
class Negotiation:
    """What both sides agreed to."""

    transport: Transport
    streams: tuple[MediaStream, ...]
    """In the order of their m-lines; at most one of each kind, at least one in all."""
    local: str = field(repr=False)
    """Our SDP, with the password of our ICE agent."""
    remote: str = field(repr=False)
    """The peer's SDP."""
    sending: bool
    """Whether we send media, else we receive it."""
    cname: str
    """Our name in RTCP, as our SDP says it (RFC 7022)."""

    def stream(self, kind: TrackKind) -> MediaStream | None:
        """The stream of this kind, if there is one."""
        return next((stream for stream in self.streams if stream.kind is kind), None)


@dataclass(frozen=True)
class LocalParameters:
    """What we say of ourselves."""

    ufrag: str
    pwd: str = field(repr=False)
    fingerprint: str
    """SHA-256 of our certificate, `AA:BB:…`."""
    candidates: tuple[Candidate, ...]
    """All of ours; none when they are told otherwise."""
    cname: str
    """Names us in SDP and RTCP (RFC 7022); also the name of the media stream."""
    session_id: int
    """63 bits that no other session has."""
    ice_lite: bool = True
    max_bitrate: int | None = None
    """Bits per second of video that the peer may send; None says nothing of it."""
