"""What was negotiated with one viewer: which tracks it takes, and how its packets look."""

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ghostlive.core.track import Track, TrackKind
from ghostlive.formats.rtp.extensions import ABS_SEND_TIME, MID, TRANSPORT_SEQUENCE_NUMBER
from ghostlive.protocols.webrtc.egress.lane import Lane
from ghostlive.protocols.webrtc.egress.outlet import Headers, Outlet

if TYPE_CHECKING:
    from ghostlive.protocols.webrtc.fanout.sender import Sender
    from ghostlive.protocols.webrtc.negotiation.model import MediaStream, Negotiation

_LONGEST_MID: Final = 16
"""Bytes of a value in the one-byte form of header extensions (RFC 8285 §4.2)."""
_FIRST_SEQUENCE: Final = 1 << 14
"""The first sequence number is below this: a lost beginning then does not confuse the receiver's count of turns."""


class Terms:
    """One viewer's."""

    __slots__ = ("_media", "_remb", "cname")

    def __init__(self, negotiation: "Negotiation") -> None:
        """The negotiation is one in which we send."""
        self._media = {media.kind: media for media in negotiation.streams}
        # Ten times fewer packets come back with REMB, and it counts the sound, too.
        self._remb = any("goog-remb" in one.feedback for media in negotiation.streams for one in media.formats)
        self.cname = negotiation.cname

    @property
    def max_bitrate(self) -> int | None:
        """Bits per second of picture that it wants at most; None for any."""
        video = self._media.get(TrackKind.VIDEO)
        return None if video is None else video.max_bitrate

    def takes(self, track: Track) -> bool:
        """Whether it negotiated what the track is."""
        media = self._media.get(track.kind)
        return media is not None and media.match(track.codec, track.codec_string) is not None

    def outlet(
        self, kind: TrackKind, viewer: int, sender: "Sender", on_entered: Callable[[Outlet, Lane], None]
    ) -> Outlet | None:
        """Where packets of this kind go; None when none was negotiated."""
        media = self._media.get(kind)
        if media is None:
            return None
        return Outlet(
            viewer,
            self._headers(media),
            base=secrets.randbits(32),
            first=1 + secrets.randbelow(_FIRST_SEQUENCE),
            sender=sender,
            formats=lambda lane: _payload_types(media, lane.track),
            on_entered=on_entered,
        )

    def _headers(self, media: "MediaStream") -> Headers:
        ids, mid = media.extensions, media.mid.encode()
        return Headers(
            media.ssrc,
            media.rtx_ssrc,
            abs_send_time_id=ids.get(ABS_SEND_TIME, 0),
            transport_sequence_id=0 if self._remb else ids.get(TRANSPORT_SEQUENCE_NUMBER, 0),
            mid_id=ids.get(MID, 0) if 1 <= len(mid) <= _LONGEST_MID else 0,
            mid=mid,
        )


def _payload_types(media: "MediaStream", track: Track) -> tuple[int, int | None]:
    """Of the track's packets, and of their retransmissions."""
    found = media.match(track.codec, track.codec_string)
    if found is None:
        # It was chosen because it matched; the encoder has changed its profile since.
        found = next((one for one in media.formats if one.codec is track.codec), media.formats[0])
    return found.payload_type, found.rtx if media.rtx_ssrc is not None else None
