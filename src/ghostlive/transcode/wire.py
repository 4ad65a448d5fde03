"""What the server and a worker process say to each other, over a stream socket. No IO.

Each message is its length (32 bits, big-endian, without itself), its kind (8 bits) and its body. `Media` is binary,
since every frame passes as one; the others are JSON objects. Both sides refuse what is longer than `MAX_MESSAGE`. A
worker may have been taken over by the media that it decodes: what it says is checked here and again by the pool.
"""

import base64
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, NamedTuple

from ghostlive.core.errors import GhostliveError
from ghostlive.core.track import Codec, Track
from ghostlive.transcode.plan import AudioPlan, Mode, Plan, VideoPlan

MAX_MESSAGE = 40 * 1024 * 1024
"""The largest frame that an ingest lets in, and some room."""

_HEAD = struct.Struct(">IB")
_MEDIA = struct.Struct(">IHBqq")
_KEYFRAME = 1


class WireError(GhostliveError):
    """The other side broke the protocol: end the connection."""


class Media(NamedTuple):
    """One coded frame: of the source towards the worker, of a rendition back."""

    run: int
    """Of the `Source` or `Start` that it belongs to."""
    track: int
    """Source: the track's place in `Source.tracks`. Rendition: 0."""
    dts: int
    pts: int
    """Ticks of the source track's timescale, in both directions; audio renditions tick at their sample rate."""
    keyframe: bool
    payload: bytes


@dataclass(frozen=True, slots=True)
class Source:
    """To the worker: frames of these tracks follow. Replaces an earlier source, whose renditions all end."""

    run: int
    """Numbers sources, beginning with 1; greater than any before."""
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """To the worker: make this rendition of the current source."""

    run: int
    """Numbers renditions; shared counter with nobody."""
    plan: Plan
    encoders: tuple[str, ...]
    """FFmpeg's names, in the order to try them; when one fails in mid-stream the next one takes over."""
    after: int | None = None
    """Encode only frames presented after this (ticks as in `Media.pts`); the first becomes a keyframe."""
    preset: str = ""
    """The software encoder's speed; empty for the worker's own choice."""
    threads: int = 0
    """Threads that the encoder may use; 0 for the worker's own choice."""


@dataclass(frozen=True, slots=True)
class Stop:
    """To the worker: this rendition is not wanted any more."""

    run: int


@dataclass(frozen=True, slots=True)
class Thin:
    """To the worker: encode only each `keep_one_in`th frame (and keyframes) of a rendition; 1 for all of them."""

    run: int
    keep_one_in: int


@dataclass(frozen=True, slots=True)
class WantKeyframe:
    """To the worker: the next frame of this rendition shall be a keyframe."""

    run: int


@dataclass(frozen=True, slots=True)
class Picture:
    """To the worker: decode one keyframe to a still image, no larger than this."""

    number: int
    codec: Codec
    config: bytes
    payload: bytes
    width: int
    height: int
    form: str
    """`jpeg` or `webp`."""


@dataclass(frozen=True, slots=True)
class Ready:
    """From the worker: it has started."""

    pid: int


@dataclass(frozen=True, slots=True)
class Opened:
    """From the worker: frames of this rendition follow, with this configuration (as `Track.config`).

    Again when another encoder took over; parameter sets that differ from the first ones come in band then.
    """

    run: int
    encoder: str
    config: bytes
    codec_string: str
    width: int = 0
    height: int = 0
    channels: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """From the worker: this rendition cannot be made (run 0: nothing of this source can be decoded)."""

    run: int
    reason: str


@dataclass(frozen=True, slots=True)
class Notice:
    """From the worker: something that a person should know, at most a few a minute."""

    run: int
    text: str


@dataclass(frozen=True, slots=True)
class RenditionStats:
    """Of one rendition, since it was started."""

    run: int
    frames: int
    """Encoded."""
    dropped: int
    """Left out because the machine was too slow; not those that its frame rate or `Thin` leaves out."""
    busy: float
    """Seconds that its encoding took, on the clock."""
    media: float
    """Seconds of media encoded."""
    late: float
    """Seconds from a frame's arrival in the worker to its leaving it, as measured last."""


@dataclass(frozen=True, slots=True)
class Stats:
    """From the worker: it is alive, and this is how it is. At least every half second, also without input.

    It is sent by the loop that decodes, so that its absence shows a decoder that hangs.
    """

    cpu: float
    """Seconds of processor time used since the start, all threads."""
    memory: int
    """Resident bytes."""
    decoded: int
    damaged: int
    """Packets that the decoders refused."""
    waiting: int
    """Frames that wait for an encoder."""
    renditions: tuple[RenditionStats, ...] = ()


@dataclass(frozen=True, slots=True)
class Still:
    """From the worker: the answer to `Picture`; no data and a reason when it could not be decoded."""

    number: int
    data: bytes
    reason: str = ""


Message = (
    Media | Source | Start | Stop | Thin | WantKeyframe | Picture | Ready | Opened | Failed | Notice | Stats | Still
)

_KINDS: tuple[type[Any], ...] = (
    Media, Source, Start, Stop, Thin, WantKeyframe, Picture, Ready, Opened, Failed, Notice, Stats, Still,
)  # fmt: skip
_NUMBER_OF = {kind: number for number, kind in enumerate(_KINDS)}


def encode(message: Message) -> bytes:
    """The bytes of a message. Raises `WireError` when it is too long."""
    kind = _NUMBER_OF[type(message)]
    if isinstance(message, Media):
        flags = _KEYFRAME if message.keyframe else 0
        body = _MEDIA.pack(message.run, message.track, flags, message.dts, message.pts) + message.payload
    else:
        body = json.dumps(_plain(message), separators=(",", ":")).encode()
    if len(body) > MAX_MESSAGE:
        raise WireError(f"a message of {len(body)} bytes is too long")
    return _HEAD.pack(len(body) + 1, kind) + body


class Decoder:
    """Takes bytes as they come, returns the messages that are complete."""

    def __init__(self) -> None:
        """Nothing has come."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Messages completed by `data`. Raises `WireError`; nothing can be read after that."""
        buffer = self._buffer
        buffer += data
        found: list[Message] = []
        position = 0
        while len(buffer) - position >= _HEAD.size:
            length, kind = _HEAD.unpack_from(buffer, position)
            if not 1 <= length <= MAX_MESSAGE + 1 or kind >= len(_KINDS):
                raise WireError(f"a message of kind {kind} and {length} bytes cannot be")
            end = position + _HEAD.size - 1 + length
            if len(buffer) < end:
                break
            found.append(_decode(_KINDS[kind], bytes(memoryview(buffer)[position + _HEAD.size : end])))
            position = end
        del buffer[:position]
        return found


def _decode(kind: type[Any], body: bytes) -> Message:
    try:
        if kind is Media:
            run, track, flags, dts, pts = _MEDIA.unpack_from(body)
            return Media(run, track, dts, pts, bool(flags & _KEYFRAME), body[_MEDIA.size :])
        values = json.loads(body)
        known = {field.name for field in fields(kind)}
        if not isinstance(values, dict) or values.keys() - known:
            raise ValueError("unknown fields")
        message: Message = kind(**{name: _READERS.get((kind, name), _same)(value) for name, value in values.items()})
        _check(message)
        return message
    except (ValueError, TypeError, KeyError, struct.error, RecursionError) as error:
        raise WireError(f"a {kind.__name__} that cannot be read: {error}") from error


_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bytes": (bytes,)}


def _check(message: Any) -> None:
    """Every plain field has the type that it is declared with."""
    for field in fields(message):
        name = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "")
        wanted = _TYPES.get(name)
        value = getattr(message, field.name)
        if wanted is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
            raise ValueError(f"{field.name} is {type(value).__name__}")
        if isinstance(value, float) and not -1e18 < value < 1e18:
            raise ValueError(f"{field.name} is no number")


def _plain(value: Any) -> Any:
    """A dataclass as JSON can hold it."""
    if isinstance(value, VideoPlan | AudioPlan):
        return {"kind": str(value.kind), **_fields(value)}
    if hasattr(value, "__dataclass_fields__"):
        return _fields(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def _same(value: Any) -> Any:
    return value


def _bytes(value: Any) -> bytes:
    return base64.b64decode(value, validate=True)


def _track(value: dict[str, Any]) -> Track:
    rate = value["frame_rate"]
    return Track(
        **{
            **value,
            "codec": Codec(value["codec"]),
            "config": _bytes(value["config"]),
            "frame_rate": None if rate is None else Fraction(rate),
        }
    )


def _plan(value: dict[str, Any]) -> Plan:
    kind = value.pop("kind")
    value = {**value, "codec": Codec(value["codec"]), "mode": Mode(value["mode"])}
    if kind == "video":
        return VideoPlan(**{**value, "frame_rate": Fraction(value["frame_rate"])})
    return AudioPlan(**value)


_READERS: dict[tuple[type[Any], str], Callable[[Any], Any]] = {
    (Source, "tracks"): lambda value: tuple(map(_track, value)),
    (Start, "plan"): _plan,
    (Start, "encoders"): lambda value: tuple(map(str, value)),
    (Picture, "codec"): Codec,
    (Picture, "config"): _bytes,
    (Picture, "payload"): _bytes,
    (Opened, "config"): _bytes,
    (Still, "data"): _bytes,
    (Stats, "renditions"): lambda value: tuple(RenditionStats(**item) for item in value),
}
