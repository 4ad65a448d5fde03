"""FLV tag bodies, legacy and Enhanced RTMP v1 and v2."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec
from ghostlive.formats.flv import (
    Packet,
    PacketKind,
    build_audio,
    build_many_tracks,
    build_video,
    parse_audio,
    parse_video,
    split_aggregate,
)

VIDEO = [Codec.H264, Codec.H265, Codec.AV1, Codec.VP9, Codec.VP8]
AUDIO = [Codec.AAC, Codec.OPUS, Codec.FLAC, Codec.AC3, Codec.EAC3, Codec.MP3]


def shown(packet: Packet) -> tuple[object, ...]:
    return (
        packet.kind, packet.codec, packet.data, packet.keyframe, packet.composition, packet.nanoseconds, packet.track
    )  # fmt: skip


def test_legacy_h264() -> None:
    (config,) = parse_video(b"\x17\x00\x00\x00\x00config")
    assert shown(config) == (PacketKind.CONFIG, Codec.H264, b"config", True, 0, 0, 0)
    (frame,) = parse_video(b"\x27\x01\xff\xff\xfeframe")
    assert shown(frame) == (PacketKind.FRAME, Codec.H264, b"frame", False, -2, 0, 0)
    (end,) = parse_video(b"\x17\x02\x00\x00\x00")
    assert end.kind is PacketKind.END


def test_legacy_audio() -> None:
    (config,) = parse_audio(b"\xaf\x00\x11\x90")
    assert shown(config) == (PacketKind.CONFIG, Codec.AAC, b"\x11\x90", True, 0, 0, 0)
    (frame,) = parse_audio(b"\xaf\x01raw")
    assert (frame.kind, frame.data) == (PacketKind.FRAME, b"raw")
    (mp3,) = parse_audio(b"\x2emp3")
    assert (mp3.codec, mp3.data, mp3.channels) == (Codec.MP3, b"mp3", 1)
    (alaw,) = parse_audio(b"\x72a-law")
    assert (alaw.codec, alaw.data, alaw.channels) == (Codec.PCMA, b"a-law", 1)
    (mulaw,) = parse_audio(b"\x83mu-law")
    assert (mulaw.codec, mulaw.data, mulaw.channels) == (Codec.PCMU, b"mu-law", 2)
    assert [build_audio(packet) for packet in (alaw, mulaw)] == [b"\x72a-law", b"\x83mu-law"]


@pytest.mark.parametrize("body", [b"", b"\x57\x00"])
def test_bodies_that_mean_nothing(body: bytes) -> None:
    assert parse_video(body) == []
    assert parse_audio(b"") == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\x12\x00", "Sorenson H.263"),
        (b"\x1c\x00", "H.265 with the unofficial codec id 12"),
        (b"\x1e\x00", "unknown id 14"),
        (b"\x17\x01\x00", "cut short"),
        (b"\x90vvc1", "FourCC 'vvc1'"),
        (b"\x91hv", "cut short"),
        (b"\x91hvc1\x00", "cut short"),
        (b"\x95av01", "MPEG-2 TS"),
        (b"\x9dhvc1", "packet type 13"),
        (b"\x96\x30", "multitrack type 3"),
        (b"\x96\x11avc1\x00\x00\x00\x05a", "cut short"),
        (b"\x97" + b"\x00\x00\x07" * 20, "more than 16 modifiers"),
        (b"\x97\xff", "cut short"),
    ],
)
def test_unusable_video(body: bytes, says: str) -> None:
    with pytest.raises(MediaError, match=says):
        parse_video(body)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\x6f\x00", "Nellymoser"),
        (b"\xb0", "Speex"),
        (b"\xc0", "unknown id 12"),
        (b"\xaf", "cut short"),
        (b"\x91spex", "FourCC 'spex'"),
        (b"\x93Opus", "packet type 3"),
    ],
)
def test_unusable_audio(body: bytes, says: str) -> None:
    with pytest.raises(MediaError, match=says):
        parse_audio(body)


@pytest.mark.parametrize(
    ("body", "packet"),
    [
        (b"\x90hvc1config", (PacketKind.CONFIG, Codec.H265, b"config", True, 0, 0, 0)),
        (b"\xa1hvc1\x00\x00\x21frame", (PacketKind.FRAME, Codec.H265, b"frame", False, 33, 0, 0)),
        (b"\xa1avc1\xff\xff\xffframe", (PacketKind.FRAME, Codec.H264, b"frame", False, -1, 0, 0)),
        (b"\x93hvc1frame", (PacketKind.FRAME, Codec.H265, b"frame", True, 0, 0, 0)),
        (b"\x91av01frame", (PacketKind.FRAME, Codec.AV1, b"frame", True, 0, 0, 0)),
        (b"\x92vp09", (PacketKind.END, Codec.VP9, b"", True, 0, 0, 0)),
        (b"\x94hvc1amf", (PacketKind.METADATA, Codec.H265, b"amf", True, 0, 0, 0)),
        (b"\x97\x02\x00\x01\xf4\x01av01frame", (PacketKind.FRAME, Codec.AV1, b"frame", True, 0, 500, 0)),
        (b"\x97\xff\x00\x03\x00\x01\xf4\xff\x01av01x", (PacketKind.FRAME, Codec.AV1, b"x", True, 0, 500, 0)),
        (b"\x97\x00\x00\x11av01x", (PacketKind.FRAME, Codec.AV1, b"x", True, 0, 0, 0)),
        (b"\x96\x01av01\x03frame", (PacketKind.FRAME, Codec.AV1, b"frame", True, 0, 0, 3)),
    ],
)
def test_enhanced_video(body: bytes, packet: tuple[object, ...]) -> None:
    assert [shown(found) for found in parse_video(body)] == [packet]


def test_enhanced_commands_mean_nothing() -> None:
    assert parse_video(b"\xd1av01") == []


def test_enhanced_multichannel_configuration_is_skipped() -> None:
    assert parse_audio(b"\x94Opus\x01\x02") == []


def test_many_tracks() -> None:
    body = b"\x96\x11avc1" + b"\x00\x00\x00\x05" + b"\x00\x00\x01ab" + b"\x01\x00\x00\x04" + b"\x00\x00\x00c"
    first, second = parse_video(body)
    assert shown(first) == (PacketKind.FRAME, Codec.H264, b"ab", True, 1, 0, 0)
    assert shown(second) == (PacketKind.FRAME, Codec.H264, b"c", True, 0, 0, 1)


def test_many_tracks_of_many_codecs() -> None:
    packets = [
        Packet(PacketKind.FRAME, Codec.H264, b"one", composition=5, track=0),
        Packet(PacketKind.FRAME, Codec.AV1, b"two", track=1),
    ]
    assert [shown(found) for found in parse_video(build_many_tracks(packets))] == [shown(packet) for packet in packets]
    sounds = [Packet(PacketKind.CONFIG, Codec.AAC, b"a", track=1), Packet(PacketKind.CONFIG, Codec.OPUS, b"b", track=2)]
    assert [shown(found) for found in parse_audio(build_many_tracks(sounds))] == [shown(packet) for packet in sounds]


@given(
    codec=st.sampled_from(VIDEO),
    kind=st.sampled_from(PacketKind),
    data=st.binary(max_size=20),
    keyframe=st.booleans(),
    composition=st.integers(-0x800000, 0x7FFFFF),
    nanoseconds=st.integers(0, 999_999),
    track=st.integers(0, 255),
)
def test_video_round_trip(
    *, codec: Codec, kind: PacketKind, data: bytes, keyframe: bool, composition: int, nanoseconds: int, track: int
) -> None:
    if kind is not PacketKind.FRAME or codec not in (Codec.H264, Codec.H265):
        composition = 0
    if kind is PacketKind.END:
        data = b""
    packet = Packet(kind, codec, data, keyframe, composition, nanoseconds, track)
    (found,) = parse_video(build_video(packet, enhanced=True, multitrack=True))
    assert shown(found) == shown(packet)
    packet.track = 0
    (found,) = parse_video(build_video(packet, enhanced=True))
    assert shown(found) == shown(packet)
    if codec is Codec.H264 and kind is not PacketKind.METADATA:
        packet.nanoseconds = 0
        (found,) = parse_video(build_video(packet))
        assert (found.kind, found.data) == (kind, data)


@given(codec=st.sampled_from(AUDIO), data=st.binary(max_size=20), enhanced=st.booleans(), multitrack=st.booleans())
def test_audio_round_trip(*, codec: Codec, data: bytes, enhanced: bool, multitrack: bool) -> None:
    packet = Packet(PacketKind.FRAME, codec, data, track=7 if multitrack else 0)
    (found,) = parse_audio(build_audio(packet, enhanced=enhanced, multitrack=multitrack))
    assert shown(found) == shown(packet)


def tag(kind: int, timestamp: int, body: bytes) -> bytes:
    time = (timestamp & 0xFFFFFF).to_bytes(3, "big") + bytes([timestamp >> 24])
    return bytes([kind]) + len(body).to_bytes(3, "big") + time + bytes(3) + body + (11 + len(body)).to_bytes(4, "big")


def test_aggregates() -> None:
    body = tag(8, 0x1000005, b"sound") + tag(9, 0x1000009, b"picture")
    assert list(split_aggregate(body, 100)) == [(8, 100, b"sound"), (9, 104, b"picture")]
    assert list(split_aggregate(b"", 0)) == []


@pytest.mark.parametrize("cut", [5, 13])
def test_broken_aggregates(cut: int) -> None:
    with pytest.raises(MediaError, match="cut short"):
        list(split_aggregate(tag(8, 0, b"sound")[:cut], 0))


@given(st.binary(max_size=100))
def test_noise_raises_media_errors_only(noise: bytes) -> None:
    for parse in (parse_audio, parse_video):
        for prefix in (b"", b"\x96", b"\x97", b"\x91hvc1", b"\x95\x21"):
            with contextlib.suppress(MediaError):
                parse(prefix + noise)
    with contextlib.suppress(MediaError):
        list(split_aggregate(noise, 0))
