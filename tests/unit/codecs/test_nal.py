"""Framing of NAL units: both framings say the same, and hostile lengths are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.codecs import codec_samples as samples

from ghostlive.codecs import nal
from ghostlive.core.errors import MediaError

# First byte: 0 keep, 1 key frame, 2 parameter set, 3 drop.
ROLES = bytes(first & 3 for first in range(256))
# NAL units cannot have start codes in them, and do not end with a zero.
units = st.lists(st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"\x00", b"\x01")), min_size=1, max_size=8)


def escape(rbsp: bytes) -> bytes:
    """Put emulation prevention in (H.264 §7.4.1)."""
    out = bytearray()
    zeros = 0
    for byte in rbsp:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def prefixed(*nals: bytes, size: int = 4) -> bytes:
    return b"".join(len(unit).to_bytes(size, "big") + unit for unit in nals)


@given(units, st.integers(1, 4))
def test_framings_convert_into_each_other(nals: list[bytes], size: int) -> None:
    stream = nal.length_prefixed_to_annexb(prefixed(*nals, size=size), size)
    assert nal.split_annexb(stream) == nals
    assert nal.annexb_to_length_prefixed(stream) == prefixed(*nals)
    assert [bytes(unit) for unit in nal.split_length_prefixed(prefixed(*nals))] == nals


@given(st.binary(max_size=200) | st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 255]), max_size=60).map(bytes))
def test_emulation_prevention_is_undone(rbsp: bytes) -> None:
    assert nal.unescape(escape(rbsp)) == rbsp


def test_start_codes_of_three_and_four_bytes_and_trailing_zeros() -> None:
    assert nal.split_annexb(b"\x00\x00\x01\x00\x00\x01\x09") == [b"\x09"]
    assert nal.split_annexb(b"\x00\x00\x00\x01\x09\xf0\x00\x00\x01\x41\x9a\x00\x00\x00") == [b"\x09\xf0", b"\x41\x9a"]


@pytest.mark.parametrize("stream", [b"", b"\x09\xf0", b"\x05\x00\x00\x01\x09"])
def test_annexb_without_a_start_code_is_refused(stream: bytes) -> None:
    with pytest.raises(MediaError, match="start code"):
        nal.split_annexb(stream)


def test_too_many_nal_units_are_refused() -> None:
    with pytest.raises(MediaError, match="more than 8192"):
        nal.split_annexb(b"\x00\x00\x01\x09" * 8193)
    with pytest.raises(MediaError, match="more than 8192"):
        nal.split_length_prefixed(prefixed(b"\x00") * 8193)
    with pytest.raises(MediaError, match="more than 8192"):
        nal.strip_access_unit(prefixed(b"\x00") * 8193, 4, ROLES)
    assert len(nal.split_length_prefixed(prefixed(b"\x00") * 8192)) == 8192
    assert not nal.strip_access_unit(prefixed(b"\x00") * 8192, 4, ROLES).keyframe


@pytest.mark.parametrize("payload", [b"\x00\x00\x00", b"\x00\x00\x00\x05\x00", b"\x00\x00\x00\x01", b"\xff" * 9])
def test_lengths_that_do_not_add_up_are_refused(payload: bytes) -> None:
    with pytest.raises(MediaError):
        nal.split_length_prefixed(payload)
    with pytest.raises(MediaError):
        nal.strip_access_unit(payload, 4, ROLES)


@pytest.mark.parametrize("size", [0, 5])
def test_a_length_size_that_does_not_exist_is_refused(size: int) -> None:
    with pytest.raises(MediaError, match="1 to 4 bytes"):
        nal.split_length_prefixed(b"", size)


def test_strip_returns_the_same_object_when_there_is_nothing_to_take_out() -> None:
    payload = prefixed(b"\x00abc", b"\x01def")
    unit = nal.strip_access_unit(payload, 4, ROLES)
    assert unit.payload is payload
    assert unit == (payload, True, ())


@given(st.lists(st.binary(max_size=12), max_size=8), st.integers(1, 4))
def test_strip_does_what_the_roles_say(nals: list[bytes], size: int) -> None:
    unit = nal.strip_access_unit(prefixed(*nals, size=size), size, ROLES)
    assert unit.payload == prefixed(*(unit for unit in nals if unit and unit[0] & 3 in (nal.KEEP, nal.KEYFRAME)))
    assert unit.keyframe == any(unit and unit[0] & 3 == nal.KEYFRAME for unit in nals)
    assert list(unit.parameter_sets) == [unit for unit in nals if unit and unit[0] & 3 == nal.PARAMETER_SET]


def test_a_real_stream_keeps_all_its_nal_units() -> None:
    stream = samples.read("h264_baseline.h264")
    assert [unit[0] & 0x1F for unit in nal.split_annexb(stream)][:6] == [9, 7, 8, 6, 5, 9]
    assert sum(len(unit) for unit in nal.split_annexb(stream)) > 0.95 * len(stream)
