"""Tracks that are read from the first keyframe."""

from dataclasses import replace

import pytest
from tests.unit.codecs import codec_samples as samples
from tests.unit.formats.payload import support

from ghostlive.codecs.opus import OpusHead
from ghostlive.core.track import Codec
from ghostlive.formats.rtp.payload import (
    SUPPORTED,
    CodedFrame,
    PayloadError,
    clock_rate,
    initial_track,
    make_depacketizer,
    make_packetizer,
    updated_track,
)

VIDEO = sorted(codec for codec in SUPPORTED if codec.kind == "video")


@pytest.mark.parametrize("codec", VIDEO)
def test_the_first_keyframe_tells_all(codec: Codec) -> None:
    stream = support.STREAMS[codec]()
    frames = support.there_and_back(stream)
    track = initial_track(codec, frames[0], "v0")
    assert track is not None
    assert (track.id, track.codec, track.timescale) == ("v0", codec, 90_000)
    assert (track.config, track.codec_string) == (stream.track.config, stream.track.codec_string)
    assert (track.width, track.height) == (stream.track.width, stream.track.height)
    assert track.width > 0
    assert all(updated_track(track, frame) is track for frame in frames)
    assert all(initial_track(codec, frame, "v0") is None for frame in frames if not frame.keyframe)
    # What it has can be sent on.
    assert make_packetizer(track, 1200).packetize(frames[0].payload, keyframe=True)


def test_a_keyframe_without_parameter_sets_tells_nothing() -> None:
    frame = support.h264().frames[0]
    assert initial_track(Codec.H264, replace(frame, parameter_sets=()), "v0") is None
    assert initial_track(Codec.H264, replace(frame, parameter_sets=frame.parameter_sets[:1]), "v0") is None


def test_parameter_sets_that_come_alone_change_the_track_too() -> None:
    stream, other = support.h264(), support.h264("h264_interlaced.h264")
    alone = CodedFrame(b"", keyframe=False, parameter_sets=other.frames[0].parameter_sets)
    changed = updated_track(stream.track, alone)
    assert changed.config == other.track.config
    assert (changed.width, changed.height) == (other.track.width, other.track.height)
    # One PPS more belongs to what was there.
    sps, pps = stream.frames[0].parameter_sets
    more = updated_track(stream.track, CodedFrame(b"", keyframe=False, parameter_sets=(b"\x68\x5c\x00",)))
    assert more.config != stream.track.config
    assert sps in more.config
    assert pps in more.config


@pytest.mark.parametrize(("codec", "at", "more"), [(Codec.VP8, 6, 16), (Codec.VP9, 5, 1)])
def test_another_size_is_another_track(codec: Codec, at: int, more: int) -> None:
    stream = support.STREAMS[codec]()
    track = initial_track(codec, stream.frames[0], "v0")
    assert track is not None
    payload = bytearray(stream.frames[0].payload)
    payload[at] += more
    changed = updated_track(track, CodedFrame(bytes(payload), keyframe=True))
    assert changed.width == track.width + 16
    assert changed.height == track.height


@pytest.mark.parametrize("channels", [1, 2])
def test_opus_is_as_negotiated(channels: int) -> None:
    frame = CodedFrame(samples.ogg_packets("opus_20ms.ogg")[2], keyframe=True)
    track = initial_track(Codec.OPUS, frame, "a0", channels=channels)
    assert track is not None
    assert (track.id, track.timescale, track.sample_rate, track.channels) == ("a0", 48_000, 48_000, channels)
    assert OpusHead.parse(track.config).channels == channels
    assert track.codec_string == "opus"
    assert updated_track(track, frame) is track


@pytest.mark.parametrize(
    ("codec", "frame"),
    [
        (Codec.H264, CodedFrame(b"\x00\x00\x00\x01\x65", keyframe=True, parameter_sets=(b"\x67", b"\x68\xce"))),
        (Codec.VP8, CodedFrame(b"\x00\x00", keyframe=True)),
        (Codec.AAC, CodedFrame(b"\x00\x00", keyframe=True)),
    ],
)
def test_broken_keyframes(codec: Codec, frame: CodedFrame) -> None:
    with pytest.raises(PayloadError):
        initial_track(codec, frame, "v0")


def test_broken_changes() -> None:
    track = support.h264().track
    with pytest.raises(PayloadError):
        updated_track(track, CodedFrame(b"", keyframe=False, parameter_sets=(b"\x67\x42",)))
    with pytest.raises(PayloadError):
        updated_track(replace(track, codec=Codec.VP9), CodedFrame(b"\x82\x00", keyframe=True))


def test_codecs_without_a_format() -> None:
    track = replace(support.h264().track, codec=Codec.FLAC)
    for ask in (lambda: make_packetizer(track, 1200), lambda: make_depacketizer(Codec.FLAC)):
        with pytest.raises(PayloadError, match="flac has no RTP payload format"):
            ask()
    with pytest.raises(PayloadError):
        clock_rate(Codec.MP3)
    assert {codec: clock_rate(codec) for codec in SUPPORTED} == {
        codec: 48_000 if codec is Codec.OPUS else 90_000 for codec in SUPPORTED
    }
