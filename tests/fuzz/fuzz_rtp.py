"""Fuzz target: RTP packets and their header extensions; only `RtpError` may come out.

What was read must be written and read again as the same.

    python -m tests.fuzz.fuzz_rtp -max_total_time=60
"""

import sys
from contextlib import suppress

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.formats.rtp"]):
    from ghostlive.formats.rtp import extensions
    from ghostlive.formats.rtp.packet import RtpError, RtpPacket, is_rtcp

_DECODERS = (
    extensions.decode_abs_send_time,
    extensions.decode_transport_sequence_number,
    extensions.decode_text,
)


def test_one_input(data: bytes) -> None:
    """What atheris calls."""
    is_rtcp(data)
    try:
        packet = RtpPacket.parse(data)
    except RtpError:
        return
    assert RtpPacket.parse(memoryview(packet.to_bytes())) == packet
    for _, value in packet.extensions:
        for decode in _DECODERS:
            with suppress(RtpError):
                decode(value)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
