"""What an encoder sends, as frames of a publication.

Tracks are announced when they are known: once both a video and an audio configuration came, or when it is clear that
only one kind will. They are announced anew, beginning with a key frame, when the encoder changes something. Facts
come from the bit stream; `onMetaData` only names the encoder and which kinds of track to wait for.
"""

from dataclasses import replace

from ghostlive.core.frame import Frame
from ghostlive.core.timeline import Rebaser
from ghostlive.core.track import TrackKind
from ghostlive.formats.flv import Packet, PacketKind, parse_audio, parse_video
from ghostlive.hub.live import Publication
from ghostlive.protocols.rtmp.errors import LimitError, UnusableMediaError
from ghostlive.protocols.rtmp.events import AudioReceived, MetadataReceived, VideoReceived
from ghostlive.protocols.rtmp.incoming import VIDEO_TIMESCALE, AudioInput, VideoInput
from ghostlive.protocols.rtmp.parser.amf import Value

_PATIENCE_MS = 700
"""Media time in which the other kind of track has to show up."""
_MAX_WAITING_FRAMES = 512
_MAX_WAITING_BYTES = 32 * 1024 * 1024
_MAX_UNUSABLE = 90
_KEYFRAME_PATIENCE_MS = 30_000
_MAX_AGENT = 100

Input = VideoInput | AudioInput


class Ingest:
    """Writes one encoder's media into its publication."""

    def __init__(self, publication: Publication, *, max_tracks: int) -> None:
        """The first frame of the encoder gets the stream's time at its arrival."""
        self._publication = publication
        self._max_tracks = max_tracks
        self._rebaser: Rebaser | None = None
        self._videos: dict[int, VideoInput] = {}
        self._audios: dict[int, AudioInput] = {}
        self._expected = frozenset(TrackKind)
        self._announced = False
        self._changed = False
        self._waiting: list[Frame] = []
        self._waiting_bytes = 0
        self._first_time: int | None = None

    @property
    def publication(self) -> Publication:
        """Where the frames go."""
        return self._publication

    @property
    def announced(self) -> bool:
        """Whether viewers know of the tracks."""
        return self._announced

    @property
    def jumps(self) -> int:
        """How often timestamps jumped and were re-based."""
        return self._rebaser.jumps if self._rebaser is not None else 0

    def receive(self, event: VideoReceived | AudioReceived | MetadataReceived, now: float) -> None:
        """Take what the session received at `now`.

        Raises `MediaError`, `UnusableMediaError` or `LimitError` when the encoder's media cannot be used.
        """
        if isinstance(event, MetadataReceived):
            self._take_metadata(event.values)
            return
        video = isinstance(event, VideoReceived)
        packets = parse_video(event.body) if video else parse_audio(event.body)
        if not packets:
            return
        time = 0
        if packets[0].kind is PacketKind.FRAME:  # Configurations often come with the timestamp 0.
            if self._rebaser is None:
                self._rebaser = Rebaser(rate=1000, bits=32, base=self._publication.time_ns() // 1_000_000)
            time = self._rebaser.map(event.timestamp, now)
            if self._first_time is None:
                self._first_time = time
        for packet in packets:
            source = self._video_input(packet) if video else self._audio_input(packet)
            self._take_packet(source, packet, time, now)

    def end(self, reason: str) -> None:
        """The encoder said goodbye."""
        self._flush()
        self._publication.end(reason)

    def lose(self, reason: str) -> None:
        """The connection broke."""
        self._flush()
        self._publication.lose(reason)

    def _video_input(self, packet: Packet) -> VideoInput:
        source = self._videos.get(packet.track)
        if source is None:
            self._check_track_count()
            source = self._videos[packet.track] = VideoInput(f"v{packet.track}", packet.codec)
        return source

    def _audio_input(self, packet: Packet) -> AudioInput:
        source = self._audios.get(packet.track)
        if source is None:
            self._check_track_count()
            source = self._audios[packet.track] = AudioInput(f"a{packet.track}", packet.codec)
        return source

    def _check_track_count(self) -> None:
        if len(self._videos) + len(self._audios) >= self._max_tracks:
            raise LimitError(f"more than {self._max_tracks} tracks")

    def _take_packet(self, source: Input, packet: Packet, time: int, now: float) -> None:
        generation = source.generation
        if packet.codec is not source.codec:
            source.restart(packet.codec)
        if packet.kind is PacketKind.FRAME:
            frame = source.frame(packet, time, now)
            if source.generation != generation:
                self._forget(source)
            if frame is not None:
                self._take_frame(source, frame)
            elif source.unusable > _MAX_UNUSABLE:
                raise UnusableMediaError(_missing_configuration(source))
        elif packet.kind is PacketKind.CONFIG and packet.data:
            source.configure(packet.data)
            if source.generation != generation:
                self._forget(source)

    def _take_frame(self, source: Input, frame: Frame) -> None:
        if not self._announced:
            self._wait(source, frame)
            return
        if source.changed and not self._changed:
            self._changed = True
        if self._changed and self._may_announce(source, frame):
            self._announce()
        if source.undecodable:
            return
        if isinstance(source, VideoInput) and not source.synchronized:
            if not frame.keyframe:
                return
            source.synchronized = True
        self._publication.write(frame)

    def _leading(self) -> VideoInput | None:
        """The video whose key frames begin groups."""
        known = [number for number, video in self._videos.items() if video.configured]
        return self._videos[min(known)] if known else None

    def _may_announce(self, source: Input, frame: Frame) -> bool:
        leading = self._leading()
        return leading is None or (source is leading and frame.keyframe)

    def _announce(self) -> None:
        tracks = []
        for source in self._inputs():
            if source.configured:
                source.announced = source.track()
                tracks.append(source.announced)
            if isinstance(source, VideoInput):
                source.synchronized = False
        self._changed = False
        self._announced = True
        self._publication.announce(tracks)

    def _inputs(self) -> list[Input]:
        videos = [self._videos[number] for number in sorted(self._videos)]
        return [*videos, *(self._audios[number] for number in sorted(self._audios))]

    # Before the first announcement.

    def _wait(self, source: Input, frame: Frame) -> None:
        """Keep a frame until the tracks are known."""
        if isinstance(source, VideoInput) and not source.synchronized:
            if not frame.keyframe:
                self._check_keyframe_patience(frame)
                return
            source.synchronized = True
        self._waiting.append(frame)
        self._waiting_bytes += len(frame.payload)
        full = len(self._waiting) >= _MAX_WAITING_FRAMES or self._waiting_bytes >= _MAX_WAITING_BYTES
        if self._complete(full, self._waited_ms(frame)):
            self._begin()
        elif full:
            # Sound that waits for a first picture.
            self._waiting_bytes -= len(self._waiting.pop(0).payload)

    def _forget(self, source: Input) -> None:
        """Drop what waits of a track that begins anew."""
        self._waiting = [frame for frame in self._waiting if frame.track != source.id]
        self._waiting_bytes = sum(len(frame.payload) for frame in self._waiting)
        if isinstance(source, VideoInput):
            source.synchronized = False

    def _complete(self, full: bool, waited_ms: int) -> bool:
        """Whether it is time to announce."""
        videos, audios = list(self._videos.values()), list(self._audios.values())
        if videos and not any(video.configured and video.synchronized for video in videos):
            return False
        if full or waited_ms >= _PATIENCE_MS:
            return True
        kinds = {kind for kind, inputs in ((TrackKind.VIDEO, videos), (TrackKind.AUDIO, audios)) if inputs}
        return (
            kinds >= self._expected
            and all(source.configured for source in self._inputs())
            and all(video.rate_known and video.synchronized for video in videos)
        )

    def _begin(self) -> None:
        """Announce the tracks, and write what waited, beginning with the leading key frame."""
        waiting, self._waiting = self._waiting, []
        self._announce()
        leading = self._leading()
        if leading is not None:
            first = next((frame for frame in waiting if frame.track == leading.id), None)
            if first is not None:
                start = first.dts * 1000 // VIDEO_TIMESCALE
                waiting = [first] + [
                    frame for frame in waiting if frame is not first and self._milliseconds(frame) >= start
                ]
        for frame in waiting:
            self._take_frame(self._input_of(frame), frame)

    def _flush(self) -> None:
        """Show what there is of a stream that ends before its tracks were known."""
        if self._waiting and self._complete(full=True, waited_ms=0):
            self._begin()

    def _waited_ms(self, frame: Frame) -> int:
        assert self._first_time is not None
        return self._milliseconds(frame) - self._first_time

    def _input_of(self, frame: Frame) -> Input:
        inputs: dict[int, VideoInput] | dict[int, AudioInput] = self._videos if frame.track[0] == "v" else self._audios
        return inputs[int(frame.track[1:])]

    def _milliseconds(self, frame: Frame) -> int:
        return frame.dts * 1000 // self._input_of(frame).timescale

    def _check_keyframe_patience(self, frame: Frame) -> None:
        if self._waited_ms(frame) > _KEYFRAME_PATIENCE_MS:
            raise UnusableMediaError(
                f"no key frame came in {_KEYFRAME_PATIENCE_MS // 1000} s; "
                "set the keyframe interval of the encoder to 2 s"
            )

    def _take_metadata(self, values: dict[str, Value]) -> None:
        encoder = values.get("encoder")
        if isinstance(encoder, str) and encoder.isprintable():
            source = self._publication.source
            self._publication.source = replace(source, agent=encoder[:_MAX_AGENT])
        kinds = {
            kind
            for kind, name in ((TrackKind.VIDEO, "videocodecid"), (TrackKind.AUDIO, "audiocodecid"))
            if values.get(name) not in (None, 0.0, "")
        }
        if kinds:
            self._expected = frozenset(kinds)


def _missing_configuration(source: Input) -> str:
    if isinstance(source, AudioInput):
        return f"the encoder sends {source.codec} audio without its configuration (sequence header)"
    return (
        f"the encoder sends {source.codec} pictures without parameter sets (SPS, PPS), neither in a sequence header "
        "nor in the stream; a player could not decode them"
    )
