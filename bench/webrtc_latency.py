"""WebRTC latency inside the server: from a frame's arrival to its last packet at each viewer.

A 720p30 broadcast of 2.5 Mb/s comes by RTMP or by WHIP; 1, 100 and 500 viewers read it. The clock runs from before the
first byte of a picture is sent to the arrival of its last packet, on one machine, so that both ends' system calls and
the load generator's wake-up are in it. Which picture a packet belongs to is counted back from the last one: the
broadcast ends while the viewers still listen.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from tests.support.webrtc.client import TestPeer, candidates, connect, offer

from bench import clip as clips
from bench.clip import RATE, Clip, make_clip
from bench.harness import (
    LOAD_CORE,
    Report,
    Row,
    arguments,
    ghostlive,
    in_memory,
    loading,
    median,
    need,
    percentile,
    pid_of,
    pinned,
    wait_for,
)
from bench.webrtc_fanout import LIMITS
from bench.webrtc_viewers import Outcome, Plan
from ghostlive.core.track import Codec, Track
from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.formats.rtp.payload import make_packetizer

VIEWERS = (1, 100, 500)
AIM_MS = 5.0
"""p99 with the most viewers."""
VIDEO_CLOCK = 90_000
_TAIL = 2.0
"""Seconds that viewers listen on after the last picture."""

Sent = list[int]
"""Nanoseconds on the monotonic clock at which each picture left."""
Publisher = Callable[[Clip, int, int, str, Sent, threading.Event], None]


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, seconds=10, runs=3)
    need("ffmpeg", "cc")
    report = Report("WebRTC latency: frame in to last packet out, 720p30 of 2.5 Mb/s, server on one core", "")
    with in_memory() as folder:
        clip = make_clip(folder, width=1280, height=720, video=2_500_000)
        for name, publisher in (("RTMP", _rtmp), ("WHIP", _whip)):
            for viewers in VIEWERS:
                found = [_measure(folder, clip, publisher, viewers, options.seconds) for _ in range(options.runs)]
                p50, p99 = (median(percentile(delays, share) for delays in found) for share in (0.5, 0.99))
                aimed = viewers == max(VIEWERS)
                report.add(
                    Row(
                        f"{name} in, {viewers} viewers: p99 (p50)", f"{p99:.1f} ms ({p50:.1f})",
                        aim=f"≤ {AIM_MS:g} ms" if aimed else "", met=p99 <= AIM_MS if aimed else None,
                    )
                )  # fmt: skip
    report.show()


def _measure(folder: Path, clip: Clip, publisher: Publisher, viewers: int, seconds: float) -> list[float]:
    """Milliseconds of each picture at each viewer."""
    with ghostlive(folder / "data", LIMITS) as program:
        name = f"bench-{time.monotonic_ns()}"
        key = program.add_stream(name)
        with _publishing(publisher, clip, program.http_port, program.rtmp_port, f"{name} {key}") as (sent, stop):
            wait_for("the broadcast", lambda: program.stream(name)["state"] == "live")
            plan = Plan("whep", f"{program.url}/app/{name}/whep", viewers, seconds + _TAIL, marks=True)
            with loading("bench.webrtc_viewers", plan) as go:
                timer = threading.Timer(seconds, stop.set)
                timer.start()
                told, _ = go(pid_of(program))
            outcome = Outcome(**told)
    return _delays(outcome, sent)


def _delays(outcome: Outcome, sent: Sent) -> list[float]:
    """Match pictures with packets, from the last of each backwards."""
    last: dict[int, int] = {}
    for viewer, timestamp, _ in outcome.marks:
        last[viewer] = max(last.get(viewer, 0), timestamp)
    found = []
    for viewer, timestamp, at in outcome.marks:
        back = round((last[viewer] - timestamp) * RATE / VIDEO_CLOCK)
        found.append((at - sent[-1 - back]) / 1e6)
    if min(found) < 0:
        raise RuntimeError("a packet came before its picture was sent: the last pictures were lost")
    return found


@contextmanager
def _publishing(
    publisher: Publisher, clip: Clip, http: int, rtmp: int, target: str
) -> Iterator[tuple[Sent, threading.Event]]:
    sent: Sent = []
    stop = threading.Event()
    with pinned(LOAD_CORE):
        thread = threading.Thread(target=publisher, args=(clip, http, rtmp, target, sent, stop), daemon=True)
        thread.start()
    try:
        yield sent, stop
    finally:
        stop.set()
        thread.join(10)


def _rtmp(clip: Clip, _http: int, rtmp: int, target: str, sent: Sent, stop: threading.Event) -> None:
    async def publish() -> None:
        encoder = await clips.connect(
            clip, rtmp, target.split()[1], on_sent=lambda _n, _message: sent.append(time.monotonic_ns())
        )
        running = asyncio.ensure_future(encoder.run())
        while not stop.is_set():  # another thread's event
            await asyncio.sleep(0.005)
        running.cancel()

    asyncio.run(publish())


def _whip(clip: Clip, http: int, _rtmp: int, target: str, sent: Sent, stop: threading.Event) -> None:
    name, key = target.split()
    config = next(message.payload[5:] for message in clip.headers if message.type == 9)
    track = Track("v0", Codec.H264, VIDEO_CLOCK, config, "avc1.4d401f", width=1280, height=720)
    packetizer = make_packetizer(track, 1150)
    pictures = [message.payload for message in clip.messages if message.type == 9]

    async def publish() -> None:
        loop = asyncio.get_running_loop()
        peer = TestPeer(now=loop.time())
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"http://127.0.0.1:{http}/app/{name}/whip",
                content=offer(peer, direction="sendonly", video=("H264",), audio=False),
                headers={"content-type": "application/sdp", "authorization": f"Bearer {key}"},
            )
        answer.raise_for_status()
        peer.take_description(answer.text)
        found = candidates(answer.text)
        address = next((each for each in found if each[0] == "127.0.0.1"), found[0])
        async with connect(peer, address, goodbye=False) as link:
            begin, number, sequence = loop.time(), 0, 0
            while not stop.is_set():
                await asyncio.sleep(max(begin + number / RATE - loop.time(), 0))
                picture = pictures[number % len(pictures)]
                payloads = packetizer.packetize(picture[5:], keyframe=picture[0] >> 4 == 1)
                sent.append(time.monotonic_ns())
                for index, payload in enumerate(payloads):
                    packet = RtpPacket(
                        102, sequence & 0xFFFF, number * VIDEO_CLOCK // RATE, 2222, payload,
                        marker=index == len(payloads) - 1,
                    )  # fmt: skip
                    peer.send_rtp(packet.to_bytes())
                    sequence += 1
                link.flush()
                number += 1

    asyncio.run(publish())


if __name__ == "__main__":
    main()
