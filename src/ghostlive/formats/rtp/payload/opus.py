"""Opus in RTP: a packet of Opus is the payload, nothing is added.

Specification: RFC 7587 §4.2; RFC 6716 §3.
"""

from collections.abc import Sequence

from ghostlive.codecs.opus import MAX_FRAME_BYTES, OpusHead, merge_packets, packet_samples, split_packet
from ghostlive.core.errors import MediaError
from ghostlive.formats.rtp.payload.model import CodedFrame, PayloadError, check_max_size

__all__ = ["CLOCK_RATE", "OpusDepacketizer", "OpusPacketizer", "merge_packets", "split_packet"]

CLOCK_RATE = 48_000
"""Hz of RTP timestamps, whatever the rate of the sound (RFC 7587 §4.1)."""


class OpusPacketizer:
    """Opus packets as RTP payloads.

    Nobody may cut an Opus packet, so one with a single frame goes out even if it is somewhat above `max_size`: it has
    at most 1276 bytes. Bigger ones have several frames: `split_packet` takes them apart.
    """

    __slots__ = ("_limit",)

    def __init__(self, config: bytes, max_size: int) -> None:
        """`config` is an identification header; raises `PayloadError` for more than two channels (RFC 7587 §6.1)."""
        head = OpusHead.parse(config)
        if head.mapping_family or head.channels > 2:
            raise PayloadError(f"Opus in RTP has one or two channels, not {head.channels}")
        self._limit = max(check_max_size(max_size), 1 + MAX_FRAME_BYTES)

    def packetize(self, payload: bytes, *, keyframe: bool = True) -> list[bytes]:
        """The packet itself; none for an empty one. Raises `PayloadError` when it is too big."""
        if len(payload) > self._limit:
            raise PayloadError(f"an Opus packet of {len(payload)} bytes does not fit an RTP payload of {self._limit}")
        return [payload] if payload else []


class OpusDepacketizer:
    """RTP payloads as Opus packets. Silence that was not sent (DTX) is a gap in timestamps, or a packet of one byte."""

    def begins_frame(self, payload: bytes) -> bool | None:
        """Always: a packet is a frame."""
        return True

    def assemble(self, payloads: Sequence[bytes]) -> CodedFrame | None:
        """The packet; None when it is empty. Raises `PayloadError` when it is none, or there are several."""
        found = [payload for payload in payloads if payload]
        if not found:
            return None
        if len(found) > 1:
            raise PayloadError(f"{len(found)} Opus packets have one timestamp")
        try:
            packet_samples(found[0])
        except MediaError as error:
            raise PayloadError(str(error)) from error
        return CodedFrame(bytes(found[0]), keyframe=True)
