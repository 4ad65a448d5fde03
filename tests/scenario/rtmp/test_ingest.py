"""From an encoder's bytes to a reader of the hub: tracks, times, changes and faults."""

import itertools
from fractions import Fraction
from pathlib import Path

import pytest
from tests.support.rtmp_broadcast import AAC_CONFIG, AAC_SAMPLES, H264_CONFIG, Broadcast, h264

from ghostlive.core.errors import MediaError
from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track
from ghostlive.formats.flv import Packet, PacketKind, build_many_tracks
from ghostlive.hub.subscription import Announced, Ended, Interrupted
from ghostlive.protocols.rtmp.config import RtmpConfig
from ghostlive.protocols.rtmp.errors import LimitError, UnusableMediaError
from ghostlive.protocols.rtmp.incoming import measure_rate
from ghostlive.protocols.rtmp.parser.message import Message, MessageType

OTHER_AAC = bytes.fromhex("1210")
DATA = Path(__file__).parents[2] / "data" / "rtmp"


def parameter_sets(config: bytes = H264_CONFIG) -> list[bytes]:
    size = int.from_bytes(config[6:8], "big")
    sps = config[8 : 8 + size]
    at = 8 + size + 1
    return [sps, config[at + 2 : at + 2 + int.from_bytes(config[at : at + 2], "big")]]


def other_config() -> bytes:
    """The same with another level, which is another configuration."""
    sps, pps = parameter_sets()
    sps = sps[:3] + b"\x1f" + sps[4:]
    return (
        b"\x01"
        + sps[1:4]
        + b"\xff\xe1"
        + len(sps).to_bytes(2, "big")
        + sps
        + b"\x01"
        + len(pps).to_bytes(2, "big")
        + pps
    )


def tracks(broadcast: Broadcast) -> tuple[Track, ...]:
    return broadcast.of(Announced)[-1].tracks


def test_video_and_audio() -> None:
    broadcast = Broadcast()
    broadcast.client.metadata({"encoder": "obs-output module", "videocodecid": 7, "audiocodecid": 10})
    broadcast.headers()
    broadcast.play(2)
    assert broadcast.announced() == [["v0", "a0"]]
    video, audio = tracks(broadcast)
    assert (video.codec, video.width, video.height, video.frame_rate) == (Codec.H264, 640, 360, Fraction(30))
    assert (video.timescale, video.has_b_frames) == (90_000, True)
    assert (audio.codec, audio.timescale, audio.channels, audio.sample_rate) == (Codec.AAC, 48_000, 2, 48_000)
    assert broadcast.publication.source.agent == "obs-output module"
    assert [frame.dts for frame in broadcast.frames("v0")[:4]] == [0, 2970, 5940, 9000]
    sounds = broadcast.frames("a0")
    assert {later.dts - sound.dts for sound, later in itertools.pairwise(sounds)} == {AAC_SAMPLES}
    assert broadcast.frames("v0")[0].keyframe
    broadcast.check_order()


def test_goodbye_ends_the_stream() -> None:
    broadcast = Broadcast()
    broadcast.headers()
    broadcast.play(1)
    broadcast.client.unpublish("KEY")
    broadcast.deliver()
    assert [ended.reason for ended in broadcast.of(Ended)] == ["the encoder stopped"]


def test_a_broken_connection_keeps_the_stream_and_its_timeline() -> None:
    broadcast = Broadcast()
    broadcast.headers()
    broadcast.play(1)
    broadcast.ingest.lose("the connection broke")
    broadcast.deliver()
    assert len(broadcast.of(Interrupted)) == 1
    last = broadcast.frames("v0")[-1].dts
    broadcast.clock.advance(5)

    back = Broadcast(clock=broadcast.clock, hub=broadcast.hub)
    back.headers()
    back.play(1)
    assert len(back.of(Announced)) == 2
    assert back.frames("v0")[-1].dts > last + 5 * 90_000


def test_short_streams_are_shown_whole() -> None:
    broadcast = Broadcast()
    broadcast.headers(audio=False)
    broadcast.play(0.3, audio=False)
    assert broadcast.announced() == []
    broadcast.client.unpublish("KEY")
    broadcast.deliver()
    assert broadcast.announced() == [["v0"]]
    assert len(broadcast.frames("v0")) == 9


def test_video_only() -> None:
    broadcast = Broadcast()
    broadcast.headers(audio=False)
    broadcast.play(2, audio=False)
    assert broadcast.announced() == [["v0"]]
    assert len(broadcast.frames("v0")) == 60


def test_metadata_spares_the_wait() -> None:
    broadcast = Broadcast()
    broadcast.client.metadata({"videocodecid": 7.0})
    broadcast.headers(audio=False)
    broadcast.play(0.1, audio=False)
    assert broadcast.announced() == [["v0"]]


def test_audio_only() -> None:
    broadcast = Broadcast()
    broadcast.headers(video=False)
    broadcast.play(2, video=False)
    assert broadcast.announced() == [["a0"]]
    assert broadcast.frames("a0")[0].dts == 0
    broadcast.check_order()


@pytest.mark.parametrize("late_audio", [True, False])
def test_a_late_track_is_announced_with_a_key_frame(late_audio: bool) -> None:
    broadcast = Broadcast()
    broadcast.headers(video=late_audio, audio=not late_audio)
    broadcast.play(2, video=late_audio, audio=not late_audio)
    broadcast.headers(video=not late_audio, audio=late_audio)
    broadcast.play(2, start=2000)
    assert broadcast.announced() == [["v0" if late_audio else "a0"], ["v0", "a0"]]
    behind = broadcast.items[broadcast.items.index(broadcast.of(Announced)[1]) + 1]
    assert isinstance(behind, Frame)
    assert behind.track == "v0"
    assert behind.keyframe
    broadcast.check_order()


def test_frames_before_the_first_key_frame_are_dropped() -> None:
    broadcast = Broadcast()
    broadcast.headers()
    broadcast.play(2, start=400)
    first = broadcast.frames("v0")[0]
    assert first.keyframe
    assert first.dts == 600 * 90
    assert broadcast.frames("a0")[0].dts >= (600 - 22) * 48
    broadcast.check_order()


def test_new_configuration_is_announced_with_its_key_frame() -> None:
    broadcast = Broadcast()
    broadcast.headers()
    broadcast.play(1.5)
    broadcast.client.config(Codec.H264, H264_CONFIG)
    broadcast.play(0.2, start=1500)
    assert len(broadcast.announced()) == 1
    broadcast.client.config(Codec.H264, other_config())
    broadcast.play(2, start=1700)
    first, second = broadcast.of(Announced)
    assert first.tracks[0].config == H264_CONFIG
    assert second.tracks[0].config == other_config()
    assert second.tracks[1] == first.tracks[1]
    index = broadcast.items.index(second)
    before = [item for item in broadcast.items[:index] if isinstance(item, Frame) and item.track == "v0"]
    assert before[-1].dts < 1700 * 90
    behind = broadcast.items[index + 1]
    assert isinstance(behind, Frame)
    assert (behind.track, behind.keyframe) == ("v0", True)
    broadcast.check_order()


def test_new_parameter_sets_in_the_stream_are_a_new_configuration() -> None:
    broadcast = Broadcast()
    broadcast.headers()
    broadcast.play(1)
    broadcast.video(1000, keyframe=True, data=h264(True, 20, b"\x09\xf0", *parameter_sets()))
    broadcast.deliver()
    assert len(broadcast.announced()) == 1
    broadcast.video(2000, keyframe=True, data=h264(True, 20, *parameter_sets(other_config())))
    broadcast.deliver()
    assert len(broadcast.announced()) == 2
    last = broadcast.frames("v0")[-1]
    assert last.payload == h264(True)
    assert tracks(broadcast)[0].codec_string == "avc1.64001f"


def test_parameter_sets_in_the_stream_only() -> None:
    broadcast = Broadcast()
    broadcast.client.config(Codec.AAC, AAC_CONFIG)
    broadcast.video(0, keyframe=True, data=h264(True, 20, *parameter_sets()))
    broadcast.play(1, start=34)
    assert broadcast.announced() == [["v0", "a0"]]
    assert tracks(broadcast)[0].width == 640


def test_no_parameter_sets_at_all() -> None:
    broadcast = Broadcast()
    broadcast.client.config(Codec.AAC, AAC_CONFIG)
    with pytest.raises(UnusableMediaError, match="without parameter sets"):
        broadcast.play(10)
    assert broadcast.announced() == []


def test_no_audio_configuration() -> None:
    broadcast = Broadcast()
    broadcast.client.config(Codec.H264, H264_CONFIG)
    with pytest.raises(UnusableMediaError, match="aac audio without its configuration"):
        broadcast.play(10)


def test_no_key_frame() -> None:
    broadcast = Broadcast()
    broadcast.headers()
    with pytest.raises(UnusableMediaError, match="no key frame"):
        broadcast.play(40, start=34, group=100_000)


def test_unusable_codecs() -> None:
    broadcast = Broadcast()
    broadcast.client.send(Message(MessageType.VIDEO, 1, 0, b"\x12\x00"), 6)
    with pytest.raises(MediaError, match="Sorenson"):
        broadcast.deliver()


@pytest.mark.parametrize("jump", [3_600_000, -3_600_000, 100_000_000])
def test_jumps_of_hours_are_not_believed(jump: int) -> None:
    broadcast = Broadcast()
    broadcast.headers()
    base = 5_000_000
    broadcast.play(2, offset=base)
    broadcast.play(2, start=2000, offset=base + jump)
    assert broadcast.ingest.jumps == 1
    last = broadcast.frames("v0")[-1].dts / 90_000
    sound = broadcast.frames("a0")[-1].dts / 48_000
    assert last == pytest.approx(4, abs=0.2)
    assert sound == pytest.approx(last, abs=0.1)
    broadcast.check_order()


def test_small_steps_back_go_on() -> None:
    broadcast = Broadcast()
    broadcast.headers()
    broadcast.play(3)
    broadcast.play(3, start=3000, offset=-2500)
    video, audio = broadcast.frames("v0"), broadcast.frames("a0")
    assert len(video) == 180
    assert video[-1].dts / 90_000 == pytest.approx(6, abs=0.1)
    assert audio[-1].dts / 48_000 == pytest.approx(6, abs=0.1)
    broadcast.check_order()


def test_the_clock_wraps() -> None:
    broadcast = Broadcast()
    broadcast.headers()
    broadcast.play(2, offset=0xFFFFFFFF - 1000)
    assert broadcast.ingest.jumps == 0
    assert broadcast.frames("v0")[-1].dts == 59 * 1000 // 30 * 90
    broadcast.check_order()


def test_equal_timestamps_become_different_ones() -> None:
    broadcast = Broadcast()
    broadcast.headers(audio=False)
    for index in range(600):
        broadcast.video(0, keyframe=index == 0)
    broadcast.deliver()
    assert broadcast.announced() == [["v0"]]
    assert len(broadcast.frames("v0")) == 600
    broadcast.check_order()


def test_pictures_with_the_same_time_are_shown_one_after_the_other() -> None:
    """GStreamer's muxer does that on a busy machine: a late picture gets the time of the one before."""
    broadcast = Broadcast()
    broadcast.headers(audio=False)
    for time in [0, 33, 67, 67, 133, 167, 167, 233, 267, 250, 333, 367]:
        broadcast.video(time, keyframe=time == 0)
        broadcast.deliver()
        broadcast.clock.advance(1 / 30)
    broadcast.play(1, start=400, audio=False)
    shown = [frame.pts for frame in broadcast.frames("v0")]
    assert all(before < after for before, after in itertools.pairwise(shown))
    # Later pictures are not moved by it.
    assert broadcast.frames("v0")[-1].dts == broadcast.frames("v0")[-1].pts == (400 + 29 * 1000 // 30) * 90
    broadcast.check_order()


def test_missing_sound_is_a_gap_and_surplus_is_dropped() -> None:
    broadcast = Broadcast()
    broadcast.headers()
    broadcast.play(1)
    broadcast.play(1, start=1000, audio=False)
    broadcast.play(1, start=2000)
    assert broadcast.frames("a0")[-1].dts == pytest.approx(3 * 48_000, abs=48 * 60)
    for index in range(8):
        broadcast.audio(3000 + index)
    broadcast.deliver()
    assert broadcast.frames("a0")[-1].dts < 3.1 * 48_000
    broadcast.check_order()


def test_negative_composition_offsets_decode_earlier() -> None:
    broadcast = Broadcast()
    broadcast.headers(audio=False)
    for index, composition in enumerate([0, 67, -33, -33, 67, -33, -33] * 6):
        broadcast.video(round(index * 100 / 3), keyframe=index == 0, composition=composition)
        broadcast.deliver()
        broadcast.clock.advance(1 / 30)
    frames = broadcast.frames("v0")
    assert [frame.pts // 90 for frame in frames[20:24]] == [634, 700, 800, 734]
    broadcast.check_order()


def test_absurd_composition_offsets_are_ignored() -> None:
    broadcast = Broadcast()
    broadcast.client.metadata({"videocodecid": 7.0})
    broadcast.headers(audio=False)
    broadcast.video(0, keyframe=True, composition=0x7FFFFF)
    broadcast.deliver()
    assert broadcast.frames("v0")[0].pts == 0


def test_sound_that_waits_for_a_picture_is_bounded() -> None:
    broadcast = Broadcast()
    broadcast.headers()
    broadcast.video(0)
    for index in range(2000):
        broadcast.audio(index * 5)
    broadcast.deliver()
    assert len(broadcast.ingest._waiting) < 512
    assert broadcast.announced() == []


def test_nanoseconds_are_exact() -> None:
    broadcast = Broadcast()
    broadcast.client.metadata({"videocodecid": 7.0})
    broadcast.headers(audio=False)
    for index in range(30):
        nanoseconds = index * 1_001_000_000 // 30
        packet = Packet(PacketKind.FRAME, Codec.H264, h264(index == 0), index == 0, 0, nanoseconds % 1_000_000)
        broadcast.client.packet(packet, nanoseconds // 1_000_000, enhanced=True)
    broadcast.deliver()
    times = [frame.dts for frame in broadcast.frames("v0")]
    assert all(abs(time - index * 3003) <= 1 for index, time in enumerate(times))


def test_multitrack() -> None:
    broadcast = Broadcast()
    client = broadcast.client
    broadcast.headers()
    client.packet(Packet(PacketKind.CONFIG, Codec.H264, other_config(), track=1), 0, multitrack=True)
    client.packet(Packet(PacketKind.CONFIG, Codec.AAC, OTHER_AAC, track=2), 0, multitrack=True)
    for index in range(60):
        time = index * 1000 // 30
        keyframe = index % 30 == 0
        both = [Packet(PacketKind.FRAME, Codec.H264, h264(keyframe), keyframe, track=number) for number in (1, 0)]
        client.send(Message(MessageType.VIDEO, 1, time, build_many_tracks(both, keyframe=keyframe)), 6)
        for track in (0, 2):
            client.packet(Packet(PacketKind.FRAME, Codec.AAC, b"sound", track=track), time, multitrack=True)
        broadcast.deliver()
        broadcast.clock.advance(1 / 30)
    assert broadcast.announced() == [["v0", "v1", "a0", "a2"]]
    assert [track.sample_rate for track in tracks(broadcast)] == [0, 0, 48_000, 44_100]
    assert {len(broadcast.frames(track)) for track in ("v0", "v1")} == {60}
    broadcast.check_order()


def test_tracks_are_limited() -> None:
    broadcast = Broadcast(RtmpConfig(max_tracks=3))
    for track in range(4):
        broadcast.client.packet(Packet(PacketKind.CONFIG, Codec.AAC, AAC_CONFIG, track=track), 0, multitrack=True)
    with pytest.raises(LimitError, match="3 tracks"):
        broadcast.deliver()


def test_another_codec_in_mid_stream() -> None:
    broadcast = Broadcast()
    broadcast.headers()
    broadcast.play(1)
    head = b"OpusHead\x01\x02" + (312).to_bytes(2, "little") + (48_000).to_bytes(4, "little") + b"\x00\x00\x00"
    broadcast.client.config(Codec.OPUS, head, 1000, enhanced=True)
    for index in range(90):
        broadcast.video(1000 + index * 1000 // 30, keyframe=index == 30)
        for half in range(2):
            opus = Packet(PacketKind.FRAME, Codec.OPUS, b"\xfc\xff\xfe")
            broadcast.client.packet(opus, 1000 + index * 40 + half * 20, enhanced=True)
        broadcast.deliver()
        broadcast.clock.advance(1 / 30)
    assert [track.codec for track in tracks(broadcast)] == [Codec.H264, Codec.OPUS]
    assert len(broadcast.announced()) == 2
    opus_frames = [frame for frame in broadcast.frames("a0") if frame.payload == b"\xfc\xff\xfe"]
    assert opus_frames[1].dts - opus_frames[0].dts == 960


def silent_config() -> bytes:
    """A configuration whose SPS has no VUI: neither frame rate nor reordering are known."""
    sps, pps = bytes.fromhex("674d001e9a7405a0930c"), parameter_sets()[1]
    head = b"\x01" + sps[1:4] + b"\xff\xe1" + len(sps).to_bytes(2, "big")
    return head + sps + b"\x01" + len(pps).to_bytes(2, "big") + pps


def test_frame_rate_is_measured_when_the_bit_stream_does_not_tell() -> None:
    broadcast = Broadcast()
    broadcast.client.metadata({"videocodecid": 7.0})
    broadcast.client.config(Codec.H264, silent_config())
    broadcast.play(1, audio=False)
    (video,) = tracks(broadcast)
    assert video.frame_rate == 30
    assert not video.has_b_frames
    assert len(broadcast.frames("v0")) == 30


def test_b_frames_that_show_late_are_announced() -> None:
    broadcast = Broadcast()
    broadcast.client.metadata({"videocodecid": 7.0})
    broadcast.client.config(Codec.H264, silent_config())
    broadcast.play(1, audio=False)
    for index in range(30, 90):
        broadcast.video(index * 1000 // 30, keyframe=index % 30 == 0, composition=67 if index % 3 else 0)
        broadcast.deliver()
        broadcast.clock.advance(1 / 30)
    assert [item.tracks[0].has_b_frames for item in broadcast.of(Announced)] == [False, True]
    broadcast.check_order()


def test_takeover_writes_nothing_more() -> None:
    broadcast = Broadcast()
    broadcast.headers()
    broadcast.play(1)
    broadcast.publication.take_over("another publisher")
    count = len(broadcast.frames("v0"))
    broadcast.play(1, start=1000)
    assert len(broadcast.frames("v0")) == count


@pytest.mark.parametrize(
    ("times", "rate"),
    [
        ([0, 3000], None),
        (list(range(10)), None),
        ([0, 2970, 6030, 9000, 11970, 15030], Fraction(30)),
        ([round(index * 1000 / 60) * 90 for index in range(10)], Fraction(60)),
        ([index * 3003 for index in range(10)], Fraction(30)),
        ([index * 90_000 // 7 for index in range(10)], Fraction(7)),
        ([0, 90_000, 180_000], Fraction(1)),
    ],
)
def test_measured_frame_rates(times: list[int], rate: Fraction | None) -> None:
    assert measure_rate(times) == rate
