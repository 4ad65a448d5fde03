"""From a browser's RTP to a reader of the hub: tracks, loss, changes, clocks and ends."""

import itertools
from base64 import b64encode
from fractions import Fraction
from functools import partial

import pytest
from tests.support.rtp_publisher import PPS, Network, Sender, make_sps, negotiation

from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec
from ghostlive.formats.rtcp import Goodbye, Nack, PictureLossIndication, ReceiverReport, Remb, TransportFeedback
from ghostlive.hub.subscription import Announced, Ended, Interrupted
from ghostlive.protocols.webrtc.ingest.config import IngestConfig


def steps(frames: list[Frame]) -> list[int]:
    return [after.dts - before.dts for before, after in itertools.pairwise(frames)]


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.H264])
def test_picture_and_sound(codec: Codec) -> None:
    sender = Sender(negotiation(video=codec))
    video, audio = sender.video(codec=codec), sender.audio()
    sender.run(3)
    sender.settle()
    assert sender.announced() == [["v0", "a0"]]
    picture, sound = sender.tracks()
    assert (picture.codec, picture.timescale, picture.frame_rate, picture.has_b_frames) == (
        codec,
        90_000,
        Fraction(30),
        False,
    )
    assert (sound.codec, sound.timescale, sound.channels, sound.sample_rate) == (Codec.OPUS, 48_000, 2, 48_000)
    assert sender.check(video, "v0") == list(range(90))
    assert sender.check(audio, "a0")[-100:] == list(range(50, 150))
    assert set(steps(sender.frames("a0"))) == {960}
    assert sender.frames("v0")[0].keyframe


def lip_sync(sender: Sender, video: int = 10, audio: int = 100, since: float = 0.0) -> list[float]:
    """Of each picture after `since` seconds of capture: by how many seconds it is later than its sound."""
    pictures, sounds = sender.streams[video], sender.streams[audio]
    known = [
        (frame.dts / 48_000, sounds.capture[sounds.frames[frame.payload]])
        for frame in sender.frames("a0")
        if frame.payload in sounds.frames
    ]
    found = []
    for frame in sender.frames("v0"):
        captured = pictures.capture[pictures.frames[frame.payload]]
        if captured - sender.began < since:
            continue
        near = min(known, key=lambda one: abs(one[1] - captured))
        found.append((frame.pts / 90_000 - captured) - (near[0] - near[1]))
    return found


@pytest.mark.parametrize("delay", [0.0, 0.15, 0.4])
def test_lip_sync_comes_from_sender_reports(delay: float) -> None:
    sender = Sender()
    sender.video()
    sender.audio(first_timestamp=2**32 - 100_000)
    sender.run(20, video_delay=delay)
    sender.settle()
    assert max(map(abs, lip_sync(sender, since=12))) < 0.01
    # What it cannot know before the first report is how long the encoder took.
    assert max(map(abs, lip_sync(sender))) < delay + 0.03


def test_without_sender_reports_what_arrives_together_belongs_together() -> None:
    sender = Sender(network=Network(jitter=0.03))
    video, audio = sender.video(), sender.audio()
    video.reports = audio.reports = False
    sender.run(20, video_delay=0.02)
    sender.settle()
    assert max(map(abs, lip_sync(sender))) < 0.04


LOSSY = [
    (Network(loss=0.02), 0.99),
    (Network(loss=0.05, jitter=0.05), 0.95),
    (Network(loss=0.1), 0.97),
    (Network(jitter=0.2), 0.99),
    (Network(loss=0.05, delay=0.1), 0.95),
    # Retransmissions take up to 0.4 s here, and one in ten never comes.
    (Network(loss=0.05, jitter=0.2, duplicates=0.05), 0.8),
    (Network(loss=0.1, spikes=0.2, duplicates=0.1, delay=0.05), 0.85),
    (Network(duplicates=0.5, spikes=0.5), 0.99),
]


@pytest.mark.parametrize(("network", "share"), LOSSY, ids=str)
@pytest.mark.parametrize("codec", [Codec.VP8, Codec.H264])
@pytest.mark.parametrize("seed", [1, 2])
def test_bad_network(network: Network, share: float, codec: Codec, seed: int) -> None:
    sender = Sender(
        negotiation(video=codec),
        Network(seed, network.loss, network.duplicates, network.delay, network.jitter, network.spikes),
    )
    video, audio = sender.video(codec=codec), sender.audio()
    sender.run(20)
    sender.settle()
    assert sender.announced() == [["v0", "a0"]]
    numbers = sender.check(video, "v0")
    sender.check(audio, "a0")
    assert len(numbers) >= share * (video.count - numbers[0])
    assert all(step % 960 == 0 for step in steps(sender.frames("a0")))
    stats = sender.publisher.stats()
    assert stats.streams["video"].recovered > 0 or not network.loss
    assert stats.broken == 0


def test_loss_costs_no_more_than_the_time_to_the_next_keyframe() -> None:
    sender = Sender(negotiation(feedback=frozenset({"nack pli", "transport-cc"}), rtx=False), Network(delay=0.02))
    video = sender.video()
    sender.run(3, audio=False)
    sender.network.loss = 1.0
    sender.run(0.3, audio=False)
    sender.network.loss = 0.0
    sender.run(5, audio=False)
    sender.settle()
    numbers = sender.check(video, "v0")
    missing = sorted(set(range(video.count)) - set(numbers))
    # 9 frames were lost; then comes the wait for what is missing, the request and the keyframe.
    assert 9 <= len(missing) <= 9 + 9
    assert missing == list(range(missing[0], missing[-1] + 1))


def test_nothing_is_asked_for_that_was_not_negotiated() -> None:
    sender = Sender(
        negotiation(feedback=frozenset({"nack pli"}), audio_feedback=frozenset(), rtx=False), Network(loss=0.05)
    )
    sender.video()
    sender.audio()
    sender.run(10)
    assert not sender.told(Nack)
    assert not sender.told(TransportFeedback)
    assert not sender.told(Remb)
    assert sender.told(PictureLossIndication)
    assert len(sender.told(ReceiverReport)) >= 9


def test_silence_of_the_network_ends_nothing() -> None:
    sender = Sender()
    video, audio = sender.video(), sender.audio()
    sender.run(3)
    sender.network.loss = 1.0
    sender.run(4)
    sender.network.loss = 0.0
    sender.run(5)
    sender.settle()
    assert sender.announced() == [["v0", "a0"]]
    sender.check(video, "v0")
    sender.check(audio, "a0")
    assert max(map(abs, lip_sync(sender, since=4))) < 0.04
    assert sender.frames("a0")[-1].dts == pytest.approx(12 * 48_000, abs=0.1 * 48_000)
    assert sender.frames("v0")[-1].dts == pytest.approx(12 * 90_000, abs=0.1 * 90_000)


def test_memory_is_bounded_when_something_never_comes() -> None:
    config = IngestConfig(max_wait=60.0, buffer_packets=300)
    sender = Sender(config=config)
    video = sender.video()
    sender.run(2, audio=False)
    sender.answers = False
    video.sequence += 1
    for _ in range(10):
        sender.run(2, audio=False)
        for source in sender.publisher._sources.values():
            assert len(source.receiver.buffer) <= 300
            assert source.receiver.buffer.size <= 300 * 1200
    sender.answers = True
    sender.run(5, audio=False)
    sender.settle()
    assert sender.check(video, "v0")[-1] == video.count - 1


def test_keyframes_are_asked_for_in_time() -> None:
    sender = Sender()
    video = sender.video()
    sender.run(20.5, audio=False)
    sender.settle()
    keyframes = [frame.pts / 90_000 for frame in sender.frames("v0") if frame.keyframe]
    assert all(1.9 < after - before < 2.4 for before, after in itertools.pairwise(keyframes))
    assert video.keyframes - 1 <= len(sender.told(PictureLossIndication)) <= video.keyframes


def test_an_encoder_with_its_own_rhythm_is_left_alone() -> None:
    sender = Sender()
    video = sender.video()
    for index in range(10):
        sender.clock.call_later(index * 2.0, lambda: setattr(video, "want_keyframe", True))
    sender.run(20, audio=False)
    assert not sender.told(PictureLossIndication)


def test_the_hub_asks_for_keyframes() -> None:
    sender = Sender(config=IngestConfig(keyframe_interval=0))
    video = sender.video()
    sender.run(5, audio=False)
    assert video.keyframes == 1
    live = sender.hub.get("show")
    assert live is not None
    assert live.request_keyframe("v0")
    sender.run(1, audio=False)
    assert video.keyframes == 2


def test_a_keyframe_that_does_not_come_is_asked_for_again_and_again() -> None:
    sender = Sender()
    video = sender.video()
    video.want_keyframe = False
    sender.answers = False
    sender.run(31, audio=False)
    assert 10 < len(sender.told(PictureLossIndication)) < 40
    assert sender.link.closed
    assert "no keyframe came in 30 s" in sender.link.closed[0]
    assert not sender.items


def test_picture_alone_and_sound_alone() -> None:
    sender = Sender()
    sender.video()
    sender.run(2)
    assert sender.announced() == [["v0"]]

    sender = Sender()
    sender.audio()
    sender.run(2)
    assert sender.announced() == [["a0"]]
    assert len(sender.frames("a0")) > 90


def test_what_was_not_negotiated_is_not_waited_for() -> None:
    sender = Sender(negotiation(audio=False))
    sender.video()
    sender.run(0.5)
    assert sender.announced() == [["v0"]]


def test_a_first_picture_that_takes_a_second_is_waited_for() -> None:
    sender = Sender()
    audio = sender.audio()
    sender.run(1)
    video = sender.video()
    sender.run(2)
    sender.settle()
    assert sender.announced() == [["v0", "a0"]]
    assert sender.check(audio, "a0")
    assert sender.check(video, "v0")


def test_a_picture_that_comes_later_is_announced() -> None:
    sender = Sender()
    audio = sender.audio()
    sender.run(2)
    video = sender.video()
    sender.run(3)
    sender.settle()
    assert sender.announced() == [["a0"], ["v0", "a0"]]
    sender.check(audio, "a0")
    assert len(sender.check(video, "v0")) > 80
    assert max(map(abs, lip_sync(sender))) < 0.04


@pytest.mark.parametrize("codec", [Codec.VP8, Codec.H264])
def test_another_size_in_mid_stream(codec: Codec) -> None:
    sender = Sender(negotiation(video=codec))
    video, audio = sender.video(codec=codec), sender.audio()
    sender.run(3)
    video.resize(1280, 720)
    sender.run(3)
    video.resize(360, 640)
    sender.run(3)
    sender.settle()
    assert sender.announced() == [["v0", "a0"]] * 3
    sizes = [(track.width, track.height) for item in sender.of(Announced) for track in item.tracks[:1]]
    assert sizes == [(640, 360), (1280, 720), (360, 640)]
    assert sender.check(video, "v0") == list(range(270))
    assert set(steps(sender.frames("a0"))) == {960}
    sender.check(audio, "a0")


def test_another_size_before_the_tracks_are_known() -> None:
    sender = Sender()
    video = sender.video()
    sender.run(0.3)
    video.resize(1280, 720)
    sender.audio()
    sender.run(2)
    sender.settle()
    assert [[track.width for track in item.tracks[:1]] for item in sender.of(Announced)] == [[1280]]
    assert sender.check(video, "v0")[0] == 9


def test_padding_and_probes_are_no_media() -> None:
    sender = Sender(network=Network(loss=0.02))
    video = sender.video()
    video.padding = 3
    for index in range(200):
        sender.clock.call_later(index * 0.02, video.probe)
    sender.run(10, audio=False)
    sender.settle()
    numbers = sender.check(video, "v0")
    assert len(numbers) > 0.98 * video.count


def test_numbers_that_wrap() -> None:
    sender = Sender(network=Network(loss=0.03, spikes=0.1))
    video = sender.video(first_sequence=65_500, first_timestamp=2**32 - 90_000)
    audio = sender.audio(first_sequence=65_530, first_timestamp=2**32 - 20_000)
    sender.run(10)
    sender.settle()
    assert len(sender.check(video, "v0")) > 290
    sender.check(audio, "a0")
    assert max(map(abs, lip_sync(sender, since=8))) < 0.01
    highest = [
        block.highest_sequence for report in sender.told(ReceiverReport) for block in report.blocks if block.ssrc == 10
    ]
    assert highest[-1] == pytest.approx(video.sequence, abs=60)


@pytest.mark.parametrize("ppm", [-1000, 1000])
def test_sound_whose_timestamps_are_not_its_samples(ppm: float) -> None:
    sender = Sender(negotiation(video=None))
    audio = sender.audio()
    audio.timestamps_ppm = ppm
    sender.run(60)
    assert set(steps(sender.frames("a0"))) == {960}
    assert sender.frames("a0")[-1].dts == pytest.approx(60 * 48_000 * (1 + ppm * 1e-6), abs=2000)
    assert len(sender.check(audio, "a0")) > 0.99 * audio.count


@pytest.mark.parametrize("ppm", [-2000, 2000])
def test_a_clock_of_sound_that_is_wrong(ppm: float) -> None:
    """Sound drifts against the sender's own clock and ours; the picture stays with it, and both with us."""
    sender = Sender()
    sender.video()
    audio = sender.audio()
    audio.clock_ppm = ppm
    sender.run(200, rate=2, bytes_each=20)
    sender.settle()
    for track, rate in (("a0", 48_000), ("v0", 90_000)):
        late = [frame.dts / rate - (frame.received - sender.began) for frame in sender.frames(track)]
        assert max(late) - min(late) < 0.15  # it would be 0.4 s
    assert set(steps(sender.frames("a0"))) == {960}
    assert max(map(abs, lip_sync(sender, since=10))) < 0.04


@pytest.mark.parametrize("ppm", [-600, 600])
def test_a_picture_alone_follows_our_clock(ppm: float) -> None:
    sender = Sender(negotiation(audio=False))
    video = sender.video()
    video.clock_ppm = ppm
    sender.run(1200, rate=1, bytes_each=20)
    late = [frame.dts / 90_000 - (frame.received - sender.began) for frame in sender.frames("v0")]
    assert max(map(abs, late)) < 0.1  # it would be 0.72 s


def test_silence_that_is_not_sent_is_filled_in_time() -> None:
    """DTX: a packet of one byte says that nothing follows but some noise each 400 ms."""
    sender = Sender()
    sender.video()
    audio = sender.audio()
    silent = range(100, 300)
    sender.run(10, audio_size=lambda index: 80 if index not in silent else 1 if index % 20 == 0 else 0)
    sender.settle()
    sounds = sender.frames("a0")
    assert set(steps(sounds)) == {960}
    late = [frame.received - sender.began - frame.dts / 48_000 for frame in sounds]
    assert max(late[50:]) - min(late[50:]) < 0.1
    sender.check(audio, "a0")


def test_lost_sound_is_bridged() -> None:
    sender = Sender(network=Network(loss=0.1))
    sender.video()
    audio = sender.audio()
    sender.run(10)
    sender.settle()
    assert set(steps(sender.frames("a0"))) == {960}
    concealed = [frame for frame in sender.frames("a0") if len(frame.payload) == 1]
    assert 20 < len(concealed) < 100
    sender.check(audio, "a0")


def test_timestamps_of_sound_that_are_rounded() -> None:
    sender = Sender(negotiation(video=None))
    audio = sender.audio()
    audio.rounding = 48  # a sender that counts milliseconds
    sender.run(10, audio_size=lambda index: 80)
    assert set(steps(sender.frames("a0"))) == {960}
    assert len(sender.check(audio, "a0")) == audio.count - 1 or len(sender.check(audio, "a0")) == audio.count


def simulcast(network: Network | None = None) -> Sender:
    sender = Sender(negotiation(rids=("l", "m", "h")), network)
    sender.video(10, "l", size=(320, 180), first_timestamp=1)
    sender.video(20, "m", size=(640, 360), first_timestamp=3_000_000_000)
    sender.video(30, "h", size=(1280, 720), first_timestamp=77)
    sender.audio()
    return sender


def test_simulcast_layers_are_renditions() -> None:
    sender = simulcast(Network(loss=0.02))
    sender.run(6)
    sender.settle()
    assert sender.announced() == [["v0", "v1", "v2", "a0"]]
    assert [track.width for track in sender.tracks()[:3]] == [1280, 640, 320]
    for ssrc, track in ((30, "v0"), (20, "v1"), (10, "v2")):
        assert len(sender.check(sender.streams[ssrc], track)) > 150
    # The same pictures have the same times.
    times = [[frame.pts for frame in sender.frames(track)[-30:]] for track in ("v0", "v1", "v2")]
    for pictures in zip(*times, strict=True):
        assert max(pictures) - min(pictures) < 300


@pytest.mark.parametrize("named", [True, False])
def test_layers_without_rids_are_told_apart_by_their_ssrcs(named: bool) -> None:
    sender = Sender(negotiation(layers=(10, 20, 30)), Network(loss=0.02))
    sizes = {10: (320, 180), 20: (640, 360), 30: (1280, 720)}
    for ssrc, size in sizes.items():
        sender.video(ssrc, size=size).named = named
    sender.audio().named = named
    sender.run(6)
    sender.settle()
    assert sender.announced() == [["v0", "v1", "v2", "a0"]]
    assert [track.width for track in sender.tracks()[:3]] == [1280, 640, 320]
    for ssrc, track in ((30, "v0"), (20, "v1"), (10, "v2")):
        assert len(sender.check(sender.streams[ssrc], track)) > 150
    stats = sender.publisher.stats()
    assert stats.ignored == 0
    assert set(stats.streams) == {"sim0", "sim1", "sim2", "audio"}
    assert all(stats.streams[name].recovered > 0 for name in ("sim0", "sim1", "sim2"))


def test_an_ssrc_that_is_none_of_the_layers_disturbs_none() -> None:
    sender = Sender(negotiation(layers=(10, 20)))
    sender.video(10, size=(320, 180))
    sender.video(20, size=(640, 360))
    sender.video(40, size=(1280, 720))
    sender.audio()
    sender.run(4)
    sender.settle()
    assert sender.announced() == [["v0", "v1", "a0"]]
    assert len(sender.check(sender.streams[20], "v0")) > 100
    assert sender.publisher.stats().ignored >= sender.streams[40].packets


def test_layers_that_stop_and_come_back() -> None:
    sender = simulcast()
    high = sender.streams[30]
    high.active = False
    sender.run(4)
    high.active = True
    sender.run(5)
    assert sender.announced() == [["v0", "v1", "a0"], ["v0", "v1", "v2", "a0"]]
    high.active = False
    sender.run(8)
    assert sender.announced()[2:] == [["v0", "v1", "a0"]]
    assert [track.width for track in sender.tracks()[:2]] == [640, 320]
    pictures = sender.frames("v0")
    assert max(after.dts - before.dts for before, after in itertools.pairwise(pictures[-260:])) < 90_000
    high.active = high.want_keyframe = True
    sender.run(6)
    sender.settle()
    assert sender.announced()[3:] == [["v0", "v1", "v2", "a0"]]
    assert sender.frames("v0")[-1].received == pytest.approx(sender.clock.now(), abs=0.7)
    low = [frame.dts for frame in sender.of(Frame) if frame.payload in sender.streams[10].frames]
    assert low == sorted(low)
    assert len(low) > 0.9 * sender.streams[10].count


def test_a_layer_that_says_goodbye_is_gone_at_once() -> None:
    sender = simulcast()
    sender.run(4)
    sender.streams[30].active = False
    sender.transmit_rtcp([Goodbye((30,))])
    sender.run(2)
    assert sender.announced() == [["v0", "v1", "v2", "a0"], ["v0", "v1", "a0"]]
    assert max(steps(sender.frames("v0"))) < 0.2 * 90_000


def test_a_screen_that_stands_still() -> None:
    """Chromium sends a frame a second then; no layer is off, and nothing is asked for in between."""
    sender = simulcast()
    sender.run(4)
    sender.run(20, rate=1)
    sender.run(4)
    sender.settle()
    assert sender.announced() == [["v0", "v1", "v2", "a0"]]
    assert max(map(abs, lip_sync(sender, video=30, since=10))) < 0.01


def test_a_layer_that_is_only_tried_is_not_announced() -> None:
    sender = simulcast()
    high = sender.streams[30]
    high.active = False
    sender.run(3)
    high.active = True
    sender.run(0.5)
    high.active = False
    sender.run(5)
    assert len([one for one in sender.told(PictureLossIndication) if one.media_ssrc == 30]) < 5
    assert sender.announced() == [["v0", "v1", "a0"]]


def test_layers_are_known_by_what_packets_say_first() -> None:
    sender = simulcast()
    sender.run(1)
    for stream in sender.streams.values():
        stream.named = False
    sender.run(3)
    sender.settle()
    assert len(sender.check(sender.streams[20], "v1")) > 100
    assert sender.publisher.stats().ignored == 0


def test_another_source_in_the_same_place() -> None:
    """A sender that begins anew: other SSRC, other numbers."""
    sender = Sender()
    video, audio = sender.video(), sender.audio()
    sender.run(3)
    del sender.streams[10]
    other = sender.video(50, first_sequence=5, first_timestamp=999)
    sender.run(3)
    sender.settle()
    frames = sender.frames("v0")
    assert all(after.dts > before.dts for before, after in itertools.pairwise(frames))
    assert sum(frame.payload in other.frames for frame in frames) > 80
    assert sum(frame.payload in video.frames for frame in frames) > 80
    assert frames[-1].dts / 90_000 == pytest.approx(6, abs=0.2)
    sender.check(audio, "a0")


def test_numbers_that_jump() -> None:
    sender = Sender()
    video, audio = sender.video(), sender.audio()
    sender.run(3)
    video.sequence += 20_000
    video.first_timestamp += 90_000 * 1000
    audio.sequence -= 10_000
    audio.first_timestamp -= 48_000 * 3000
    sender.run(12)
    sender.settle()
    for track, rate in (("v0", 90_000), ("a0", 48_000)):
        frames = sender.frames(track)
        assert all(after.dts > before.dts for before, after in itertools.pairwise(frames))
        assert frames[-1].dts / rate == pytest.approx(15, abs=0.3)
    assert max(map(abs, lip_sync(sender, since=12))) < 0.04


def test_b_frames_are_in_decoding_order() -> None:
    sender = Sender(negotiation(video=Codec.H264))
    video = sender.video(codec=Codec.H264)
    video.reorders = True
    order = [0, 3, 1, 2]
    for group in range(60):
        for index, shown in enumerate(order):
            due, at = group * 4 + index, group * 4 + shown
            sender.clock.call_later(due / 30 + 0.1, partial(video.send_video, sender.began + at / 30))
    sender.run(8, video=False, audio=False)
    sender.settle()
    assert sender.tracks()[0].has_b_frames
    numbers = sender.check(video, "v0")
    assert numbers == list(range(240))
    since = [frame for frame in sender.frames("v0") if frame.dts > 3 * 90_000]
    assert sorted(frame.pts for frame in since) != [frame.pts for frame in since]
    assert all(frame.pts - frame.dts < 90_000 / 5 for frame in since)


def test_another_codec_under_way() -> None:
    """A browser whose encoder fails goes on with the next codec that was negotiated."""
    sender = Sender(negotiation(other=Codec.H264))
    video = sender.video()
    sender.audio()
    sender.run(2)
    video.codec, video.payload_type, video.want_keyframe = Codec.H264, 98, True
    sender.run(2)
    sender.settle()
    assert [item.tracks[0].codec for item in sender.of(Announced)] == [Codec.VP8, Codec.H264]
    assert sender.check(video, "v0") == list(range(120))


@pytest.mark.parametrize("sets", ["before", "nowhere"])
def test_parameter_sets_that_are_not_with_their_picture(sets: str) -> None:
    known = ",".join(b64encode(unit).decode() for unit in (make_sps(640, 360), PPS))
    parameters = {"sprop-parameter-sets": known} if sets == "nowhere" else {}
    sender = Sender(negotiation(video=Codec.H264, parameters=parameters))
    video = sender.video(codec=Codec.H264)
    video.sets = sets
    sender.run(3)
    sender.settle()
    assert (sender.tracks()[0].width, sender.tracks()[0].height) == (640, 360)
    # Whether the very first packet begins a picture cannot be told without sets before it.
    assert len(sender.check(video, "v0")) >= video.count - (10 if sets == "nowhere" else 0)


def test_a_keyframe_whose_headers_are_broken_is_not_shown() -> None:
    sender = Sender(negotiation(video=Codec.H264))
    video = sender.video(codec=Codec.H264)
    sender.run(2)
    video.size = (0, 0)  # what comes of it is no SPS
    video.want_keyframe = True
    sender.run(0.2)
    video.size = (640, 360)
    sender.run(2)
    sender.settle()
    assert sender.publisher.stats().broken > 0
    sender.check(video, "v0")
    assert sender.frames("v0")[-1].received > sender.clock.now() - 0.6


def test_ends() -> None:
    sender = Sender()
    sender.video()
    sender.audio()
    sender.run(2)
    sender.publisher.closed("the connection broke")
    sender.publisher.closed("again")
    sender.settle()
    assert len(sender.of(Interrupted)) == 1
    last = {track: sender.frames(track)[-1].dts for track in ("v0", "a0")}

    sender.clock.advance(5)
    back = Sender(clock=sender.clock, hub=sender.hub)
    video, audio = back.video(11), back.audio(101)
    back.run(2)
    back.items = [item for item in back.items if not isinstance(item, Frame) or item.dts > last[item.track]]
    back.check(video, "v0")
    back.check(audio, "a0")
    frames = {track: back.frames(track) for track in ("v0", "a0")}
    assert len(frames["v0"]) > 50
    assert len(frames["a0"]) > 90
    assert frames["v0"][-1].dts > last["v0"] + 6 * 90_000
    back.publisher.end("the broadcaster stopped")
    back.settle()
    assert [ended.reason for ended in back.of(Ended)] == ["the broadcaster stopped"]
    assert back.link.closed == ["the broadcaster stopped"]
    back.publisher.closed("the broadcaster stopped")


def test_goodbye_by_rtcp_and_then_silence_is_an_end() -> None:
    sender = Sender()
    sender.video()
    sender.audio()
    sender.run(2)
    sender.goodbye()
    sender.settle()
    assert not sender.of(Ended)
    sender.publisher.closed("the connection was closed")
    sender.settle()
    assert sender.of(Ended)


def test_a_goodbye_that_was_none() -> None:
    sender = Sender()
    sender.video()
    sender.run(2)
    sender.goodbye()
    sender.run(2)
    sender.publisher.closed("the connection broke")
    sender.settle()
    assert sender.of(Interrupted)
    assert not sender.of(Ended)


def test_a_stream_that_was_taken_over_closes_the_session() -> None:
    sender = Sender()
    sender.video()
    sender.run(1)
    sender.publisher.taken("another publisher took the stream over")
    assert sender.link.closed == ["another publisher took the stream over"]


def test_short_streams_are_shown_whole() -> None:
    sender = Sender()
    sender.video()
    sender.run(0.3)
    assert not sender.announced()
    sender.publisher.end("over")
    sender.settle()
    assert sender.announced() == [["v0"]]
    assert len(sender.frames("v0")) >= 8


def test_feedback_tells_the_sender_what_arrived_when() -> None:
    sender = Sender(network=Network(loss=0.05, delay=0.03, jitter=0.01))
    sender.video()
    sender.audio()
    sender.run(5)
    told: dict[int, int | None] = {}
    reports = [packet for packet in sender.sent_feedback if isinstance(packet, TransportFeedback)]
    for feedback in reports:
        for number, arrived in feedback.arrivals:
            told[number] = arrived if arrived is not None else told.get(number)
    sent = [number for number, at in sender.sent_at.items() if at < sender.clock.now() - 0.3]
    assert len(sent) > 500
    assert set(sent) <= set(told)
    delays = {
        round(arrived / 1e6 - sender.sent_at[number], 3) for number in sent if (arrived := told[number]) is not None
    }
    assert max(delays) - min(delays) < 0.012
    lost = sum(told[number] is None for number in sent)
    assert 0.02 < lost / len(sent) < 0.08
    assert [report.feedback_count for report in reports] == list(range(len(reports)))
    assert 60 < len(reports) < 120


def test_peers_that_know_only_remb_get_a_figure() -> None:
    feedback = frozenset({"nack", "nack pli", "goog-remb"})
    sender = Sender(negotiation(feedback=feedback, audio_feedback=frozenset()))
    sender.video()
    sender.run(5, audio=False)
    assert sender.told(Remb)[0].bitrate >= 19_000_000
    sender.network.loss = 0.3
    sender.run(5, audio=False)
    sender.settle()
    assert sender.told(Remb)[-1].bitrate < 2_000_000
    sender.network.loss = 0.0
    sender.run(20, audio=False)
    assert sender.told(Remb)[-1].bitrate > 1.5 * min(one.bitrate for one in sender.told(Remb))
