"""What all payload formats share: the interfaces, the coded frame, and the cutting of a frame in equal pieces."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ghostlive.formats.rtp.packet import RtpError

VIDEO_CLOCK_RATE = 90_000
"""Hz of RTP timestamps of every video format here."""

MIN_PAYLOAD = 64
"""The smallest `max_size` that a packetizer takes: less is a mistake, and headers would be most of it."""

MAX_PACKETS = 8192
"""Packets of one frame, about 10 MB: more is an attempt to keep us busy."""


class PayloadError(RtpError):
    """A payload breaks its format, or a frame cannot be put into payloads."""


class Packetizer(Protocol):
    """Cuts the frames of one track into RTP payloads."""

    def packetize(self, payload: bytes, *, keyframe: bool) -> list[bytes]:
        """The RTP payloads of a frame (`core.frame.Frame.payload`), in order; the marker belongs to the last.

        They are as equal in size as the format allows, none for an empty frame. Before a keyframe come the parameter
        sets of `Track.config`. Raises `PayloadError` when the frame is not what `Frame` promises.
        """
        ...


@dataclass(frozen=True, slots=True)
class CodedFrame:
    """One frame out of RTP payloads."""

    payload: bytes
    """As `core.frame.Frame.payload` has it; empty when only parameter sets came."""
    keyframe: bool
    """Decoding may begin here; always true for audio."""
    parameter_sets: tuple[bytes, ...] = ()
    """H.264, H.265: VPS, SPS and PPS, which are not in `payload`. AV1: sequence headers, which are."""


class Depacketizer(Protocol):
    """Puts RTP payloads of one stream together again. It keeps nothing from frame to frame."""

    def begins_frame(self, payload: bytes) -> bool | None:
        """Whether nothing that a decoder needs of the frame can have come before this payload.

        None when the payload does not tell: then only a gapless sequence number after the last packet of the frame
        before does. Never raises: of a broken payload it is False.
        """
        ...

    def assemble(self, payloads: Sequence[bytes]) -> CodedFrame | None:
        """The frame of all payloads with one timestamp, in order, with none missing; None when there is nothing in it.

        Raises `PayloadError` when a payload is broken, or the frame has no beginning or no end.
        """
        ...


def check_max_size(max_size: int) -> int:
    """`max_size` as it is; raises `PayloadError` below `MIN_PAYLOAD`."""
    if max_size < MIN_PAYLOAD:
        raise PayloadError(f"RTP payloads of {max_size} bytes are too small, {MIN_PAYLOAD} is the least")
    return max_size


def check_count(payloads: Sequence[bytes]) -> None:
    """Raises `PayloadError` above `MAX_PACKETS`."""
    if len(payloads) > MAX_PACKETS:
        raise PayloadError(f"a frame has {len(payloads)} packets, at most {MAX_PACKETS} are accepted")


def piece_size(size: int, room: int) -> int:
    """The size of pieces in which `size` bytes are cut so that as few as can be, each at most `room`, are about equal.

    All but the last have this size: then the kernel can cut one write into packets (UDP_SEGMENT).
    """
    count = -(-size // room)
    return -(-size // count)
