"""Fuzzes the RTP payload formats: whatever the payloads or frames, only `PayloadError` may come out.

The first byte chooses codec and direction, the second the biggest payload. For depacketizers the rest are payloads,
each behind its length of one byte (two above 239); for packetizers it is a frame.

    python -m tests.fuzz.fuzz_rtp_payload -max_total_time=300 CORPUS_FOLDER

`--seed-corpus FOLDER` writes a beginning for a corpus from `tests/data/codecs` instead.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.codecs", "ghostlive.formats"]):
    from ghostlive.codecs import opus
    from ghostlive.core.errors import MediaError
    from ghostlive.core.track import Codec, Track
    from ghostlive.formats.rtp.payload import (
        MIN_PAYLOAD,
        SUPPORTED,
        CodedFrame,
        PayloadError,
        initial_track,
        make_depacketizer,
        make_packetizer,
        updated_track,
    )
    from ghostlive.formats.rtp.payload.rtx import unwrap

from tests.unit.codecs import codec_samples as samples
from tests.unit.formats.payload import support

_LONG = 240
_CODECS = sorted(SUPPORTED)
_TRACKS = {codec: of().track for codec, of in support.STREAMS.items()}
_TRACKS[Codec.OPUS] = Track("a0", Codec.OPUS, 48_000, opus.OpusHead(2).to_bytes(), "opus", sample_rate=48_000)
# Parameter sets of the track would be taken out again.
_BARE = {codec: support.bare(track) for codec, track in _TRACKS.items()}


def test_one_input(data: bytes) -> None:
    """What atheris calls."""
    if len(data) < 2:
        return
    codec = _CODECS[(data[0] & 0x7F) % len(_CODECS)]
    if data[0] & 0x80:
        sent(codec, MIN_PAYLOAD + data[1], data[2:])
    else:
        received(codec, MIN_PAYLOAD + data[1], split(data[2:]))


def received(codec: Codec, max_size: int, payloads: Sequence[bytes]) -> None:
    """What can be put together can be sent, and is the same then."""
    depacketizer = make_depacketizer(codec)
    for payload in payloads:
        depacketizer.begins_frame(payload)
    with suppress(PayloadError):
        unwrap(payloads[0] if payloads else b"")
    with suppress(MediaError):
        merged = opus.merge_packets(payloads)
        assert merged is None or opus.packet_samples(merged) <= opus.MAX_PACKET_SAMPLES
    try:
        frame = depacketizer.assemble(payloads)
    except PayloadError:
        return
    if frame is None:
        return
    with suppress(PayloadError):
        updated_track(_TRACKS[codec], frame)
    with suppress(PayloadError):
        track = initial_track(codec, frame, "v0")
        if track is not None:
            assert updated_track(track, frame) is track
    if frame.payload:
        again = sent(codec, max_size, frame.payload, keyframe=frame.keyframe)
        if codec is Codec.OPUS and len(frame.payload) > opus.MAX_FRAME_BYTES:
            return  # nobody may cut it
        assert again is not None
        assert (again.payload, again.keyframe) == (frame.payload, frame.keyframe)


def sent(codec: Codec, max_size: int, payload: bytes, *, keyframe: bool = False) -> CodedFrame | None:
    """A frame through packets, None when it cannot be sent or is nothing; sizes are looked at."""
    try:
        packets = make_packetizer(_BARE[codec], max_size).packetize(payload, keyframe=keyframe)
    except PayloadError:
        return None
    assert codec is Codec.OPUS or all(0 < len(packet) <= max_size for packet in packets)
    with suppress(PayloadError):
        return make_depacketizer(codec).assemble(packets)
    return None


def split(data: bytes) -> list[bytes]:
    """Payloads behind their lengths."""
    payloads: list[bytes] = []
    position = 0
    while position < len(data):
        size = data[position]
        position += 1
        if size >= _LONG:
            size = (size - _LONG) << 8 | int.from_bytes(data[position : position + 1], "big")
            position += 1
        payloads.append(data[position : position + size])
        position += size
    return payloads


def join(payloads: Sequence[bytes]) -> bytes:
    """The opposite of `split`, of payloads below 4 KiB."""
    parts = []
    for payload in payloads:
        size = len(payload)
        parts.append((bytes((size,)) if size < _LONG else bytes((_LONG | size >> 8, size & 0xFF))) + payload)
    return b"".join(parts)


def write_seeds(folder: Path) -> None:
    """Frames of encoders, and their packets."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = {codec: of().frames[:3] for codec, of in support.STREAMS.items()}
    frames[Codec.OPUS] = [CodedFrame(packet, True) for packet in samples.ogg_packets("opus_60ms.ogg")[2:5]]
    for number, codec in enumerate(_CODECS):
        for index, frame in enumerate(frames[codec]):
            for size in (0, 255):
                packets = make_packetizer(_TRACKS[codec], MIN_PAYLOAD + size)
                payloads = packets.packetize(frame.payload, keyframe=frame.keyframe)
                head = bytes((number, size))
                (folder / f"{codec}-{index}-{size}-packets").write_bytes(head + join(payloads))
            (folder / f"{codec}-{index}-frame").write_bytes(bytes((0x80 | number, 100)) + frame.payload)


def main() -> None:
    """Run atheris with the command line's arguments."""
    if sys.argv[1:2] == ["--seed-corpus"]:
        write_seeds(Path(sys.argv[2]))
        return
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
