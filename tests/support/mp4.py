"""A small reader of fragmented MP4, written apart from the code that writes it."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"dinf", b"mvex", b"edts", b"moof", b"traf"}


@dataclass(frozen=True)
class Box:
    kind: bytes
    start: int
    body: bytes

    def children(self, skip: int = 0) -> list["Box"]:
        return list(boxes(self.body[skip:], self.start + 8 + skip))

    def find(self, *path: bytes) -> "Box":
        box = self
        for kind in path:
            box = next(child for child in box.children() if child.kind == kind)
        return box


@dataclass(frozen=True)
class Sample:
    dts: int
    duration: int
    offset: int
    flags: int
    payload: bytes

    @property
    def pts(self) -> int:
        return self.dts + self.offset

    @property
    def sync(self) -> bool:
        return not self.flags & 0x10000


def boxes(data: bytes, start: int = 0) -> Iterator[Box]:
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        assert 8 <= size <= len(data) - at, (kind, size, len(data) - at)
        yield Box(kind, start + at, data[at + 8 : at + size])
        at += size


def samples(data: bytes) -> dict[int, list[Sample]]:
    """The samples of all fragments in `data`, by track id."""
    out: dict[int, list[Sample]] = {}
    for moof in (box for box in boxes(data) if box.kind == b"moof"):
        for traf in (box for box in moof.children() if box.kind == b"traf"):
            found = {box.kind: box for box in traf.children()}
            track, defaults = _header(found[b"tfhd"].body)
            time = _decode_time(found[b"tfdt"].body)
            at = out.setdefault(track, [])
            for run in (box for box in traf.children() if box.kind == b"trun"):
                for sample in _run(run.body, data, moof.start, time, defaults):
                    at.append(sample)
                    time = sample.dts + sample.duration
    return out


def _header(body: bytes) -> tuple[int, tuple[int, int, int]]:
    flags = struct.unpack_from(">I", body)[0] & 0xFFFFFF
    assert flags & 0x20000, "default-base-is-moof"
    assert not flags & 1
    at, values = 8, [0, 0, 0]
    for bit, index in ((2, -1), (8, 0), (0x10, 1), (0x20, 2)):
        if flags & bit:
            if index >= 0:
                values[index] = struct.unpack_from(">I", body, at)[0]
            at += 4
    assert at == len(body)
    return struct.unpack_from(">I", body, 4)[0], (values[0], values[1], values[2])


def _decode_time(body: bytes) -> int:
    return int(struct.unpack_from(">Q" if body[0] else ">I", body, 4)[0])


def _run(body: bytes, data: bytes, moof: int, time: int, defaults: tuple[int, int, int]) -> Iterator[Sample]:
    version, flags, count, position = struct.unpack_from(">BxH I i", body)
    at = 12
    first_flags = None
    if flags & 4:
        first_flags = struct.unpack_from(">I", body, at)[0]
        at += 4
    position += moof
    for index in range(count):
        duration, size, sample_flags = defaults
        offset = 0
        if flags & 0x100:
            duration = struct.unpack_from(">I", body, at)[0]
            at += 4
        if flags & 0x200:
            size = struct.unpack_from(">I", body, at)[0]
            at += 4
        if flags & 0x400:
            sample_flags = struct.unpack_from(">I", body, at)[0]
            at += 4
        elif index == 0 and first_flags is not None:
            sample_flags = first_flags
        if flags & 0x800:
            offset = struct.unpack_from(">i" if version else ">I", body, at)[0]
            at += 4
        payload = data[position : position + size]
        assert len(payload) == size
        yield Sample(time, duration, offset, sample_flags, payload)
        position += size
        time += duration
    assert at == len(body)


def broadcast(data: bytes) -> tuple[list[Track], list[Frame]]:
    """An H.264 + AAC file as tracks and frames, in the order an encoder sends them.

    Edit lists are applied by shifting everything, so that no time is negative and sound and picture keep
    their distance.
    """
    moov = next(box for box in boxes(data) if box.kind == b"moov")
    tracks: dict[int, Track] = {}
    skips: dict[int, float] = {}
    for trak in (box for box in moov.children() if box.kind == b"trak"):
        number = struct.unpack_from(">I", trak.find(b"tkhd").body, 12)[0]
        scale = struct.unpack_from(">I", trak.find(b"mdia", b"mdhd").body, 12)[0]
        entry = trak.find(b"mdia", b"minf", b"stbl", b"stsd").children(8)[0]
        if entry.kind == b"avc1":
            width, height = struct.unpack_from(">HH", entry.body, 24)
            config = next(box for box in entry.children(78) if box.kind == b"avcC").body
            tracks[number] = Track(
                "v0", Codec.H264, scale, config, f"avc1.{config[1:4].hex()}", width=width, height=height
            )
        else:
            esds = next(box for box in entry.children(28) if box.kind == b"esds").body
            at = esds.index(b"\x05\x80\x80\x80") + 4
            config = esds[at + 1 : at + 1 + esds[at]]
            tracks[number] = Track("a0", Codec.AAC, scale, config, "mp4a.40.2", sample_rate=scale, channels=2)
        skips[number] = 0.0
        for child in trak.children():
            if child.kind == b"edts":
                edits = child.find(b"elst").body
                media = (
                    struct.unpack_from(">i", edits, 12)[0] if edits[0] == 0 else struct.unpack_from(">q", edits, 16)[0]
                )
                skips[number] = max(media, 0) / scale
    shift = max(skips.values())
    frames: list[Frame] = []
    for number, found in samples(data).items():
        track = tracks[number]
        moved = round((shift - skips[number]) * track.timescale)
        frames.extend(
            Frame(track.id, sample.dts + moved, sample.pts + moved, sample.sync, sample.payload) for sample in found
        )
    scales = {track.id: track.timescale for track in tracks.values()}
    frames.sort(key=lambda frame: (frame.dts / scales[frame.track], frame.track))
    return list(tracks.values()), frames
