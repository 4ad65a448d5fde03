"""What the worker knows of decoded frames."""

from pathlib import Path

import pytest
from tests.support.worker_client import make

from ghostlive.transcode.wire import Media
from ghostlive.transcode.worker import backlog
from ghostlive.transcode.worker.backlog import Backlog, Packet
from ghostlive.transcode.worker.decoders import VideoDecoder

pytestmark = pytest.mark.interop


def test_a_frame_that_waits_for_others_does_not_count_as_late(tmp_path: Path) -> None:
    (clip,) = make(
        tmp_path / "slides.mp4",
        *("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=2", "-frames:v", "24", "-c:v", "libx264"),
        *("-bf", "2", "-b_strategy", "0", "-g", "12", "-pix_fmt", "yuv420p"),
    )
    decoder = VideoDecoder(clip.track)
    found = []
    for number, frame in enumerate(clip.frames):
        media = Media(1, 0, frame.dts, frame.pts, frame.keyframe, frame.payload)
        for decoded in decoder.decode(media, float(number)):
            assert decoded.arrived == number
            found.append(decoded)
    assert [decoded.pts for decoded in found] == sorted(frame.pts for frame in clip.frames)[: len(found)]
    assert len(found) > 18
    keyframes = [decoded.pts for decoded in found if decoded.keyframe]
    assert keyframes == [frame.pts for frame in clip.frames if frame.keyframe][: len(keyframes)]
    assert len(keyframes) == 2


def test_a_backlog_that_grows_goes_on_with_a_later_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clip,) = make(
        tmp_path / "groups.mp4",
        *("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10", "-frames:v", "60", "-c:v", "libx264"),
        *("-bf", "0", "-g", "10", "-sc_threshold", "0", "-pix_fmt", "yuv420p"),
    )
    monkeypatch.setattr(backlog, "_BYTES", sum(len(frame.payload) for frame in clip.frames[:45]))
    behind = Backlog(clip.track, [Packet(frame, 0.0) for frame in clip.frames[:10]], 160, 120)
    for frame in clip.frames[10:]:
        behind.add(frame, 5.0)
    found = list(behind.frames())
    assert behind.done
    times = [pts for _, pts, _, _ in found]
    assert times == sorted(set(times))
    assert len(found) == 10
    # It begins with a keyframe and has no hole, up to the newest frame.
    assert found[0][2]
    assert times == clip.times[-len(times) :][: len(times)]
    assert {arrived for _, _, _, arrived in found} == {5.0}
    behind.add(clip.frames[0], 6.0)
    assert list(behind.frames()) == []
