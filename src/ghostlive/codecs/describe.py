"""The table over all codecs: ingests, packagers and outputs ask here and need no switch of their own.

Adding a codec means a file with the functions named below, and a line in a table here.
"""

from collections.abc import Callable, Mapping, Sequence

from ghostlive.codecs import aac, ac3, av1, flac, g711, h264, h265, mp3, opus, vp8, vp9
from ghostlive.codecs.facts import AccessUnit, AudioFacts, VideoFacts
from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec

_VIDEO: Mapping[Codec, Callable[[bytes, bytes], VideoFacts]] = {
    Codec.H264: h264.describe,
    Codec.H265: h265.describe,
    Codec.AV1: av1.describe,
    Codec.VP8: vp8.describe,
    Codec.VP9: vp9.describe,
}

_AUDIO: Mapping[Codec, Callable[[bytes, bytes], AudioFacts]] = {
    Codec.AAC: aac.describe,
    Codec.OPUS: opus.describe,
    Codec.FLAC: flac.describe,
    Codec.AC3: ac3.describe_ac3,
    Codec.EAC3: ac3.describe_eac3,
    Codec.MP3: mp3.describe,
    Codec.PCMA: g711.describe_alaw,
    Codec.PCMU: g711.describe_mulaw,
}

_STRIP: Mapping[Codec, Callable[[bytes, int], AccessUnit]] = {
    Codec.H264: h264.strip_parameter_sets,
    Codec.H265: h265.strip_parameter_sets,
    Codec.AV1: av1.strip_temporal_unit,
    Codec.VP8: vp8.inspect,
    Codec.VP9: vp9.inspect,
}

_UPDATE: Mapping[Codec, Callable[[bytes, Sequence[bytes]], bytes]] = {
    Codec.H264: h264.update_config,
    Codec.H265: h265.update_config,
    Codec.AV1: av1.update_config,
}

_SAMPLES: Mapping[Codec, Callable[[bytes], int]] = {
    Codec.OPUS: opus.packet_samples,
    Codec.FLAC: flac.frame_samples,
    Codec.EAC3: ac3.packet_samples,
}


def describe_video(codec: Codec, config: bytes, payload: bytes = b"") -> VideoFacts:
    """Facts of a video configuration, which may be in any form that `Track.config` or the wire has.

    `payload` is a first key frame, for codecs whose configuration does not tell the size (VP8, VP9).
    Raises `MediaError` when the configuration is broken or the codec is no video codec.
    """
    describe = _VIDEO.get(codec)
    if describe is None:
        raise MediaError(f"{codec} is no video codec that is known here")
    return describe(config, payload)


def describe_audio(codec: Codec, config: bytes, payload: bytes = b"") -> AudioFacts:
    """Facts of an audio configuration, which may be in any form that `Track.config` or the wire has.

    `payload` is a first packet, for codecs that have no configuration (MP3), or come without (AC-3, E-AC-3).
    Raises `MediaError` when the configuration is broken or the codec is no audio codec.
    """
    describe = _AUDIO.get(codec)
    if describe is None:
        raise MediaError(f"{codec} is no audio codec that is known here")
    return describe(config, payload)


def inspect_frame(codec: Codec, payload: bytes, length_size: int = 4) -> AccessUnit:
    """Make a frame what `core.frame.Frame` promises, and say whether it is a key frame.

    The answer's payload is the very object given when nothing had to change, as is usual; it is empty when only
    parameter sets were in it, which are to be handed to `update_config`. `length_size` is `VideoFacts.length_size`.
    Audio packets come back as they are. Raises `MediaError` when the frame is broken.
    """
    strip = _STRIP.get(codec)
    return AccessUnit(payload, keyframe=True) if strip is None else strip(payload, length_size)


def update_config(codec: Codec, config: bytes, parameter_sets: Sequence[bytes]) -> bytes:
    """A configuration with parameter sets that came in band; the same bytes when they say nothing new.

    `config` may be empty, for sources that send parameter sets in band only; the answer is empty as long as they do
    not suffice. For codecs without parameter sets it is `config`. Raises `MediaError` when a set is broken.
    """
    update = _UPDATE.get(codec)
    return config if update is None else update(config, parameter_sets)


def audio_frame_samples(codec: Codec, facts: AudioFacts, payload: bytes) -> int:
    """Duration of an audio packet in samples at `facts.sample_rate`; raises `MediaError` when it cannot be told."""
    if facts.frame_samples is not None:
        return facts.frame_samples
    if facts.sample_bytes:
        return len(payload) // facts.sample_bytes
    count = _SAMPLES.get(codec)
    if count is None:
        raise MediaError(f"packets of {codec} do not tell their duration")
    return count(payload)
