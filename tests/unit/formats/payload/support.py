"""Bit streams of real encoders as tracks and frames, and what every format must keep to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tests.unit.codecs import codec_samples as samples

from ghostlive.codecs.describe import describe_video, inspect_frame, update_config
from ghostlive.core.track import Codec, Track
from ghostlive.formats.rtp.payload import CodedFrame, make_depacketizer, make_packetizer

MAX_SIZE = 1200


@dataclass(frozen=True)
class Stream:
    """A track and its frames, as the hub has them."""

    track: Track
    frames: list[CodedFrame]

    @property
    def payloads(self) -> list[bytes]:
        return [frame.payload for frame in self.frames]


def stream(codec: Codec, units: Sequence[bytes], config: bytes = b"") -> Stream:
    """What an ingest makes of access units."""
    frames = []
    for unit in units:
        found = inspect_frame(codec, unit)
        config = update_config(codec, config, found.parameter_sets)
        frames.append(CodedFrame(found.payload, found.keyframe, found.parameter_sets))
    facts = describe_video(codec, config, frames[0].payload)
    track = Track("v0", codec, 90_000, facts.config, facts.codec_string, facts.width, facts.height)
    return Stream(track, frames)


def h264(name: str = "h264_baseline.h264") -> Stream:
    return stream(Codec.H264, samples.h264_access_units(name))


def h265(name: str = "h265_main.hevc") -> Stream:
    return stream(Codec.H265, samples.h265_access_units(name))


def vp8() -> Stream:
    return stream(Codec.VP8, samples.ivf_frames("vp8.ivf"))


def vp9() -> Stream:
    return stream(Codec.VP9, samples.ivf_frames("vp9.ivf"))


def av1() -> Stream:
    return stream(Codec.AV1, samples.ivf_frames("av1_svt.ivf"))


STREAMS = {Codec.H264: h264, Codec.H265: h265, Codec.VP8: vp8, Codec.VP9: vp9, Codec.AV1: av1}


def equal_sizes(packets: Sequence[bytes]) -> bool:
    """What UDP_SEGMENT wants: all but the last have one size, and the last is not bigger."""
    return len({len(packet) for packet in packets[:-1]}) <= 1 and len(packets[-1]) <= len(packets[0])


def there_and_back(of: Stream, max_size: int = MAX_SIZE) -> list[CodedFrame]:
    """All frames through packets; sizes are looked at."""
    packetizer, depacketizer = make_packetizer(of.track, max_size), make_depacketizer(of.track.codec)
    frames = []
    for frame in of.frames:
        packets = packetizer.packetize(frame.payload, keyframe=frame.keyframe)
        assert packets
        assert max(map(len, packets)) <= max_size
        assert depacketizer.begins_frame(packets[0]) is not False
        found = depacketizer.assemble(packets)
        assert found is not None
        frames.append(found)
    return frames


def bare(track: Track) -> Track:
    """A track whose keyframes get nothing put before them."""
    if track.codec is Codec.H264:
        return replace(track, config=b"\x01\x42\x00\x1e\xff\xe0\x00")
    if track.codec is Codec.H265:
        return replace(track, config=b"\x01" + bytes(20) + b"\x03\x00")
    if track.codec is Codec.AV1:
        return replace(track, config=track.config[:4])
    return track
