"""A source, what may be made of it, and how viewers should see it."""

from dataclasses import replace

from tests.support.packaged import video
from tests.support.webrtc.watching import (
    Shown,
    opus,
)

from ghostlive.core.track import Codec, Track
from ghostlive.hub.derived import Offer

SOURCE = video()


def made(height: int, *, rate: int = 30, name: str = "", suffix: str = "", codec: Codec = Codec.H264) -> Track:
    picture = f"{height}p{rate}"
    track = replace(video(f"v0-{picture}{suffix}", height=height, rate=rate), config=b"", title=name or picture)
    return replace(track, codec=codec)


P480, P360 = made(480), made(360)
LADDER = (Offer(P480, 500_000), Offer(P360, 250_000))
OPUS = replace(opus("a0-opus", config=b""), title="Opus")
OPUS_OFFER = Offer(OPUS, 96_000)
WHOLE = Offer(made(720, name="720p30 WebRTC", suffix="-realtime"), 1_000_000, realtime=True)


def on_time(shown: list[Shown], *, within: float) -> None:
    """The timestamps of pictures follow the times of their arrival, so that no delay builds up in the player."""
    first = shown[0]
    for one in shown:
        told = ((one.timestamp - first.timestamp) & 0xFFFFFFFF) / 90_000
        assert abs(told - (one.at - first.at)) <= within, (one.number, told, one.at - first.at)
