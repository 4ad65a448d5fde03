"""Limits and times of sending; what an operator may want to set of it stands in `WebRtcConfig`."""

from dataclasses import dataclass

from ghostlive.core.settings import setting


@dataclass(frozen=True, slots=True)
class EgressConfig:
    """How viewers are fed."""

    mtu: int = setting(1200, "Largest RTP payload in bytes, without the headers below it.")
    tcp_backlog: int = setting(2 * 1024 * 1024, "Bytes that may wait for a viewer by TCP before the picture skips.")
    history: float = setting(1.0, "Seconds of video that are kept for packets that viewers ask for again.")
    burst_bytes: int = setting(3_000_000, "Largest group that a viewer is sent who joins in the middle of it, bytes.")
    burst_seconds: float = setting(4.0, "Longest group that a viewer is sent who joins in the middle of it.")
    hold_audio: float = setting(
        0.035, "Seconds that a sound packet may wait to go out together with a picture, while many watch."
    )
    hold_audio_from: int = setting(50, "Viewers of a track from which on its sound packets wait; 0 means never.")
    linger: float = setting(5.0, "Seconds for which a stream is read on after its last viewer left.")
