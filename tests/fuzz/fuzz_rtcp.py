"""Fuzz target: compound RTCP; only `RtcpError` may come out.

What was read, and can be written, must be read again as the same.

    python -m tests.fuzz.fuzz_rtcp -max_total_time=60
"""

import sys

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.formats.rtcp"]):
    from ghostlive.formats.rtcp import Nack, ReceiverReport, RtcpError, parse_compound, round_trip_time, write_compound


def test_one_input(data: bytes) -> None:
    """What atheris calls."""
    try:
        packets = parse_compound(data)
    except RtcpError:
        return
    for packet in packets:
        if isinstance(packet, ReceiverReport):
            for block in packet.blocks:
                round_trip_time(block, 1 << 63)
    try:
        written = write_compound(packets)
    except RtcpError:
        return  # text that is longer in our encoding
    if written and len(written) <= 4096:
        assert list(map(meaning, parse_compound(written))) == list(map(meaning, packets))


def meaning(packet: object) -> object:
    """What a packet says. Which packets a NACK asks for has no order, and to ask twice is to ask (RFC 4585 §6.2.1)."""
    if isinstance(packet, Nack):
        return packet.sender_ssrc, packet.media_ssrc, frozenset(packet.sequence_numbers)
    return packet


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
