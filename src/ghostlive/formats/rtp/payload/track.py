"""Tracks of what came by RTP: configuration, codec string and size are read from keyframes, since nothing else tells.

Timescales are the clock rates of RTP.
"""

from dataclasses import replace

from ghostlive.codecs import vp9
from ghostlive.codecs.describe import describe_audio, describe_video, update_config
from ghostlive.codecs.opus import OpusHead
from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec, Track, TrackKind
from ghostlive.formats.rtp.payload.model import CodedFrame, PayloadError
from ghostlive.formats.rtp.payload.registry import clock_rate

_SIZED_BY_FRAME = frozenset({Codec.VP8, Codec.VP9})
"""Codecs that have their size in each keyframe and not in their configuration."""


def initial_track(codec: Codec, frame: CodedFrame, track_id: str, *, channels: int = 2) -> Track | None:
    """The track that begins with `frame`; None when the frame does not tell enough (no keyframe, no parameter sets).

    Parameter sets that came alone before the keyframe, or in a session description, are to be put into the frame.
    `channels` is what was negotiated for Opus, 1 or 2: its packets may change between them at any time. Whether video
    has B-frames is taken as false when the bit stream does not say. Raises `PayloadError` when a parameter set or
    header is broken, or the codec has no payload format here.
    """
    rate = clock_rate(codec)
    try:
        if codec.kind is TrackKind.AUDIO:
            sound = describe_audio(codec, OpusHead(channels).to_bytes())
            return Track(
                id=track_id,
                codec=codec,
                timescale=rate,
                config=sound.config,
                codec_string=sound.codec_string,
                sample_rate=sound.sample_rate,
                channels=sound.channels,
            )
        if not frame.keyframe:
            return None
        config = _config(codec, b"", frame)
        if config is None:
            return None
        facts = describe_video(codec, config, frame.payload)
    except MediaError as error:
        raise PayloadError(str(error)) from error
    return Track(
        id=track_id,
        codec=codec,
        timescale=rate,
        config=facts.config,
        codec_string=facts.codec_string,
        width=facts.width,
        height=facts.height,
        frame_rate=facts.frame_rate,
        has_b_frames=bool(facts.has_b_frames),
    )


def updated_track(track: Track, frame: CodedFrame) -> Track:
    """The track that `frame` belongs to: `track` itself, or one with another configuration or size.

    To be asked for every frame that is a keyframe or has parameter sets; for others the answer is `track`. Raises
    `PayloadError` when a parameter set or header is broken.
    """
    if track.kind is TrackKind.AUDIO or not (frame.keyframe or frame.parameter_sets):
        return track
    codec = track.codec
    try:
        config = _config(codec, track.config, frame)
        if config is None or (config == track.config and codec not in _SIZED_BY_FRAME):
            return track
        facts = describe_video(codec, config, frame.payload if codec in _SIZED_BY_FRAME else b"")
    except MediaError as error:
        raise PayloadError(str(error)) from error
    changed = replace(
        track,
        config=facts.config,
        codec_string=facts.codec_string,
        width=facts.width,
        height=facts.height,
        frame_rate=facts.frame_rate or track.frame_rate,
        has_b_frames=track.has_b_frames if facts.has_b_frames is None else facts.has_b_frames,
    )
    return track if changed == track else changed


def _config(codec: Codec, known: bytes, frame: CodedFrame) -> bytes | None:
    """The configuration (`Track.config`) after `frame`, given the one before; None when the frame does not tell it."""
    if codec is Codec.VP8:
        return known  # it has none, and what RTMP gives it changes nothing
    if codec is Codec.VP9:
        return vp9.CodecConfiguration.of_frame(vp9.parse_header(frame.payload)).to_bytes()
    if not frame.parameter_sets:
        return None
    # Sets that suffice alone replace all that were: nobody knows whether those of another size still hold.
    updated = update_config(codec, known, frame.parameter_sets)
    if updated != known:
        updated = update_config(codec, b"", frame.parameter_sets) or updated
    return updated or None
