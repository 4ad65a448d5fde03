"""Whatever a publisher sends, nothing escapes, frames are in order and memory is bounded."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.rtp_hostile import feed

STARTS = [
    b"\x50\x01\x00\x9d\x01\x2a\x80\x02\x68\x01",  # a VP8 keyframe
    b"\x67\x42\xc0\x1f",  # an SPS
    b"\x7c\x85\x88",  # the first fragment of an IDR picture
    b"\x18\x00\x04\x67\x42\xc0\x1f\x00\x02\x68\xce",  # two NAL units together
    b"\x8c\x00\x00\x9d",  # VP9
    b"\x0a\x0b\x00\x00\x00\x24",  # AV1
    b"\x78\x01",  # Opus
]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=2000))
def test_anything(data: bytes) -> None:
    feed(data)


def test_packets_that_look_like_media() -> None:
    choose = random.Random(5)
    frames = 0
    for round_ in range(60):
        data = bytearray([round_ & 0xFF])
        number = choose.randrange(200)
        for _ in range(150):
            number += choose.choice([0, 1, 1, 1, 1, 1, 1, 2, -2, 5])
            kind = choose.choice([3, 3, 3, 3, 4, 5, 6, 7, 7, 2, 0, 1])
            flags = kind | choose.choice([0, 0, 0x20, 0x20, 0x20, 0x80, 0xA0, 0x10, 0x40])
            payload = choose.choice(STARTS) + choose.randbytes(choose.randrange(60))
            if choose.random() < 0.5:
                payload = b"\x10" + STARTS[0] + payload  # VP8's own header before it
            if choose.random() < 0.1:
                payload = b""
            data += bytes((flags, number & 0xFF, len(payload))) + payload
        frames += feed(bytes(data))
    assert frames > 200
