"""Packets in a TCP connection: each has its length in two bytes before it (RFC 4571 §2, RFC 6544 §3).

What does not live here: whose connection it is (`server`).

Invariant: a peer can make `FrameReader` keep `MAX_FRAME` bytes and its last piece of input, not more.
"""

from typing import Final

from ghostlive.protocols.webrtc.errors import WebRtcError

MAX_FRAME: Final = 2048
"""Bytes of the largest packet that a peer may send: more fits no network it would otherwise use."""
_LENGTH: Final = 2


class FramingError(WebRtcError):
    """A TCP connection that carries something other than packets."""


class FrameReader:
    """Takes the bytes of one connection apart."""

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        """`max_frame` is in bytes."""
        self._max_frame = max_frame
        self._rest = b""

    def receive(self, data: bytes) -> list[bytes]:
        """The packets that are complete now. Raises `FramingError` for one that is too long.

        A length of 0 is allowed (RFC 4571 §2) and means nothing.
        """
        data = self._rest + data
        packets = []
        start, end = 0, len(data)
        while end - start >= _LENGTH:
            size = data[start] << 8 | data[start + 1]
            if size > self._max_frame:
                self._rest = b""
                raise FramingError(f"a packet of {size} bytes came by TCP; {self._max_frame} are the most")
            if end - start < _LENGTH + size:
                break
            if size:
                packets.append(data[start + _LENGTH : start + _LENGTH + size])
            start += _LENGTH + size
        self._rest = data[start:]
        return packets


def frame(packet: bytes) -> bytes:
    """A packet (up to 65,535 bytes) with its length before it."""
    return len(packet).to_bytes(_LENGTH, "big") + packet
