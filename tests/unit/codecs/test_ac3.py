"""AC-3 and E-AC-3 frames and boxes of ffmpeg."""

from dataclasses import replace

import pytest
from tests.unit.codecs import codec_samples as samples

from ghostlive.codecs import ac3
from ghostlive.codecs.bits import BitWriter
from ghostlive.core.errors import MediaError


def enhanced(kind: int, substream: int, *, acmod: int = 7, lfe: int = 0, rate: int = 0, tail: bytes = b"") -> bytes:
    """An E-AC-3 frame of 64 bytes; `rate` is fscod and the field after it, `tail` what follows bsid."""
    writer = BitWriter()
    fields = ((0x0B77, 16), (kind, 2), (substream, 3), (31, 11), (rate, 4), (acmod, 3), (lfe, 1), (16, 5))
    for value, count in fields:
        writer.bits(value, count)
    for byte in tail:
        writer.bits(byte, 8)
    return writer.to_bytes().ljust(64, b"\x00")


SIX_BLOCKS = 0b0011


def test_frames_of_ac3() -> None:
    frames = ac3.split_frames(samples.read("ac3_51.ac3"))
    assert [(frame.size, frame.samples) for frame in frames] == [(768, 1536)] * 10
    assert (frames[0].sample_rate, frames[0].channels, frames[0].enhanced) == (48000, 6, False)
    assert ac3.packet_samples(samples.read("ac3_51.ac3")) == 15360


def test_dac3_is_the_one_ffmpeg_writes() -> None:
    box = samples.box("ac3_stereo.mp4", b"dac3")
    packets = samples.mp4_samples("ac3_stereo.mp4")
    assert ac3.build_dac3(ac3.parse_frame(packets[0])) == box
    assert [ac3.parse_frame(packet).size for packet in packets[:3]] == [416, 418, 418]
    facts = ac3.describe_ac3(box)
    assert (facts.sample_rate, facts.channels, facts.frame_samples) == (44100, 2, 1536)
    assert facts.codec_string == "ac-3"
    assert ac3.describe_ac3(b"", packets[0]) == facts


def test_frames_of_eac3() -> None:
    frames = ac3.split_frames(samples.read("eac3.eac3"))
    assert [(frame.size, frame.samples) for frame in frames] == [(384, 1536)] * 10
    assert (frames[0].sample_rate, frames[0].channels, frames[0].enhanced) == (48000, 2, True)


def test_dec3_is_the_one_ffmpeg_writes() -> None:
    box = samples.box("eac3_51.mp4", b"dec3")
    packet = samples.mp4_samples("eac3_51.mp4")[0]
    assert ac3.build_dec3(ac3.split_frames(packet)) == box
    facts = ac3.describe_eac3(box)
    assert (facts.sample_rate, facts.channels, facts.frame_samples) == (48000, 6, None)
    assert facts.codec_string == "ec-3"
    assert ac3.describe_eac3(b"", packet) == facts


def test_a_dependent_substream_adds_its_channels() -> None:
    # dialnorm 31, no compr, chanmape, chanmap with Lrs/Rrs (entry 6)
    tail = (0b11111_0_1_0000001000000000_0 << 0).to_bytes(3, "big")
    packet = enhanced(0, 0, lfe=1, rate=SIX_BLOCKS) + enhanced(1, 0, acmod=2, rate=SIX_BLOCKS, tail=tail)
    frames = ac3.split_frames(packet)
    assert frames[1].dependent
    assert frames[1].chan_loc == 0b10
    facts = ac3.describe_eac3(b"", packet)
    assert facts.channels == 8
    # Another programme behind, with a dependent of its own, changes nothing for the first.
    other = enhanced(0, 1, acmod=2, rate=SIX_BLOCKS) + enhanced(1, 0, acmod=2, rate=SIX_BLOCKS, tail=tail)
    assert ac3.describe_eac3(b"", packet + other).channels == 8
    assert ac3.packet_samples(packet) == 1536


def test_a_dependent_substream_without_a_map_adds_nothing() -> None:
    plain = ac3.parse_frame(enhanced(1, 0, acmod=0, rate=SIX_BLOCKS, tail=b"\x04\x00\x40\x00"))
    assert plain.chan_loc == 0


def test_short_frames_come_several_to_a_packet() -> None:
    packet = enhanced(0, 0, rate=0b0001) * 3 + enhanced(0, 1, rate=0b0001)
    assert ac3.packet_samples(packet) == 1536
    with pytest.raises(MediaError):
        ac3.describe_eac3(b"\x00")
    assert ac3.describe_eac3(b"", packet).channels == 5


def test_low_sample_rates_need_a_packet() -> None:
    packet = enhanced(0, 0, rate=0b1101)
    facts = ac3.describe_eac3(b"", packet)
    assert facts.sample_rate == 22050
    with pytest.raises(MediaError, match="below 32 kHz"):
        ac3.describe_eac3(facts.config)


def test_half_rate_ac3() -> None:
    frame = bytearray(samples.read("ac3_51.ac3")[:768])
    frame[5] = 9 << 3 | frame[5] & 7
    assert ac3.parse_frame(frame).sample_rate == 24000


def test_mono_and_surround_modes_are_read_up_to_the_lfe_flag() -> None:
    frame = bytearray(samples.read("ac3_51.ac3")[:768])
    # acmod 1 has no mix levels, 2 has dsurmod, 3 has cmixlev, 4 has surmixlev
    for acmod, lfe_bit in ((1, 0x10), (2, 0x04), (3, 0x04), (4, 0x04)):
        frame[6] = acmod << 5 | lfe_bit
        assert ac3.parse_frame(frame).lfe
        frame[6] = acmod << 5
        assert not ac3.parse_frame(frame).lfe


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x0b\x77",
        bytes(8),
        b"\x0b\x77\x00\x00\xc0\x40\x00\x00",  # sample rate
        b"\x0b\x77\x00\x00\x3f\x40\x00\x00",  # size
        b"\x0b\x77\x00\x00\x00\x98\x00\x00",  # version 19
        b"\x0b\x77\xc0\x1f\x3f\x80\x00\x00",  # stream type
        b"\x0b\x77\x00\x01\x3f\x80\x00\x00",  # size
        b"\x0b\x77\x00\x1f\xf0\x80\x00\x00",  # sample rate
        samples.read("ac3_51.ac3")[:700],
        enhanced(0, 0, rate=SIX_BLOCKS) * 65,
    ],
)
def test_what_are_no_frames_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError):
        ac3.split_frames(data)


def test_boxes_are_not_made_of_the_wrong_frames() -> None:
    plain = ac3.parse_frame(samples.read("ac3_51.ac3"))
    with pytest.raises(MediaError, match="dec3"):
        ac3.build_dac3(replace(plain, enhanced=True))
    with pytest.raises(MediaError, match="independent"):
        ac3.build_dec3([plain])
    with pytest.raises(MediaError, match="reserved"):
        ac3.describe_ac3(b"\xc0\x00\x00")
