"""Viewers with the real sender and its kernels: what leaves the socket is what the viewer decrypts and sees."""

import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pylibsrtp
import pytest
import pytest_asyncio
from tests.support.clock import FakeClock
from tests.support.packaged import settle, video
from tests.support.webrtc.watching import VIDEO_SSRC, Watcher, Wire, h264, negotiation, opus

from ghostlive.core.frame import Frame
from ghostlive.formats.rtcp.packets import Nack
from ghostlive.formats.rtcp.transport_feedback import make_feedback
from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import Source
from ghostlive.protocols.webrtc.egress.service import Egress
from ghostlive.protocols.webrtc.fanout import choose
from ghostlive.protocols.webrtc.fanout.sender import Sender
from ghostlive.protocols.webrtc.fanout.twin import PythonKernel
from ghostlive.protocols.webrtc.fanout.types import Kernel
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.srtp import Profile, SrtpKeys

KERNELS: list[Callable[[int], Kernel]] = [PythonKernel]
if choose.make_native is not None:
    KERNELS.append(choose.make_native)


class Receiver(Watcher):
    """A viewer with a socket of its own."""

    def __init__(self, clock: FakeClock, profile: Profile, server: socket.socket) -> None:
        super().__init__(clock)
        self.transport: list[tuple[int, int]] = []
        """Transport-wide sequence numbers, and when they came on the viewer's clock."""
        self.now_us = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(("127.0.0.1", 0))
        # What others still send to whoever had this port before is not for us.
        self.socket.connect(server.getsockname())
        self.socket.setblocking(False)
        self.local = SrtpKeys(profile, os.urandom(16), os.urandom(profile.salt_length))
        kind = (
            pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM
            if profile is Profile.AEAD_AES_128_GCM
            else pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80
        )
        policy = pylibsrtp.Policy(
            key=self.local.key + self.local.salt, ssrc_type=pylibsrtp.Policy.SSRC_ANY_INBOUND, srtp_profile=kind
        )
        policy.window_size = 4096
        self._session = pylibsrtp.Session(policy)
        self.path = Path("udp", self.socket.getsockname())

    @property
    def address(self) -> tuple[int, str, int] | None:
        host, port = self.socket.getsockname()
        return socket.AF_INET, host, port

    def receive(self) -> None:
        """Take what has come, and ask for what is missing: a machine that is busy loses packets."""
        while True:
            try:
                data = self.socket.recv(4096)
            except BlockingIOError:
                break
            packet = RtpPacket.parse(self._session.unprotect(data))
            if (value := packet.extension(5)) is not None:
                number = int.from_bytes(value, "big")
                self.transport.append((number, self.now_us + 77_000_000))
            sequence = packet.sequence_number
            if packet.ssrc == VIDEO_SSRC and self._highest >= 0:
                sequence = self._highest + ((sequence - self._highest + 0x8000) & 0xFFFF) - 0x8000
            payload = packet.payload
            self.take(
                Wire(packet.ssrc, packet.payload_type, sequence, packet.timestamp, packet.marker, payload, self.now())
            )
        self.ask()


@pytest.fixture
def server_socket() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        server.bind(("127.0.0.1", 0))
        yield server


class House:
    """A broadcast with a real sender, whose threads and pauses are real, too."""

    def __init__(self, kernel: Callable[[int], Any], server: socket.socket, *, frozen: bool = False) -> None:
        """With `frozen`, time stands still for the sender too, which cannot pause then."""
        self.server = server
        self.clock = FakeClock()
        self.hub = Hub(clock=self.clock)
        self.key_size = 60_000
        times = (lambda: round(self.clock.now() * 1e6)) if frozen else (lambda: time.monotonic_ns() // 1000)
        self.sender = Sender(server.fileno(), 2, make_kernel=kernel, clock_us=times)
        self.egress = Egress(self.hub, self.sender, clock=self.clock)
        self.publication = self.hub.publish("cam", Source("test", "192.0.2.1"), lambda reason: None)
        self.publication.announce([video(), opus()])
        self.number = 0
        self.receivers: list[Receiver] = []

    def watch(self, profile: Profile, **terms: Any) -> Receiver:
        receiver = Receiver(self.clock, profile, self.server)
        self.receivers.append(receiver)
        receiver.viewer = self.egress.open("cam", negotiation(**terms), on_event=receiver.events.append)
        receiver.viewer.secured(receiver)
        return receiver

    async def send(self, count: int) -> None:
        for number in range(self.number, self.number + count):
            key = number % 60 == 0
            self.publication.write(
                h264("v0", number * 3000, keyframe=key, size=self.key_size if key else 5000, number=number)
            )
            self.publication.write(Frame("a0", number * 1600, number * 1600, True, b"\xfc\xff\xfe"))
            await settle(3)
            self.clock.advance(1 / 30)
        self.number += count
        await self.sender.drain()

    async def until(self, shown: int) -> None:
        """Send until every viewer has seen so many pictures, without a gap from its first one on."""
        for _ in range(300):
            for receiver in self.receivers:
                receiver.receive()
            if all(len(receiver.shown) >= shown for receiver in self.receivers):
                break
            await self.send(1)
        for receiver in self.receivers:
            first = receiver.numbers[0]
            assert first % 60 == 0
            assert receiver.numbers == list(range(first, first + len(receiver.numbers)))

    async def close(self) -> None:
        await self.egress.stop()
        await self.sender.stop()
        self.hub.close()
        for receiver in self.receivers:
            receiver.socket.close()


@pytest_asyncio.fixture(params=KERNELS)
async def house(request: pytest.FixtureRequest, server_socket: socket.socket) -> AsyncIterator[House]:
    found = House(request.param, server_socket)
    try:
        yield found
    finally:
        await found.close()


@pytest.mark.parametrize("profile", list(Profile))
async def test_what_the_viewer_decrypts_is_what_the_encoder_sent(house: House, profile: Profile) -> None:
    await house.send(20)
    for _ in range(4):
        house.watch(profile)
    await house.until(70)
    for receiver in house.receivers:
        assert receiver.transport == []  # the viewer tells its own estimate
    # One of them asks for something again.
    asking = house.receivers[0]
    resent = asking.resent
    lost = [asking.video.pop(number) for number in list(asking.video)[-8:-6]]
    asking.say(Nack(1, VIDEO_SSRC, tuple(wire.sequence & 0xFFFF for wire in lost)))
    await house.until(len(asking.shown) + 2)
    assert asking.resent >= resent + 2
    assert [asking.video[wire.sequence].payload for wire in lost] == [wire.payload for wire in lost]


@pytest.mark.parametrize("kernel", KERNELS)
async def test_arrivals_of_packets_become_an_estimate(
    kernel: Callable[[int], Any], server_socket: socket.socket
) -> None:
    house = House(kernel, server_socket, frozen=True)
    house.key_size = 20_000
    try:
        receiver = house.watch(Profile.AEAD_AES_128_GCM, remb=False)
        viewer = receiver.viewer
        assert viewer is not None
        count = 0
        for turn in range(60):
            receiver.now_us = round(house.clock.now() * 1e6)
            await house.send(1)
            receiver.receive()
            if turn % 3 == 2:
                for feedback in make_feedback(1, VIDEO_SSRC, count, receiver.transport):
                    receiver.say(feedback)
                    count += 1
                receiver.transport.clear()
        estimate = viewer.stats().estimate
        assert estimate is not None
        # A frame of 5000 bytes thirty times a second, of which no more is known than that it comes.
        assert 1_200_000 < estimate < 2_500_000
    finally:
        await house.close()


async def test_sound_waits_for_the_picture_when_many_watch(house: House) -> None:
    for _ in range(60):
        house.watch(Profile.AEAD_AES_128_GCM)
    await house.until(40)
    for receiver in house.receivers:
        assert len(receiver.sound) >= 35
