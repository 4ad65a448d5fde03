"""Boxes: what is written is what a reader written apart from it, and ffprobe, find."""

import itertools
import json
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.mp4 import Box, boxes, broadcast, samples
from tests.support.packaged import DATA

from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec, Track
from ghostlive.formats.fmp4 import NON_SYNC, SYNC, empty_fragment, init_segment, media_fragment, supports

OPUS = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 312, 48000, -256, 0)
FLAC = bytes.fromhex("10001000000000000000 0bb802f000000000".replace(" ", "")) + bytes(16)


@given(
    data=st.data(),
    payloads=st.lists(st.binary(max_size=60), min_size=1, max_size=40),
    time=st.integers(0, 2**63),
    sequence=st.integers(0, 2**32 - 1),
)
def test_fragment_holds_its_samples(data: st.DataObject, payloads: list[bytes], time: int, sequence: int) -> None:
    def column(values: st.SearchStrategy[int]) -> list[int]:
        return data.draw(st.lists(values, min_size=len(payloads), max_size=len(payloads)))

    durations = data.draw(st.one_of(st.just([1024] * len(payloads)), st.builds(lambda: column(st.integers(1, 2**31)))))
    flags = data.draw(st.one_of(st.none(), st.just([NON_SYNC] * len(payloads))))
    offsets: Sequence[int] | None = column(st.integers(-(2**31), 2**31 - 1)) if data.draw(st.booleans()) else None
    fragment = media_fragment(sequence, time, durations, payloads, flags=flags, offsets=offsets)
    assert [box.kind for box in boxes(fragment)] == [b"moof", b"mdat"]
    moof = next(boxes(fragment))
    assert struct.unpack(">4xI", moof.find(b"mfhd").body) == (sequence,)
    found = samples(fragment)[1]
    assert [sample.payload for sample in found] == payloads
    assert [sample.duration for sample in found] == durations
    assert [sample.flags for sample in found] == (flags or [SYNC] * len(payloads))
    assert [sample.offset for sample in found] == list(offsets or [0] * len(payloads))
    assert found[0].dts == time


@given(time=st.integers(0, 2**63), duration=st.integers(1, 2**40), sequence=st.integers(0, 2**32 - 1))
def test_empty_fragment_says_for_how_long_there_is_nothing(time: int, duration: int, sequence: int) -> None:
    fragment = empty_fragment(sequence, time, duration)
    moof, mdat = boxes(fragment)
    assert (moof.kind, mdat.kind, mdat.body) == (b"moof", b"mdat", b"")
    assert struct.unpack(">4xI", moof.find(b"mfhd").body) == (sequence,)
    assert samples(fragment) == {1: []}
    flags, track, length = struct.unpack(">III", moof.find(b"traf", b"tfhd").body)
    assert flags & 0x01_0000, "duration-is-empty"
    assert (track, length) == (1, min(duration, 2**32 - 1))
    assert struct.unpack(">4xQ", moof.find(b"traf", b"tfdt").body) == (time,)


def entry(track: Track) -> Box:
    moov = next(box for box in boxes(init_segment(track)) if box.kind == b"moov")
    (found,) = moov.find(b"trak", b"mdia", b"minf", b"stbl", b"stsd").children(8)
    return found


@pytest.mark.parametrize(
    ("codec", "kind", "configuration"),
    [
        (Codec.H264, b"avc1", b"avcC"), (Codec.H265, b"hvc1", b"hvcC"), (Codec.AV1, b"av01", b"av1C"),
        (Codec.VP9, b"vp09", b"vpcC"),
    ],
)  # fmt: skip
def test_video_sample_entries(codec: Codec, kind: bytes, configuration: bytes) -> None:
    found = entry(Track("v0", codec, 90000, b"configuration", "", width=1920, height=1080))
    assert found.kind == kind
    assert struct.unpack_from(">HH", found.body, 24) == (1920, 1080)
    inner = {box.kind: box.body for box in found.children(78)}
    assert inner[configuration].removeprefix(b"\1\0\0\0" if codec is Codec.VP9 else b"") == b"configuration"
    assert inner[b"pasp"] == struct.pack(">II", 1, 1)


@pytest.mark.parametrize(
    ("codec", "kind", "configuration", "config"),
    [
        (Codec.AAC, b"mp4a", b"esds", b"\x11\x90"), (Codec.MP3, b"mp4a", b"esds", b""),
        (Codec.OPUS, b"Opus", b"dOps", OPUS), (Codec.FLAC, b"fLaC", b"dfLa", FLAC),
        (Codec.AC3, b"ac-3", b"dac3", b"\x10\x3d\x40"), (Codec.EAC3, b"ec-3", b"dec3", b"\x06\x00\x20\x0f\x00"),
    ],
)  # fmt: skip
def test_audio_sample_entries(codec: Codec, kind: bytes, configuration: bytes, config: bytes) -> None:
    found = entry(Track("a0", codec, 48000, config, "", sample_rate=48000, channels=2))
    assert found.kind == kind
    assert struct.unpack_from(">HH", found.body, 16) == (2, 16)
    assert struct.unpack_from(">I", found.body, 24) == (48000 << 16,)
    (inner,) = found.children(28)
    assert inner.kind == configuration
    if codec in (Codec.AC3, Codec.EAC3):
        assert inner.body == config
    if codec is Codec.OPUS:
        assert inner.body == struct.pack(">BBHIhB", 0, 2, 312, 48000, -256, 0)
    if codec is Codec.FLAC:
        assert inner.body == bytes(4) + b"\x80\0\0\x22" + FLAC


def test_opus_with_a_channel_mapping_keeps_it() -> None:
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 6, 312, 48000, 0, 1) + b"\4\2\0\4\1\2\3\5"
    (inner,) = entry(Track("a0", Codec.OPUS, 48000, head, "opus", sample_rate=48000, channels=6)).children(28)
    assert inner.body.endswith(b"\1\4\2\0\4\1\2\3\5")


def test_rate_beyond_sixteen_bits_is_left_to_the_codec() -> None:
    found = entry(Track("a0", Codec.FLAC, 96000, FLAC, "flac", sample_rate=96000, channels=2))
    assert struct.unpack_from(">I", found.body, 24) == (0,)


@pytest.mark.parametrize(
    ("language", "code", "extended"),
    [("", "und", False), ("en", "eng", True), ("de-CH", "deu", True), ("gsw", "gsw", True), ("x", "und", True)],
)
def test_languages(language: str, code: str, extended: bool) -> None:
    track = Track("a0", Codec.AAC, 48000, b"\x11\x90", "", sample_rate=48000, channels=2, language=language)
    moov = next(box for box in boxes(init_segment(track)) if box.kind == b"moov")
    mdia = moov.find(b"trak", b"mdia")
    packed = struct.unpack_from(">H", mdia.find(b"mdhd").body, 20)[0]
    assert "".join(chr(0x60 + (packed >> shift & 31)) for shift in (10, 5, 0)) == code
    assert (b"elng" in [box.kind for box in mdia.children()]) == extended


def test_what_cannot_be_carried_is_refused() -> None:
    assert not supports(Codec.VP8)
    with pytest.raises(MediaError, match="vp8"):
        init_segment(Track("v0", Codec.VP8, 90000, b"", "vp8"))
    with pytest.raises(MediaError, match="Opus"):
        init_segment(Track("a0", Codec.OPUS, 48000, b"nonsense", "opus"))


def test_ffprobe_reads_what_was_written(tmp_path: Path) -> None:
    tracks, frames = broadcast((DATA / "bframes.mp4").read_bytes())
    for track in tracks:
        mine = [frame for frame in frames if frame.track == track.id]
        times = [frame.dts for frame in mine] + [2 * mine[-1].dts - mine[-2].dts]
        file = tmp_path / f"{track.id}.mp4"
        file.write_bytes(
            init_segment(track)
            + media_fragment(
                1,
                mine[0].dts,
                [after - before for before, after in itertools.pairwise(times)],
                [frame.payload for frame in mine],
                flags=[SYNC if frame.keyframe else NON_SYNC for frame in mine],
                offsets=[frame.pts - frame.dts for frame in mine],
            )
        )
        command = ["ffprobe", "-v", "warning", "-of", "json", "-show_packets", "-show_streams", "-i", str(file)]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        assert result.stderr == ""
        found = json.loads(result.stdout)
        (stream,) = found["streams"]
        assert stream["codec_name"] == ("h264" if track.id == "v0" else "aac")
        assert stream["time_base"] == f"1/{track.timescale}"
        assert [(packet["dts"], packet["pts"]) for packet in found["packets"]] == [
            (frame.dts, frame.pts) for frame in mine
        ]
        keys = [packet["flags"].startswith("K") for packet in found["packets"]]
        assert keys == [frame.keyframe for frame in mine]
