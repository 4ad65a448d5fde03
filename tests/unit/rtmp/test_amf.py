"""AMF0 and AMF3 values, and bombs made of them."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.protocols.rtmp.errors import AmfError
from ghostlive.protocols.rtmp.parser.amf import Value
from ghostlive.protocols.rtmp.parser.amf0 import EcmaArray, decode, encode

values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(values, max_size=5))
def test_round_trip(given_values: list[Value]) -> None:
    assert decode(encode(*given_values)) == given_values


def test_bytes_of_a_command() -> None:
    assert encode("connect", 1, {"app": "live"}) == bytes.fromhex(
        "020007636f6e6e656374" "003ff0000000000000" "030003617070" "0200046c697665" "000009"
    )  # fmt: skip


def test_other_types() -> None:
    long = "x" * 70_000
    assert decode(encode(long)) == [long]
    assert decode(encode(EcmaArray({"a": 1}))) == [{"a": 1.0}]
    assert decode(b"\x0b" + struct.pack(">d", 5.0) + b"\x00\x00") == [5.0]
    assert decode(b"\x06\x0d") == [None, None]
    assert decode(b"\x0f\x00\x00\x00\x01a") == ["a"]
    assert decode(b"\x10\x00\x01T" + b"\x00\x01a\x05\x00\x00\x09") == [{"a": None}]
    assert decode(b"\x08\xff\xff\xff\xff\x00\x00\x09") == [{}]


def test_references() -> None:
    first, second = decode(b"\x03\x00\x01a\x05\x00\x00\x09" + b"\x07\x00\x00")
    assert first is second
    with pytest.raises(AmfError, match="names no object"):
        decode(b"\x07\x00\x05")


@pytest.mark.parametrize(
    "broken",
    [
        b"\x00\x00",
        b"\x02\x00\x05ab",
        b"\x03\x00\x01a",
        b"\x0a\xff\xff\xff\xff",
        b"\x03",
        b"\x0c\xff\xff\xff\xff",
        b"\x01",
    ],
)
def test_cut_short(broken: bytes) -> None:
    with pytest.raises(AmfError, match="cut short"):
        decode(broken)


def test_unknown_markers() -> None:
    with pytest.raises(AmfError, match="0x04 is unknown"):
        decode(b"\x04")
    with pytest.raises(AmfError, match="0x0d is not supported"):
        decode(b"\x11\x0d")


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x0a\x00\x00\x00\x01" * 1000,
        b"\x03\x00\x01a" * 5000,
        b"\x11" + b"\x09\x03\x01" * 5000,
        b"\x11\x0a\x0b\x01\x03a" + b"\x0a\x01\x03a" * 5000,
    ],
)
def test_depth_bombs(bomb: bytes) -> None:
    with pytest.raises(AmfError, match="deeper than 16"):
        decode(bomb)


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x0a\x00\x0f\x00\x00" + b"\x05" * 10_000,
        b"\x05" * 10_000,
        b"\x11\x0a" + b"\xff\xff\xff\xf3" + b"\x01" + b"\x01" * 10_000,
    ],
)
def test_count_bombs(bomb: bytes) -> None:
    with pytest.raises(AmfError, match="more than 4096"):
        decode(bomb)


def test_amf3_scalars() -> None:
    assert decode(b"\x11\x00\x11\x01\x11\x02\x11\x03") == [None, None, False, True]
    assert decode(b"\x11\x04\x7f\x11\x04\x81\x00\x11\x04\xff\xff\xff\xff") == [127.0, 128.0, -1.0]
    assert decode(b"\x11\x05" + struct.pack(">d", 2.5)) == [2.5]
    assert decode(b"\x11\x06\x07abc") == ["abc"]
    assert decode(b"\x11\x08\x01" + struct.pack(">d", 9.0)) == [9.0]
    assert decode(b"\x11\x0c\x05\xab\xcd\x11\x0b\x03x") == ["abcd", "x"]


def test_amf3_arrays_and_objects() -> None:
    assert decode(b"\x11\x09\x05\x01\x04\x01\x04\x02") == [[1.0, 2.0]]
    assert decode(b"\x11\x09\x03\x03k\x04\x05\x01\x04\x06") == [{"k": 5.0, "0": 6.0}]
    assert decode(b"\x11\x0a\x0b\x01\x03a\x04\x01\x01") == [{"a": 1.0}]
    assert decode(b"\x11\x0a\x13\x01\x03a\x04\x01") == [{"a": 1.0}]


def test_amf3_references() -> None:
    # An array of twice the same object, which has a member named by a repeated string and repeats its traits.
    body = b"\x09\x07\x01" + b"\x0a\x13\x03T\x03a\x06\x02" + b"\x0a\x02" + b"\x0a\x01\x04\x07"
    assert decode(b"\x11" + body) == [[{"a": "a"}, {"a": "a"}, {"a": 7.0}]]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (b"\x11\x06\x04", "no string"),
        (b"\x11\x09\x08", "no object"),
        (b"\x11\x0a\x05", "no traits"),
        (b"\x11\x0a\x07", "externalizable"),
        (b"\x11\x06\x07a", "cut short"),
    ],
)
def test_broken_amf3(broken: bytes, says: str) -> None:
    with pytest.raises(AmfError, match=says):
        decode(broken)


@given(st.binary(max_size=300))
def test_noise_raises_amf_errors_only(noise: bytes) -> None:
    for prefix in (b"", b"\x11", b"\x03\x00\x01a", b"\x11\x0a\x0b\x01"):
        with contextlib.suppress(AmfError):
            decode(prefix + noise)
