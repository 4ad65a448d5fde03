"""Decoded pictures made fit for encoders: progressive, of the rendition's size, 8 bits 4:2:0 of limited range."""

import threading
from fractions import Fraction
from typing import Final, NamedTuple

import av
import av.filter
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

_UNSPECIFIED: Final = 2
_RGB: Final = 0
_BT709: Final = 1
_BT601: Final = 6
_FULL: Final = 2
_HIGH_DEFINITION: Final = 576
"""Pictures with more rows are taken for BT.709 by everybody, where they do not say."""
_NEARLY_SQUARE: Final = Fraction(1, 50)
"""Sizes are rounded to even ones, which makes samples a little wide; no player needs to know."""


class Colours(NamedTuple):
    """How the samples of a picture are meant (ISO/IEC 23091-2)."""

    matrix: int
    primaries: int
    transfer: int


class Look(NamedTuple):
    """What an encoder writes down about how its pictures are to be shown."""

    colours: Colours
    shape: Fraction | int
    """How wide a sample is for its height."""


class _Kind(NamedTuple):
    """What a filter graph is built for."""

    width: int
    height: int
    pixels: str
    matrix: int
    range: int
    shape: Fraction


def _kind(frame: VideoFrame, shape: Fraction) -> _Kind:
    return _Kind(frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, shape)


def _colours(frame: VideoFrame, side: int) -> Colours:
    """The colours of a frame that was made of one whose shorter side was `side`.

    A smaller picture would be taken for what small pictures usually are, so what the source does not say is said.
    """
    matrix = frame.colorspace
    if matrix == _RGB:
        matrix = _BT709
    elif matrix == _UNSPECIFIED:
        matrix = _BT709 if side > _HIGH_DEFINITION else _BT601
    usual = matrix if matrix in (_BT709, _BT601) else _UNSPECIFIED
    primaries = usual if frame.color_primaries == _UNSPECIFIED else frame.color_primaries
    transfer = usual if frame.color_trc == _UNSPECIFIED else frame.color_trc
    return Colours(matrix, primaries, transfer)


class _Graph:
    """A filter graph of one input and one output."""

    def __init__(self, kind: _Kind, time_base: Fraction, *filters: tuple[str, str]) -> None:
        # The contexts hold their graph by a weak reference only.
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        self._source = self._graph.add(
            "buffer",
            video_size=f"{kind.width}x{kind.height}",
            pix_fmt=kind.pixels,
            time_base=str(time_base),
            pixel_aspect=f"{kind.shape.numerator}/{kind.shape.denominator}",
            colorspace=str(kind.matrix),
            range=str(kind.range),
        )
        steps: list[FilterContext] = [self._source]
        steps += [self._graph.add(name, options) for name, options in filters]
        self._sink = self._graph.add("buffersink")
        self._graph.link_nodes(*steps, self._sink).configure()

    def push(self, frame: VideoFrame) -> None:
        self._source.push(frame)

    def end(self) -> None:
        """No more frames come: the last ones can be pulled."""
        self._source.push(None)

    def pull(self) -> VideoFrame:
        frame = self._sink.pull()
        assert isinstance(frame, VideoFrame)
        return frame


class Deinterlacer:
    """Makes frames of interlaced pictures, of one source, as many as there were; passes progressive ones."""

    _CALM: Final = 300
    """Progressive frames in a row after which the filter, which delays by one frame, is taken out."""

    def __init__(self, time_base: Fraction) -> None:
        """Frames have timestamps in this base, and keep them."""
        self._time_base = time_base
        self._graph: _Graph | None = None
        self._kind: _Kind | None = None
        self._progressive = 0

    def filter(self, frame: VideoFrame, shape: Fraction) -> list[VideoFrame]:
        """The frames that are ready, of this one and earlier ones."""
        interlaced = frame.interlaced_frame
        self._progressive = 0 if interlaced else self._progressive + 1
        if self._graph is None and not interlaced:
            return [frame]
        kind = _kind(frame, shape)
        ready: list[VideoFrame] = []
        if self._graph is not None and (kind != self._kind or self._progressive > self._CALM):
            ready = self._flush()
        if self._graph is None:
            if not interlaced:
                return [*ready, frame]
            self._kind = kind
            self._graph = _Graph(kind, self._time_base, ("bwdif", "mode=send_frame:deint=interlaced"))
        self._graph.push(frame)
        return ready + self._pull()

    def _pull(self) -> list[VideoFrame]:
        assert self._graph is not None
        found: list[VideoFrame] = []
        while True:
            try:
                frame = self._graph.pull()
            except (BlockingIOError, EOFError):
                return found
            # The filter halves the time base, to have room for a frame of each field.
            if frame.pts is not None:
                frame.pts //= 2
            frame.time_base = self._time_base
            found.append(frame)

    def _flush(self) -> list[VideoFrame]:
        assert self._graph is not None
        self._graph.end()
        found = self._pull()
        self._graph = None
        return found


class Scaler:
    """Brings pictures of one source to one size. Any thread may use it, one at a time does."""

    def __init__(self, width: int, height: int, time_base: Fraction) -> None:
        """`width` and `height` are even."""
        self.width = width
        self.height = height
        self.lock = threading.Lock()
        self._time_base = time_base
        self._graph: _Graph | None = None
        self._kind: _Kind | None = None

    def scale(self, frame: VideoFrame, shape: Fraction) -> VideoFrame:
        """The frame in the wanted form: itself when it has it. Raises `FFmpegError`."""
        kind = _kind(frame, shape)
        if kind != self._kind:
            self._kind = kind
            self._graph = None if self._fits(kind) else self._build(kind, frame)
        if self._graph is None:
            return frame
        self._graph.push(frame)
        return self._graph.pull()

    def _fits(self, kind: _Kind) -> bool:
        size = (kind.width, kind.height) == (self.width, self.height)
        return size and kind.pixels == "yuv420p" and kind.range != _FULL

    def _build(self, kind: _Kind, frame: VideoFrame) -> _Graph:
        # Bicubic is what ffmpeg scales with when it is not told.
        options = f"{self.width}:{self.height}:flags=bicubic:out_range=tv"
        if frame.format.is_rgb:
            options += ":out_color_matrix=bt709"
        return _Graph(kind, self._time_base, ("scale", options), ("format", "pix_fmts=yuv420p"))


class Picture:
    """A decoded frame in one size, made by the first rendition that needs it."""

    def __init__(self, frame: VideoFrame, scaler: Scaler, shape: Fraction) -> None:
        """`shape` is how wide a sample of the frame is for its height."""
        self._frame = frame
        self._scaler = scaler
        self._shape = shape
        self._size = (frame.width, frame.height)
        self._scaled: VideoFrame | None = None

    def get(self) -> VideoFrame:
        """The scaled frame, which several renditions share and none may change. Raises `FFmpegError`."""
        with self._scaler.lock:
            if self._scaled is None:
                self._scaled = self._scaler.scale(self._frame, self._shape)
                # The source's frame goes back to its decoder's pool.
                self._frame = self._scaled
            return self._scaled

    def look(self) -> Look:
        """How the scaled frame is to be shown."""
        width, height = self._size
        shape = self._shape * width * self._scaler.height / (height * self._scaler.width)
        return Look(_colours(self.get(), min(self._size)), 1 if abs(shape - 1) < _NEARLY_SQUARE else shape)


def copy_of(frame: VideoFrame) -> VideoFrame:
    """Another frame with the same samples, whose facts can be changed."""
    graph = _Graph(_kind(frame, Fraction(1)), Fraction(frame.time_base or 1))
    graph.push(frame)
    return graph.pull()
