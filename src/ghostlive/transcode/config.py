"""Settings of transcoding."""

from dataclasses import dataclass
from typing import Literal

from ghostlive.core.settings import setting

MAX_RENDITIONS = 32
"""Of one ladder. Quality menus end long before."""
_NAME_LENGTH = 40

EncoderName = Literal["nvenc", "qsv", "vaapi", "amf", "v4l2m2m", "software"]


class RenditionSettingError(ValueError):
    """A rendition as configured cannot be; the text begins with the field's name, and says what the field accepts."""


@dataclass(frozen=True, slots=True)
class RenditionSetting:
    """One rendition that viewers can choose, made while somebody does.

    Raises `RenditionSettingError` for what no encoder makes.
    """

    height: int = setting(
        0, "Rows of the picture (of an upright one: columns); the source's shape is kept, and it is never enlarged."
    )
    frame_rate: float = setting(
        0.0, "Frames per second at most; 0 is the source's. A source's rate is divided by a whole number where it can."
    )
    bitrate: int = setting(0, "Bits per second; 0 chooses by size and frame rate.")
    codec: Literal["h264", "av1", "vp8"] = setting("h264", "`h264` plays everywhere; `av1` needs half the bits.")
    mode: Literal["demand", "always", "never"] = setting(
        "demand", "Encode it while somebody watches (`demand`), `always` while the stream is live, or `never`."
    )
    name: str = setting("", "What quality menus call it; empty makes `720p30` of its size and frame rate.")

    def __post_init__(self) -> None:
        """Check what types do not tell."""
        if not 16 <= self.height <= 8640:
            raise RenditionSettingError(f"height: {self.height} is not accepted; it is a number from 16 to 8640")
        if self.frame_rate != 0 and not 1 <= self.frame_rate <= 240:
            raise RenditionSettingError(
                f"frame_rate: {self.frame_rate:g} is not accepted; it is a number from 1 to 240, or 0 for the source's"
            )
        if self.bitrate != 0 and not 10_000 <= self.bitrate <= 200_000_000:
            raise RenditionSettingError(
                f"bitrate: {self.bitrate} is not accepted; it is bits per second from 10000 to 200000000, or 0"
            )
        if len(self.name) > _NAME_LENGTH or not self.name.isprintable() or '"' in self.name:
            raise RenditionSettingError(
                f"name: {self.name[:60]!r} is not accepted; it has up to {_NAME_LENGTH} characters, no quotation marks"
            )


@dataclass(frozen=True, slots=True)
class TranscodeConfig:
    """Other sizes, frame rates and codecs of what publishers send, each encoded while somebody watches it."""

    enabled: bool = setting(True, "Whether anything is decoded and encoded here; without, viewers get the source only.")
    cores: float = setting(0.0, "Processor cores that all encoding may use; 0 means all that this process may.")
    memory_bytes: int = setting(
        0, "Bytes of memory that all workers may use together; 0 means half of what the machine has."
    )
    worker_memory_bytes: int = setting(
        4 * 1024**3, "Bytes of memory that one worker (there is one for each source) may use."
    )
    linger: float = setting(60.0, "Seconds that a rendition is still made after its last viewer left.")
    encoders: tuple[EncoderName, ...] = setting(
        ("nvenc", "qsv", "vaapi", "amf", "v4l2m2m", "software"),
        "Encoders in the order to try them. Those that do not work on this machine are passed over; "
        "`ghostlive doctor` says why.",
    )
    preset: Literal["superfast", "veryfast", "faster", "fast", "medium"] = setting(
        "superfast", "The software encoder's speed (x264): slower ones look better at the same bit rate."
    )
    silent_after: float = setting(
        2.0, "Seconds without a sign of life after which a worker is taken for hung and replaced."
    )
    step_down_after: float = setting(
        2.0,
        "Seconds for which encoding may be too slow before a rendition loses every second frame or is withdrawn. "
        "More is for a machine that is busy with other things now and then.",
    )
    thumbnails: bool = setting(True, "Whether live streams have a still picture for lists.")
    thumbnail_every: float = setting(10.0, "Seconds that a still picture is used before another is made.")
    rendition: tuple[RenditionSetting, ...] = setting(
        (),
        "What is offered below the source; without any: 2160p60, 1440p60, 1080p60, 720p60, 720p30, 480p30 and 360p30.",
    )
