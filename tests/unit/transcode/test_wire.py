"""The language between the server and its workers."""

import contextlib
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.packaged import audio, video

from ghostlive.core.track import Codec
from ghostlive.transcode.plan import AudioPlan, Mode, VideoPlan
from ghostlive.transcode.wire import (
    Decoder,
    Failed,
    Media,
    Message,
    Notice,
    Opened,
    Picture,
    Ready,
    RenditionStats,
    Source,
    Start,
    Stats,
    Still,
    Stop,
    Thin,
    WantKeyframe,
    WireError,
    encode,
)

SMALL = VideoPlan(
    "v0-720p30", "720p30", "v0", Codec.H264, "avc1.64001f", 1280, 720, Fraction(30000, 1001), 2_500_000, Mode.ALWAYS
)
SOUND = AudioPlan("a0-opus", "Opus", "a0", Codec.OPUS, "opus", 2, 128_000)

MESSAGES: list[Message] = [
    Media(7, 1, -5, 3600, keyframe=True, payload=b"\0\1"),
    Media(7, 0, 2**40, 2**40, keyframe=False, payload=b""),
    Source(1, (video(), audio())),
    Start(2, SMALL, ("h264_nvenc", "libx264"), after=900),
    Start(3, SOUND, ("libopus",), threads=1),
    Stop(2),
    Thin(2, 2),
    WantKeyframe(2),
    Picture(1, Codec.H264, b"\1", b"\0" * 9, 640, 360, "webp"),
    Ready(4711),
    Opened(2, "libx264", b"\1\2", "avc1.64001f", 1280, 720),
    Failed(0, "no decoder"),
    Notice(2, "the card is busy"),
    Stats(1.5, 10**8, 60, 1, 2, (RenditionStats(2, 30, 0, 0.2, 1.0, 0.01),)),
    Still(1, b"\xff\xd8"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_is_said_is_understood(message: Message) -> None:
    assert Decoder().feed(encode(message)) == [message]


@given(st.lists(st.integers(1, 200), max_size=20))
def test_messages_come_in_any_pieces(sizes: list[int]) -> None:
    data = b"".join(map(encode, MESSAGES))
    decoder = Decoder()
    found: list[Message] = []
    for size in sizes:
        found += decoder.feed(data[:size])
        data = data[size:]
    assert found + decoder.feed(data) == MESSAGES


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\0\0",
        b"\xff\xff\xff\xff\0",
        b"\0\0\0\1\xff",
        b"\0\0\0\2\0x",
        b"\0\0\0\3\3[]",
        b'\0\0\0\x0d\3{"walk":true',
        b'\0\0\0\x0a\3{"run":"1"}'[:14],
    ],
)
def test_nonsense_is_refused(data: bytes) -> None:
    length = int.from_bytes(data[:4], "big")
    with pytest.raises(WireError):
        Decoder().feed(data + b" " * max(0, min(length, 64) - len(data) + 4))


@pytest.mark.parametrize(("name", "value"), [("cpu", "much"), ("memory", 1.5), ("decoded", True), ("cpu", 1e300)])
def test_values_of_another_type_are_refused(name: str, value: Any) -> None:
    values: dict[str, Any] = {"cpu": 1.0, "memory": 1, "decoded": 1, "damaged": 0, "waiting": 0}
    with pytest.raises(WireError):
        Decoder().feed(encode(Stats(**{**values, name: value})))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_understood(data: bytes) -> None:
    decoder = Decoder()
    with contextlib.suppress(WireError):
        decoder.feed(data)
