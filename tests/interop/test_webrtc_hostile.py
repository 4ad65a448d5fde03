"""A running server among people who mean harm, with a viewer beside them who is not to notice.

Rates are what one machine sends that has other work, too; what is measured is relative to the viewer's own stream. How
late pictures are depends on that other work as well: an attack is tried again until it was not in the way.
"""

import asyncio
import random
import secrets
import socket
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, nullcontext, suppress
from pathlib import Path
from typing import Literal

import httpx
import pytest
import pytest_asyncio
from tests.support.channel import Channel
from tests.support.encoder import Picture, publishing
from tests.support.program import Program, running
from tests.support.webrtc.client import Link, TestPeer, connect, offer
from tests.support.webrtc.waiting import until

from ghostlive.formats.rtcp import (
    FullIntraRequest,
    Nack,
    Packet,
    PictureLossIndication,
    Remb,
    write_compound,
)

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]

RATE = 30
CLOCK = 90_000
H264 = 102
ATTACKER = "127.0.0.3"
TIMEOUT = 6
SETTINGS = {
    "GHOSTLIVE_TRANSCODE__RENDITION": "180p30",
    "GHOSTLIVE_WEBRTC__SESSIONS_PER_MINUTE": "0",
    "GHOSTLIVE_WEBRTC__MAX_PEERS_PER_ADDRESS": "0",
    "GHOSTLIVE_WEBRTC__MAX_PEERS": "140",
    "GHOSTLIVE_WEBRTC__MAX_TCP_PER_ADDRESS": "20",
    "GHOSTLIVE_WEBRTC__SESSION_TIMEOUT": str(TIMEOUT),
}
SDP = {"content-type": "application/sdp"}


class Viewer:
    """Counts pictures, and how late each is compared with the least late one."""

    def __init__(self, peer: TestPeer, link: Link) -> None:
        self.peer = peer
        self.link = link
        self.ssrc = 0
        self._packets: dict[int, int] = {}
        self._at: dict[int, float] = {}
        self._first: int | None = None
        self._span = 0.0
        peer.on_rtp = self._rtp

    def _rtp(self, data: bytes) -> None:
        if data[1] & 0x7F == H264:
            number, timestamp, self.ssrc = struct.unpack_from("!HII", data, 2)
            if self._first is None:
                self._first = timestamp
            since = (timestamp - self._first) % 2**32
            self._packets[number] = since
            self._at[since] = time.monotonic()
            self._span = max(self._span, since / CLOCK)

    async def watch(self, seconds: float) -> None:
        """Watch that much of the stream from now on; fails when a picture is missing or has a packet less."""
        self._first = None
        self._span = 0.0
        self._packets.clear()
        self._at.clear()
        await self.link.wait(lambda: self._span >= seconds or bool(self.peer.closed), within=60)
        assert not self.peer.closed, self.peer.closed
        assert self._span < seconds + 5, "timestamps went back"
        assert len(self._at) >= self._span * RATE
        numbers = sorted(self._packets)
        if numbers[-1] - numbers[0] < 0x8000:
            assert len(numbers) == numbers[-1] - numbers[0] + 1, "packets are missing"

    @property
    def lateness(self) -> float:
        """Of the most delayed picture, in seconds."""
        delays = [at - since / CLOCK for since, at in self._at.items()]
        return max(delays) - min(delays)

    async def undisturbed(self, attack: Callable[[], AbstractAsyncContextManager[None]], seconds: float) -> None:
        """Watch during an attack from its beginning on, in which no picture may be missing, and none be late.

        A machine that is busy makes pictures late, too, but not each time.
        """
        found: list[float] = []
        end = time.monotonic() + 60
        while not found or found[-1] >= 1.0:
            assert time.monotonic() < end, f"pictures were late by {found} s"
            async with attack():
                await self.watch(seconds)
            found.append(self.lateness)


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channel]:
    with running(tmp_path_factory.mktemp("hostile"), SETTINGS) as program:
        channel = Channel.add(program)
        with publishing(channel.publish_url, Picture(width=480, height=270, rate=RATE)):
            channel.wait_until("live")
            yield channel


@pytest_asyncio.fixture(loop_scope="session")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


def media(program: Program) -> tuple[str, int]:
    return "127.0.0.1", program.webrtc_port


@asynccontextmanager
async def watching(
    show: Channel, http: httpx.AsyncClient, *, tcp: bool = False, goodbye: bool = True
) -> AsyncIterator[Viewer]:
    # As often as browsers say something: they report each second or more often.
    peer = TestPeer(now=asyncio.get_running_loop().time(), consent_interval=0.5)
    answer = await http.post(show.url("whep"), content=offer(peer, video=("H264",)), headers=SDP)
    assert answer.status_code == 201, answer.text
    peer.take_description(answer.text)
    way: Literal["tcp", "udp"] = "tcp" if tcp else "udp"
    async with connect(peer, media(show.program), transport=way, goodbye=goodbye) as link:
        viewer = Viewer(peer, link)
        await link.wait(lambda: viewer.ssrc != 0)
        yield viewer


@asynccontextmanager
async def repeating(attack: Callable[[], None]) -> AsyncIterator[None]:
    """Do it again and again in the meantime."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            attack()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        await asyncio.to_thread(thread.join)


def binding_request(ufrag: str) -> bytes:
    """Well-formed, with a FINGERPRINT that is right and a MESSAGE-INTEGRITY that is not."""
    name = f"{ufrag}:abcd".encode()
    body = struct.pack("!HH", 6, len(name)) + name + bytes(-len(name) % 4) + struct.pack("!HHI", 0x24, 4, 1)
    body += struct.pack("!HH", 8, 20) + secrets.token_bytes(20)
    begin = struct.pack("!HHI", 1, len(body) + 8, 0x2112A442) + secrets.token_bytes(12) + body
    return begin + struct.pack("!HHI", 0x8028, 4, zlib.crc32(begin) ^ 0x5354554E)


async def test_floods_of_datagrams_are_not_answered_and_nobody_waits(show: Channel, http: httpx.AsyncClient) -> None:
    async with watching(show, http) as viewer:
        garbage = [secrets.token_bytes(size) for size in (1, 20, 60, 1200)]
        rtp, dtls = b"\x80\x60" + secrets.token_bytes(200), b"\x16\xfe\xfd" + secrets.token_bytes(200)
        requests = [binding_request(ufrag) for ufrag in ("nobody", viewer.peer.remote_ufrag)]
        flood = [*garbage, rtp, dtls, *requests]
        back = 0
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as end:
            end.bind((ATTACKER, 0))
            end.connect(media(show.program))
            end.setblocking(False)

            def attack() -> None:
                nonlocal back
                for data in flood * 5:
                    with suppress(OSError):
                        end.send(data)
                with suppress(OSError):
                    back += len(end.recv(2048))
                time.sleep(0.004)  # some ten thousand a second

            await viewer.undisturbed(lambda: repeating(attack), 2)
        assert back == 0


async def test_floods_of_connections_take_no_room_from_others(show: Channel, http: httpx.AsyncClient) -> None:
    said = [secrets.token_bytes(1000), b"\xff\xff", bytes(800), b"", b"\0\x14\0\1\0\0"]
    connections: deque[socket.socket] = deque()

    def attack() -> None:
        for text in said:
            with suppress(OSError):
                connection = socket.create_connection(media(show.program), 1, (ATTACKER, 0))
                connections.append(connection)
                connection.send(text)
        while len(connections) > 500:  # this process may not have as many as it likes
            connections.popleft().close()
        time.sleep(0.02)

    try:
        async with repeating(attack):
            await until(lambda: len(connections) > 50, within=60)
            async with watching(show, http, tcp=True) as viewer:
                await viewer.undisturbed(nullcontext, 2)
    finally:
        for connection in connections:
            connection.close()


async def test_descriptions_that_are_too_much(show: Channel, http: httpx.AsyncClient) -> None:
    good = offer(TestPeer(now=0.0))

    @asynccontextmanager
    async def attack() -> AsyncIterator[None]:
        asking = asyncio.create_task(ask())
        yield
        await asking

    async def ask() -> None:
        for body, status in (
            (good + "a=x:y\r\n" * 150_000, 413),
            (good + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 1000, 406),
            (good + "a=rtpmap:100 VP8/90000\r\n" * 3800, 201),
            (good + f"a=fmtp:102 {'a=b;' * 25_000}\r\n", 201),
        ):
            for _ in range(5):
                # The server does not read a body that is too large: the answer may be lost with the connection.
                with suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
                    answer = await http.post(show.url("whep"), content=body, headers=SDP)
                    assert answer.status_code == status, answer.text

    async with watching(show, http) as viewer:
        await viewer.undisturbed(attack, 2)


async def test_sessions_that_are_opened_and_abandoned_leave_nothing(show: Channel, http: httpx.AsyncClient) -> None:
    rounds, each = 3, 100

    async def abandon() -> None:
        body = offer(TestPeer(now=0.0))
        while (answer := await http.post(show.url("whep"), content=body, headers=SDP)).status_code != 201:
            # Another round fits only where the last one has gone.
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.2)

    async with watching(show, http) as viewer:
        taken = []
        for _ in range(rounds):
            watched = asyncio.create_task(viewer.watch(2))
            for _ in range(each // 20):
                await asyncio.gather(*(abandon() for _ in range(20)))
            await watched
            taken.append(memory(show.program))
        # Each time as many sessions are there; of the memory, some waits for the collector.
        assert taken[-1] - taken[0] < (rounds - 1) * each * 40


async def test_bad_viewers_are_no_matter_for_a_good_one(show: Channel, http: httpx.AsyncClient) -> None:
    """One is dead, one reads no more by TCP, one is secured and says nonsense, asks for everything and repeats."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        async with watching(show, http, goodbye=False):
            pass
        slow, bad = await enter(watching(show, http, tcp=True)), await enter(watching(show, http))
        good = await enter(watching(show, http))
        slow.link.receive = _read_no_more  # type: ignore[method-assign, assignment]

        @asynccontextmanager
        async def attack() -> AsyncIterator[None]:
            attacking = asyncio.create_task(_attack(bad))
            try:
                yield
            finally:
                attacking.cancel()
                await asyncio.wait([attacking])
            assert attacking.cancelled()

        await good.undisturbed(attack, 3)


def _read_no_more(_data: bytes) -> None:
    raise asyncio.CancelledError


async def _attack(bad: Viewer) -> None:
    peer, link, chance = bad.peer, bad.link, random.Random(1)
    numbers = tuple(range(0, 0x10000, 331))
    wishes: list[list[Packet]] = [
        [Nack(1, bad.ssrc, numbers)],
        [PictureLossIndication(1, bad.ssrc), FullIntraRequest(1, ((bad.ssrc, 1),))],
        [Remb(1, 0, (bad.ssrc,))],
        [Remb(1, 2**60, tuple(range(200)))],
    ]
    recorded: list[bytes] = []
    while True:
        for packets in wishes:
            peer.send_rtcp(write_compound(packets))
        for kind in (200, 201, 205, 206, 207):
            body = chance.randbytes(4 * chance.randrange(1, 60))
            peer.send_rtcp(struct.pack("!BBH", 0x80 | chance.randrange(32), kind, len(body) // 4) + body)
        for data in recorded:
            peer.send_raw(data)
        recorded = peer.outgoing()
        for data in recorded:
            peer.send_raw(data)
        link.flush()
        await asyncio.sleep(0.005)


def memory(program: Program) -> int:
    """Resident kB of the server."""
    assert program.process is not None
    return int(Path(f"/proc/{program.process.pid}/statm").read_text().split()[1]) * 4
