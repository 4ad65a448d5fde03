"""G.711: A-law and µ-law, eight bits for each sample of each channel. It has no headers: all facts come from outside.

Specifications: ITU-T G.711; Adobe Flash Video File Format 10.1, annex E.4.2.1 (8 kHz).
"""

from ghostlive.codecs.facts import AudioFacts
from ghostlive.core.errors import MediaError
from ghostlive.core.track import Codec

_RATE = 8000


def describe_alaw(config: bytes, payload: bytes = b"") -> AudioFacts:
    """Facts of A-law audio; `config` is one byte with the number of channels, or empty for one channel."""
    return _describe(Codec.PCMA, config)


def describe_mulaw(config: bytes, payload: bytes = b"") -> AudioFacts:
    """Facts of µ-law audio, as `describe_alaw`."""
    return _describe(Codec.PCMU, config)


def _describe(codec: Codec, config: bytes) -> AudioFacts:
    channels = config[0] if config else 1
    if len(config) > 1 or not 1 <= channels <= 2:
        raise MediaError("G.711 has one channel or two")
    # The sample entries of QuickTime; ISO base media files have none that players know.
    return AudioFacts(
        config=config,
        codec_string="alaw" if codec is Codec.PCMA else "ulaw",
        sample_rate=_RATE,
        channels=channels,
        sample_bytes=channels,
    )
