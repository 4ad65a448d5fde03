"""The whole application in this process, without its programs."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest

from ghostlive.app import composition
from ghostlive.app.composition import Application
from ghostlive.app.config import Config
from ghostlive.chat.matrix.config import MatrixConfig
from ghostlive.core.events import StreamOffersChanged
from ghostlive.core.track import Codec, Track
from ghostlive.hub.live import Source
from ghostlive.protocols.rtmp.config import RtmpConfig, RtmpsConfig
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.transcode.config import TranscodeConfig
from ghostlive.transcode.probe import EncoderProbe, WorkingEncoders
from ghostlive.web.config import HttpConfig

CONFIG = Config(
    http=HttpConfig(port=0, host="127.0.0.1"),
    rtmp=RtmpConfig(port=0, host="127.0.0.1"),
    rtmps=RtmpsConfig(enabled=False),
    webrtc=WebRtcConfig(port=0),
    matrix=MatrixConfig(mode="off"),
    transcode=TranscodeConfig(encoders=("nvenc",), cores=8, memory_bytes=4 << 30),
)
TRACKS = (
    Track("v0", Codec.H264, 90_000, b"", "avc1.64001f", width=1280, height=720, frame_rate=Fraction(30)),
    Track("a0", Codec.AAC, 48_000, b"", "mp4a.40.2", sample_rate=48_000, channels=2),
)


async def test_what_is_live_gets_what_the_card_makes_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = asyncio.Event()

    async def probe(order: Sequence[str]) -> list[EncoderProbe]:
        await known.wait()
        return [EncoderProbe("nvenc", "h264_nvenc", works=True)]

    monkeypatch.setattr(composition, "_PROBE_AFTER", 0.0)
    monkeypatch.setattr(composition, "WorkingEncoders", partial(WorkingEncoders, probe=probe))
    application = Application(CONFIG, tmp_path)
    await application.start()
    try:
        await application.records.add("demo")
        publication = application.hub.publish("demo", Source("rtmp", "192.0.2.1", "obs"), lambda reason: None)
        publication.announce(TRACKS)
        live = application.hub.get("demo")
        assert live is not None
        assert [offer.track.id for offer in live.offers] == ["a0-opus"]  # the order has no software
        events = application.hub.listen()
        known.set()
        async for event in events:
            if isinstance(event, StreamOffersChanged):
                break
        assert [offer.track.id for offer in live.offers] == ["v0-480p30", "v0-360p30", "a0-opus"]
    finally:
        await application.stop()


async def test_a_stop_does_not_wait_for_encoders_that_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = asyncio.Event()

    async def probe(order: Sequence[str]) -> list[EncoderProbe]:
        began.set()
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(composition, "_PROBE_AFTER", 0.0)
    monkeypatch.setattr(composition, "WorkingEncoders", partial(WorkingEncoders, probe=probe))
    application = Application(replace(CONFIG, transcode=TranscodeConfig()), tmp_path)
    await application.start()
    await began.wait()
    await application.stop()
