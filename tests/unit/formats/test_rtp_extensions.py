"""Values of RTP header extensions."""

import pytest

from ghostlive.formats.rtp import extensions
from ghostlive.formats.rtp.packet import RtpError


def test_abs_send_time() -> None:
    assert extensions.encode_abs_send_time(1.5) == bytes.fromhex("060000")
    assert extensions.decode_abs_send_time(bytes.fromhex("060000")) == 1.5
    assert extensions.encode_abs_send_time(64 + 1.5) == bytes.fromhex("060000")


def test_transport_sequence_number() -> None:
    assert extensions.encode_transport_sequence_number(0x12345) == b"\x23\x45"
    assert extensions.decode_transport_sequence_number(b"\x23\x45") == 0x2345


def test_text() -> None:
    assert extensions.encode_text("video-0") == b"video-0"
    assert extensions.decode_text(b"h") == "h"
    assert extensions.decode_text(b"h\0\0") == "h"
    for text in ("", "two words", "ü"):
        with pytest.raises(RtpError):
            extensions.encode_text(text)
    for value in (b"", b"\0\0", b"\xff", b"a b"):
        with pytest.raises(RtpError):
            extensions.decode_text(value)


@pytest.mark.parametrize(
    "decode",
    [
        extensions.decode_abs_send_time,
        extensions.decode_transport_sequence_number,
    ],
)
@pytest.mark.parametrize("value", [b"", b"\0", b"\0\0\0\0"])
def test_wrong_sizes(decode: object, value: bytes) -> None:
    assert callable(decode)
    with pytest.raises(RtpError):
        decode(value)
