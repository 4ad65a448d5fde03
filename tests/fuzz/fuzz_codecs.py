"""Fuzzes every parser of `ghostlive.codecs`: whatever the bytes, only `MediaError` may come out.

The first byte chooses the parser, the second is a small parameter, the rest is its input.

    python tests/fuzz/fuzz_codecs.py -runs=100000
    python tests/fuzz/fuzz_codecs.py -max_total_time=300 CORPUS_FOLDER

`--seed-corpus FOLDER` writes a beginning for a corpus from `tests/data/codecs` instead.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.codecs"]):
    from ghostlive.codecs import (
        aac,
        ac3,
        av1,
        describe,
        flac,
        h264,
        h264_sps,
        h265,
        h265_sets,
        mp3,
        nal,
        opus,
        vp8,
        vp9,
    )

from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec

T = TypeVar("T")
_PPS = h265_sets.PictureParameterSet(0, 0, 2)


def _round_trip(parse: Callable[[bytes], T], build: Callable[[T], bytes]) -> Callable[[bytes, int], object]:
    """A parser whose results, when they can be written, must be read back as the same."""

    def check(data: bytes, _: int) -> None:
        value = parse(data)
        with suppress(MediaError):
            again = build(value)
            assert parse(again) == value, f"{value} was written as {again.hex()}, which says something else"

    return check


def _plain(parse: Callable[[bytes], object]) -> Callable[[bytes, int], object]:
    return lambda data, _: parse(data)


def _updated(codec: Codec) -> Callable[[bytes, int], object]:
    """An update of a configuration; both come from the input, cut at the parameter."""

    def check(data: bytes, cut: int) -> None:
        config = describe.update_config(codec, data[:cut], [data[cut:]])
        if config:
            with suppress(MediaError):
                describe.describe_video(codec, config)

    return check


def _inspected(codec: Codec) -> Callable[[bytes, int], object]:
    """A frame made what it should be must stay as it is."""

    def check(data: bytes, size: int) -> None:
        unit = describe.inspect_frame(codec, data, size % 6)
        again = describe.inspect_frame(codec, unit.payload) if unit.payload else unit
        assert again.payload == unit.payload
        assert again.keyframe == unit.keyframe

    return check


def _described(codec: Codec) -> Callable[[bytes, int], object]:
    """Facts must be stable: the configuration they carry has the same facts."""

    def check(data: bytes, cut: int) -> None:
        config, payload = data[:cut], data[cut:]
        if codec.kind == "video":
            video = describe.describe_video(codec, config, payload)
            assert describe.describe_video(codec, video.config, payload).codec_string == video.codec_string
        else:
            audio = describe.describe_audio(codec, config, payload)
            assert describe.describe_audio(codec, audio.config, payload) == audio
            describe.audio_frame_samples(codec, audio, payload)

    return check


TARGETS: list[Callable[[bytes, int], object]] = [
    *(_described(codec) for codec in Codec),
    *(_inspected(codec) for codec in Codec),
    *(_updated(codec) for codec in (Codec.H264, Codec.H265, Codec.AV1)),
    _plain(h264_sps.parse_sps),
    _plain(h265_sets.parse_vps),
    _plain(h265_sets.parse_sps),
    _plain(h265_sets.parse_pps),
    _plain(h264.slice_type),
    _plain(h264.recovery_point),
    _plain(h264.has_b_slices),
    lambda data, _: h265.slice_type(data, _PPS),
    _round_trip(h264.DecoderConfiguration.parse, h264.DecoderConfiguration.to_bytes),
    _round_trip(h265.DecoderConfiguration.parse, h265.DecoderConfiguration.to_bytes),
    _round_trip(av1.CodecConfiguration.parse, av1.CodecConfiguration.to_bytes),
    _round_trip(vp9.CodecConfiguration.parse, vp9.CodecConfiguration.to_bytes),
    _round_trip(aac.AudioSpecificConfig.parse, aac.AudioSpecificConfig.to_bytes),
    _round_trip(opus.OpusHead.parse, opus.OpusHead.to_bytes),
    _round_trip(opus.OpusHead.parse_dops, opus.OpusHead.to_dops),
    _round_trip(flac.StreamInfo.parse, flac.StreamInfo.to_bytes),
    lambda data, size: nal.split_length_prefixed(data, size % 6),
    lambda data, size: nal.length_prefixed_to_annexb(data, size % 6),
    _plain(nal.annexb_to_length_prefixed),
    _plain(nal.unescape),
    _plain(av1.split_obus),
    _plain(av1.parse_sequence_header),
    _plain(vp9.parse_header),
    _plain(vp8.parse_size),
    _plain(aac.split_adts),
    _plain(opus.packet_samples),
    _plain(flac.frame_samples),
    _plain(ac3.packet_samples),
    lambda data, _: ac3.build_dec3(ac3.split_frames(data)),
    _plain(mp3.parse_header),
]


def test_one_input(data: bytes) -> None:
    """What atheris calls."""
    if len(data) < 2:
        return
    with suppress(MediaError):
        TARGETS[data[0] % len(TARGETS)](data[2:], data[1])


def write_seeds(folder: Path) -> None:
    """Give every parser the head of every file, and what lies behind the magic numbers of boxes."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = (b"avcC", b"hvcC", b"av1C", b"vpcC", b"dOps", b"dac3", b"dec3")
    for file in sorted((Path(__file__).parents[1] / "data" / "codecs").iterdir()):
        data = file.read_bytes()
        starts = [data.find(kind) + 4 for kind in kinds if kind in data]
        starts += [data.find(b"\x00\x00\x01" + head) + 3 for head in (b"\x67", b"\x40", b"\x42", b"\x44")]
        for start in {0, 32, 44, *starts}:
            for target in range(len(TARGETS)):
                name = f"{file.name}-{start}-{target}"
                (folder / name).write_bytes(bytes((target, 128)) + data[start : start + 400])


def main() -> None:
    """Run atheris with the command line's arguments."""
    if sys.argv[1:2] == ["--seed-corpus"]:
        write_seeds(Path(sys.argv[2]))
        return
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
