"""What transcoding survives on real machines: workers that crash, hang and run out of memory, sources that change."""

import os
import re
import resource
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from tests.support.channel import Channel
from tests.support.encoder import Encoder, Picture, publishing
from tests.support.media import play, probe
from tests.support.playlist import MediaPlaylist
from tests.support.program import Program, running, wait_for

pytestmark = pytest.mark.interop

SOURCE = Picture(width=640, height=480, rate=30, group=30)
SMALL = "v0-360p30"
ENVIRONMENT = {"GHOSTLIVE_HUB__GRACE": "5", "GHOSTLIVE_PACKAGER__SEGMENT": "1"}
"""Short segments, since most of the time is spent waiting for them."""
PATIENT = {**ENVIRONMENT, "GHOSTLIVE_PACKAGER__FIRST_WAIT": "25"}
"""Viewers who are not sent away when other tests keep the machine from starting a rendition in ten seconds."""


def workers(program: Program) -> set[int]:
    """The processes that transcode for a server."""
    assert program.process is not None
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if b"ghostlive.transcode.worker" in words and b"transcode" in words and parent == program.process.pid:
                    found.add(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and not only what is left of one."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def rendition(channel: Channel, track: str = SMALL) -> str:
    """The file of a rendition's playlist."""
    lines = channel.get("master.m3u8").text.splitlines()
    return next(line for line in lines if line.endswith(f"/{track}/media.m3u8"))


class Viewer:
    """Somebody who watches a rendition: asks for its playlist again and again."""

    def __init__(self, channel: Channel, track: str = SMALL) -> None:
        self._channel = channel
        self._track = track
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.answers: list[int] = []
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.2):
            with suppress(StopIteration):
                try:
                    self.answers.append(self._channel.get(rendition(self._channel, self._track)).status_code)
                except httpx.TransportError:
                    self.answers.append(0)  # the server has gone

    def playlist(self) -> MediaPlaylist:
        """As it is now."""
        return self._channel.playlist(rendition(self._channel, self._track))

    def wait_for_more(self, timeout: float = 60.0) -> MediaPlaylist:
        """Wait until two more segments are complete; the playlist then."""
        last = self.playlist().last
        found: MediaPlaylist = wait_for(
            f"{self._track} to go on",
            lambda: playlist if (playlist := self.playlist()).last >= last + 2 else None,
            timeout,
        )
        return found

    def leave(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def watched(program: Program, picture: Picture = SOURCE) -> Iterator[tuple[Channel, Viewer]]:
    """A broadcast of which a rendition is watched."""
    channel = Channel.add(program)
    with publishing(channel.publish_url, picture):
        channel.wait_until("live")
        channel.wait_for_segments(1)
        viewer = Viewer(channel)
        try:
            channel.wait_for_segments(2, rendition(channel))
            yield channel, viewer
        finally:
            viewer.leave()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server of which no worker may be left at its end."""
    with running(tmp_path_factory.mktemp("transcode"), PATIENT) as program:
        yield program
        left = workers(program)
        program.stop()
        assert not [pid for pid in left if is_alive(pid)]
        assert "Traceback" not in program.log, program.log


def test_a_crash_is_seen_by_nobody_but_its_viewers_and_they_see_a_pause(program: Program) -> None:
    with watched(program) as (channel, viewer):
        source = channel.renditions()["video"]
        players = [play(channel.url(file), 6) for file in (source, rendition(channel))]
        before = workers(program)
        for pid in before:
            os.kill(pid, signal.SIGSEGV)
        wait_for("another worker", lambda: workers(program) - before)
        assert viewer.wait_for_more().discontinuities == 0
        assert channel.playlist(source).discontinuities == 0
        # Not a frame is broken or out of order for anybody.
        assert [player.finish() for player in players] == ["", ""]
        assert set(viewer.answers) == {200}
        assert "was killed by SIGSEGV" in program.log
        assert not any(is_alive(pid) for pid in before)


def test_a_worker_that_hangs_is_replaced(program: Program) -> None:
    with watched(program) as (_, viewer):
        before = workers(program)
        for pid in before:
            os.kill(pid, signal.SIGSTOP)
        wait_for("another worker", lambda: workers(program) - before)
        assert viewer.wait_for_more().discontinuities == 0
        assert re.search(r"did not answer for [23]\.\d s", program.log)
        busy = before & workers(program)
        for pid in busy:  # spare ones are looked at when they are needed
            os.kill(pid, signal.SIGCONT)
        assert len(busy) <= 1


def test_a_worker_without_memory_is_replaced(program: Program) -> None:
    with watched(program, Picture(width=960, height=540, rate=30, group=30)) as (channel, viewer):
        before = workers(program)
        for pid in before:
            resource.prlimit(pid, resource.RLIMIT_DATA, (1 << 20, 1 << 20))
        # The next encoder finds no room; both renditions are made by another worker then.
        assert channel.get(rendition(channel, "v0-480p30")).status_code == 200
        assert viewer.wait_for_more().discontinuities == 0
        assert "transcoding worker failed" in program.log
        assert before - workers(program)


def test_a_source_that_changes_everything_keeps_its_viewers(program: Program) -> None:
    channel = Channel.add(program)
    first = Encoder(channel.publish_url, SOURCE)
    second: Encoder | None = None
    viewer: Viewer | None = None
    try:
        channel.wait_until("live")
        channel.wait_for_segments(1)
        viewer = Viewer(channel)
        channel.wait_for_segments(2, rendition(channel))
        first.kill()
        changed = Picture(width=960, height=540, rate=25, group=25, b_frames=2)
        sound = ["-c:a", "libmp3lame", "-ar", "44100", "-ac", "1"]
        second = Encoder(channel.publish_url, changed, sound)
        wait_for("the other picture", lambda: channel.tracks().get("video", {}).get("height") == 540)
        now = "v0-360p25"
        other = Viewer(channel, now)
        try:
            playlist = other.wait_for_more()
            assert playlist.discontinuities <= 1
        finally:
            other.leave()
        (picture,) = probe(channel.url(rendition(channel, now)))
        assert (picture["width"], picture["height"]) == (640, 360)
        # MP3 is heard by nobody's browser in a live stream: AAC of it is.
        sound_of = probe(channel.url(next(line for line in audio_lines(channel) if "aac" in line)))
        assert {(stream["codec_name"], stream["sample_rate"]) for stream in sound_of} == {("aac", "48000")}
    finally:
        if viewer is not None:
            viewer.leave()
        first.kill()
        if second is not None:
            second.kill()


def audio_lines(channel: Channel) -> list[str]:
    """Playlists of sound."""
    return [
        line.partition('URI="')[2].partition('"')[0] if line.startswith("#EXT-X-MEDIA") else line
        for line in channel.get("master.m3u8").text.splitlines()
        if "/a0" in line
    ]


def test_sixty_at_once_on_a_small_budget(tmp_path: Path) -> None:
    rungs = "".join(f"[[transcode.rendition]]\nheight = {height}\n" for height in range(36, 216, 6))
    (tmp_path / "ghostlive.toml").write_text(f"[transcode]\ncores = 0.1\nlinger = 1.0\n{rungs}")
    with running(tmp_path, ENVIRONMENT) as program:
        channels = [Channel.add(program) for _ in range(2)]
        encoders = [
            Encoder(channel.publish_url, Picture(width=384, height=216, rate=15, group=15)) for channel in channels
        ]
        try:
            for channel in channels:
                channel.wait_until("live")
                channel.wait_for_segments(1)
            asked = [
                (channel, line)
                for channel in channels
                for line in channel.get("master.m3u8").text.splitlines()
                if "/v0-" in line
            ]
            assert len(asked) == 60
            with ThreadPoolExecutor(60) as pool:
                answers = list(pool.map(lambda each: each[0].get(each[1], timeout=60), asked))
            assert {answer.status_code for answer in answers} == {200, 503}
            refusals = {answer.text for answer in answers if answer.status_code == 503}
            # The second stream's first rendition took the place of one that had not begun.
            refusals = {text for text in refusals if "is starting" not in text}
            assert refusals
            assert all("is not offered: it needs about" in text and "of 0.1 are free" in text for text in refusals)
            served = [answer for answer in answers if answer.status_code == 200]
            assert len(served) >= 6
            # Nobody asks any more: a while later all of them have ended.
            wait_for("the workers to end", lambda: len(workers(program)) <= 1, 40)
            left = workers(program)
        finally:
            for encoder in encoders:
                encoder.kill()
        program.stop()
        assert not [pid for pid in left if is_alive(pid)]
        assert "Traceback" not in program.log, program.log


def test_workers_end_with_a_server_that_is_killed(tmp_path: Path) -> None:
    with running(tmp_path, ENVIRONMENT) as program, watched(program):
        left = workers(program)
        assert left
        program.stop(signal.SIGKILL)
        wait_for("its workers to end", lambda: not any(map(is_alive, left)))
