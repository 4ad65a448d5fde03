"""An audio rendition: a thread that resamples, keeps the timeline and encodes."""

import threading
import time
from fractions import Fraction
from typing import Final, NamedTuple

import av
import av.filter
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.error import FFmpegError

from ghostlive.core.track import Codec, Track
from ghostlive.transcode.plan import AudioPlan
from ghostlive.transcode.wire import Media, Notice, Opened, Start
from ghostlive.transcode.worker.audioclock import AudioClock
from ghostlive.transcode.worker.decoders import Decoded
from ghostlive.transcode.worker.encoders import AudioEncoder, Coded, EncoderError
from ghostlive.transcode.worker.link import Link
from ghostlive.transcode.worker.thread import RenditionThread

QUEUE: Final = 64
_PRIMING: Final = {Codec.AAC: 1024, Codec.OPUS: 312}
"""Samples by which packets of FFmpeg's encoders lie before what they were given (RFC 7845 §4.2, ISO/IEC 14496-24)."""
_LAYOUTS: Final = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""What a source means that tells only the number of its channels."""


class Form(NamedTuple):
    """What a resampler is built for."""

    rate: int
    samples: str
    layout: str


class Sound(NamedTuple):
    """A decoded frame in its place: its timestamp counts its own samples. Several renditions share it."""

    frame: AudioFrame
    form: Form
    restart: bool
    """Time jumped before it."""
    arrived: float


class SoundTimeline:
    """Puts the frames of a track in their places."""

    def __init__(self, track: Track) -> None:
        """Nothing has come."""
        self._timescale = track.timescale
        self._rate = 0
        self._clock = AudioClock(1)

    def place(self, decoded: Decoded[AudioFrame]) -> Sound:
        """Place a frame, which gets another timestamp."""
        frame = decoded.frame
        rate = frame.sample_rate
        if rate != self._rate:
            self._rate = rate
            self._clock = AudioClock(rate)
        place = self._clock.place(decoded.pts * rate / self._timescale, frame.samples)
        frame.pts, frame.time_base = place.sample, Fraction(1, rate)
        name = frame.layout.name
        layout = _LAYOUTS.get(frame.layout.nb_channels, "stereo") if name.endswith("channels") else name
        return Sound(frame, Form(rate, frame.format.name, layout), place.restart, decoded.arrived)


class _Resampler:
    """Brings frames of one form to the encoder's, and stretches them by the little that their times ask for."""

    def __init__(self, form: Form, rate: int, samples: str, layout: str) -> None:
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        self._source = self._graph.add(
            "abuffer",
            sample_rate=str(form.rate),
            sample_fmt=form.samples,
            channel_layout=form.layout,
            time_base=f"1/{form.rate}",
        )
        # Drift is taken up by stretching, at most 2 %; what is more than 10 ms away is filled or cut. The resampler
        # runs from the first sample, since it could not be put in later without a click.
        resampler = self._graph.add(
            "aresample", f"{rate}:async={rate // 50}:min_comp=0.0002:min_hard_comp=0.01:flags=+res"
        )
        form_of_encoder = self._graph.add(
            "aformat", f"sample_fmts={samples}:sample_rates={rate}:channel_layouts={layout}"
        )
        self._sink = self._graph.add("abuffersink")
        self._graph.link_nodes(self._source, resampler, form_of_encoder, self._sink).configure()

    def resample(self, frame: AudioFrame) -> list[AudioFrame]:
        """What is ready; timestamps are in samples, in and out."""
        self._source.push(frame)
        found: list[AudioFrame] = []
        while True:
            try:
                ready = self._sink.pull()
            except (BlockingIOError, EOFError):
                return found
            assert isinstance(ready, AudioFrame)
            found.append(ready)


class AudioRendition(RenditionThread[Sound]):
    """One rendition. The decoding thread calls `offer`; the rest happens in a thread of its own."""

    def __init__(self, start: Start, plan: AudioPlan, link: Link, space: threading.Event) -> None:
        """See `RenditionThread`."""
        super().__init__(start, plan, link, space, room=QUEUE)
        self.plan = plan
        self._encoder: AudioEncoder | None = None
        self._form: Form | None = None
        self._resampler: _Resampler | None = None
        self._samples: AudioFifo | None = None
        # Where the first sample in `_samples` belongs.
        self._at = 0
        self._last_sent = start.after
        self._after = start.after
        self._launch()

    def offer(self, sound: Sound) -> bool:
        """Queue a frame; False when the queue is full."""
        return self._put(lambda: sound)

    def _media_seconds(self) -> float:
        frame = self._encoder.frame_size if self._encoder is not None else 0
        return self._frames * frame / self.plan.sample_rate

    # Of the rendition's own thread.

    def _begin(self) -> None:
        refused: list[str] = []
        while self._names:
            name = self._names.popleft()
            try:
                self._encoder = encoder = AudioEncoder(name, self.plan)
            except EncoderError as error:
                refused.append(f"{name}: {error}")
                self._say(Notice(self.run, f"{self.plan.name}: {name} cannot be used: {error}"))
                continue
            plan = self.plan
            self._say(Opened(self.run, name, encoder.config, plan.codec_string, channels=plan.channels))
            return
        raise EncoderError("; ".join(refused) or "there is no encoder for it")

    def _encode(self, sound: Sound) -> None:
        try:
            ready = self._resampled(sound)
        except MemoryError:
            raise
        except (FFmpegError, ValueError) as error:
            self._dropped += 1
            if self._dropped == 1:
                self._say(Notice(self.run, f"{self.plan.name}: sound could not be converted ({error})"))
            return
        for frame in ready:
            self._collect(frame)
        encoder = self._encoder
        assert encoder is not None
        while self._samples is not None and self._samples.samples >= encoder.frame_size:
            chunk = self._samples.read(encoder.frame_size)
            assert chunk is not None
            chunk.pts, chunk.time_base = self._at, Fraction(1, self.plan.sample_rate)
            self._at += encoder.frame_size
            for coded in encoder.encode(chunk):
                self._send(coded)
            self._late = time.monotonic() - sound.arrived

    def _resampled(self, sound: Sound) -> list[AudioFrame]:
        """A frame in the encoder's form."""
        if self._resampler is None or sound.restart or sound.form != self._form:
            assert self._encoder is not None
            self._form = sound.form
            self._resampler = _Resampler(sound.form, self.plan.sample_rate, self._encoder.format, self._encoder.layout)
        return self._resampler.resample(sound.frame)

    def _collect(self, frame: AudioFrame) -> None:
        """Put samples behind those that wait for being encoded."""
        pts = frame.pts
        assert pts is not None
        waiting = self._samples.samples if self._samples is not None else 0
        if self._samples is None or abs(pts - self._at - waiting) > 1:
            # Time jumps, or a resampler began: what waits is less than a packet and nobody misses it.
            self._samples = AudioFifo()
            self._at = pts
        frame.pts = None
        self._samples.write(frame)
        self._align()

    def _align(self) -> None:
        """Cut packets where the ones before a restart were cut, so that the first new one follows the last old one."""
        if self._after is None or self._samples is None or self._encoder is None:
            return
        size = self._encoder.frame_size
        cut = (self._after + _PRIMING.get(self.plan.codec, 0) - self._at) % size
        if self._samples.samples > cut:
            if cut:
                self._samples.read(cut)
                self._at += cut
            self._after = None

    def _send(self, coded: Coded) -> None:
        if coded.pts < 0 or (self._last_sent is not None and coded.pts <= self._last_sent):
            return
        self._last_sent = coded.pts
        self._frames += 1
        self._say(Media(self.run, 0, coded.pts, coded.pts, keyframe=True, payload=coded.payload))
