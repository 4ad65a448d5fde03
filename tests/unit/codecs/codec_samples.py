"""Takes the encoders' files in `tests/data/codecs` apart, with as little container knowledge as will do."""

from collections.abc import Callable, Container
from pathlib import Path
from struct import unpack_from

from ghostlive.codecs import h264, nal
from ghostlive.codecs.h265_sets import nal_type

FOLDER = Path(__file__).parents[2] / "data" / "codecs"


def read(name: str) -> bytes:
    """A file as it is."""
    return (FOLDER / name).read_bytes()


def box(name: str, kind: bytes) -> bytes:
    """Body of the first box of that type in an MP4 file."""
    data = read(name)
    position = data.index(kind) - 4
    (size,) = unpack_from(">I", data, position)
    return data[position + 8 : position + size]


def mp4_samples(name: str) -> list[bytes]:
    """Samples of an MP4 file that has one track, hence lies in one piece."""
    data = read(name)
    table = box(name, b"stsz")
    fixed, count = unpack_from(">II", table, 4)
    sizes = [fixed] * count if fixed else list(unpack_from(f">{count}I", table, 12))
    (position,) = unpack_from(">I", box(name, b"stco"), 8)
    samples = []
    for size in sizes:
        samples.append(data[position : position + size])
        position += size
    return samples


def aac_config(name: str) -> bytes:
    """The AudioSpecificConfig in the `esds` of an MP4 file."""
    esds = box(name, b"esds")
    position = esds.index(b"\x05\x80\x80\x80")
    return esds[position + 5 : position + 5 + esds[position + 4]]


def flv_video(name: str) -> tuple[bytes, list[bytes]]:
    """The sequence header and the frames of H.264 in an FLV file."""
    data = read(name)
    position, config, frames = 13, b"", list[bytes]()
    while position < len(data):
        size = int.from_bytes(data[position + 1 : position + 4], "big")
        body = data[position + 11 : position + 11 + size]
        if data[position] == 9 and body[1] == 0:
            config = body[5:]
        elif data[position] == 9 and body[1] == 1:
            frames.append(body[5:])
        position += 15 + size
    return config, frames


def ivf_frames(name: str) -> list[bytes]:
    """Frames of an IVF file."""
    data = read(name)
    position, frames = 32, []
    while position < len(data):
        (size,) = unpack_from("<I", data, position)
        frames.append(data[position + 12 : position + 12 + size])
        position += 12 + size
    return frames


def ogg_packets(name: str) -> list[bytes]:
    """Packets of an Ogg file with one stream, headers included."""
    data = read(name)
    position, packets, packet = 0, [], b""
    while position < len(data):
        count = data[position + 26]
        laces = data[position + 27 : position + 27 + count]
        position += 27 + count
        for lace in laces:
            packet += data[position : position + lace]
            position += lace
            if lace < 255:
                packets.append(packet)
                packet = b""
    return packets


def h264_access_units(name: str) -> list[bytes]:
    """Access units, length-prefixed, of an Annex B file with one slice to a picture."""
    return _access_units(name, (h264.SLICE, h264.IDR), lambda first: first & 0x1F)


def h265_access_units(name: str) -> list[bytes]:
    """Access units, length-prefixed, of an Annex B file with one slice segment to a picture."""
    return _access_units(name, range(32), nal_type)


def _access_units(name: str, slices: Container[int], kind: Callable[[int], int]) -> list[bytes]:
    units: list[bytes] = []
    pending: list[bytes] = []
    for unit in nal.split_annexb(read(name)):
        pending.append(unit)
        if kind(unit[0]) in slices:
            units.append(nal.join_length_prefixed(pending))
            pending = []
    return units
