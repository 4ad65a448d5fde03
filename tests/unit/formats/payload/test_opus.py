"""Opus payloads, of libopus and by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.codecs import codec_samples as samples

from ghostlive.codecs.opus import OpusHead
from ghostlive.formats.rtp.payload import CodedFrame, PayloadError
from ghostlive.formats.rtp.payload.opus import OpusDepacketizer, OpusPacketizer

HEAD = OpusHead(2).to_bytes()


@pytest.mark.parametrize("name", ["opus_20ms.ogg", "opus_60ms.ogg"])
def test_a_packet_is_a_payload(name: str) -> None:
    head, _, *packets = samples.ogg_packets(name)
    packetizer, depacketizer = OpusPacketizer(head, 1200), OpusDepacketizer()
    for packet in packets:
        assert packetizer.packetize(packet) == [packet]
        assert depacketizer.begins_frame(packet) is True
        assert depacketizer.assemble([packet]) == CodedFrame(packet, keyframe=True)


def test_a_packet_of_one_frame_may_be_somewhat_too_big() -> None:
    packetizer = OpusPacketizer(HEAD, 1200)
    assert packetizer.packetize(b"\xfc" + bytes(1275)) == [b"\xfc" + bytes(1275)]
    with pytest.raises(PayloadError, match="1277 bytes"):
        packetizer.packetize(bytes(1277))
    assert len(OpusPacketizer(HEAD, 1400).packetize(bytes(1400))) == 1


def test_no_packet_is_no_payload() -> None:
    assert OpusPacketizer(HEAD, 1200).packetize(b"") == []
    assert OpusDepacketizer().assemble([]) is None
    assert OpusDepacketizer().assemble([b""]) is None


def test_surround_has_no_payload_format() -> None:
    with pytest.raises(PayloadError, match="not 6"):
        OpusPacketizer(OpusHead(6, mapping_family=1, mapping=b"\x04\x02" + bytes(6)).to_bytes(), 1200)


@pytest.mark.parametrize(
    ("payloads", "says"), [([b"\x03"], "frame count"), ([b"\xfb\x07"], "6720 samples"), ([b"\x78", b"\x78"], "2 Opus")]
)
def test_broken_payloads(payloads: list[bytes], says: str) -> None:
    with pytest.raises(PayloadError, match=says):
        OpusDepacketizer().assemble(payloads)


@given(st.lists(st.binary(max_size=10), max_size=3))
def test_anything_is_answered(payloads: list[bytes]) -> None:
    try:
        frame = OpusDepacketizer().assemble(payloads)
    except PayloadError:
        return
    assert frame is None or frame.payload in payloads
