"""The threads that send: order, slices of long bursts, what is held, and the end. The kernel is a recorder, mostly."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Sequence

import pytest
from structlog.testing import capture_logs
from tests.support.webrtc.waiting import until

from ghostlive.protocols.webrtc.fanout.sender import SLICE, Sender
from ghostlive.protocols.webrtc.fanout.twin import PythonKernel
from ghostlive.protocols.webrtc.fanout.types import Address, Binding, Burst, KernelStats, Packet, SendResult
from ghostlive.protocols.webrtc.srtp import Profile, SrtpKeys

KEYS = SrtpKeys(Profile.AEAD_AES_128_GCM, bytes(16), bytes(12))
BINDING = Binding(1, 96, 0, 0)
MANY = 60
"""Viewers that are too many to send to on the caller's thread."""


class Recorder:
    """A kernel that notes what it is told, and on which thread."""

    native = False

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.patience_us = 0
        self.calls: list[tuple[object, ...]] = []
        self.threads: list[int] = []
        self.begun = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.broken = False

    def note(self, *call: object) -> None:
        if call[0] in ("send", "hold", "release"):
            self.begun.set()
            assert self.go.wait(60)
        if self.broken:
            self.broken = False
            raise RuntimeError("broken")
        self.calls.append(call)
        self.threads.append(threading.get_ident())

    def of(self, *names: str) -> list[tuple[object, ...]]:
        return [call for call in self.calls if call[0] in names]

    def open(self, viewer: int, keys: SrtpKeys, address: Address | None) -> None:
        self.note("open", viewer)

    def move(self, viewer: int, address: Address | None) -> None:
        self.note("move", viewer, address)

    def close(self, viewer: int) -> None:
        self.note("close", viewer)

    def bind(self, viewer: int, lane: int, binding: Binding) -> None:
        self.note("bind", viewer, lane)

    def unbind(self, viewer: int, lane: int) -> None:
        self.note("unbind", viewer, lane)

    def viewers(self, lane: int) -> int:
        raise AssertionError("the sender knows by itself")

    def send(self, lane: int, burst: Burst, now_us: int) -> SendResult:
        self.note("send", lane, burst.index, len(burst.payloads), burst.marker)
        return SendResult()

    def hold(self, lane: int, burst: Burst, now_us: int) -> SendResult:
        self.note("hold", lane, burst.index)
        return SendResult()

    def release(self, lane: int, now_us: int) -> SendResult:
        self.note("release", lane)
        return SendResult()

    def send_to(self, viewer: int, packets: Sequence[Packet], now_us: int) -> SendResult:
        self.note("send_to", viewer, len(packets))
        return SendResult()

    def protect(self, viewer: int, packets: Sequence[Packet], now_us: int) -> list[bytes]:
        self.note("protect", viewer)
        return [packet.payload for packet in packets]

    def sent(self, viewer: int, first: int, count: int) -> list[tuple[int, int, int]]:
        return [(first, viewer, count)]

    def stats(self) -> KernelStats:
        return KernelStats(packets=len(self.of("send")))

    def shut(self) -> None:
        self.note("shut")


class Stage:
    """A sender, its kernels and its clock."""

    def __init__(self, threads: int) -> None:
        self.now_us = 1_000_000
        self.kernels: list[Recorder] = []
        self.sender = Sender(5, threads, make_kernel=self._make, clock_us=lambda: self.now_us)

    @property
    def kernel(self) -> Recorder:
        return self.kernels[0]

    def _make(self, fd: int) -> Recorder:
        self.kernels.append(Recorder(fd))
        return self.kernels[-1]

    def crowd(self, lane: int, first: int = 0) -> None:
        """Many viewers of a lane."""
        for viewer in range(first, first + MANY):
            self.sender.open(viewer, KEYS, None)
            self.sender.bind(viewer, lane, BINDING)

    async def busy(self) -> None:
        """Have the first thread stop in the middle of a burst."""
        self.kernel.go.clear()
        self.kernel.begun.clear()
        self.crowd(99, first=900)
        self.sender.send(99, 0, 0, [b""])
        await until(self.kernel.begun.is_set)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """One thread."""
    here = Stage(1)
    yield here
    await finish(here)


async def finish(stage: Stage) -> None:
    for kernel in stage.kernels:
        kernel.go.set()
    await stage.sender.stop()


async def test_a_burst_for_few_goes_out_on_the_callers_thread(stage: Stage) -> None:
    stage.sender.open(1, KEYS, None)
    stage.sender.bind(1, 7, BINDING)
    stage.sender.send(7, 10, 3000, [b"a", b"b"], hold=0.01)
    assert stage.kernel.calls == [("open", 1), ("bind", 1, 7), ("send", 7, 10, 2, True)]
    assert set(stage.kernel.threads) == {threading.get_ident()}
    assert stage.kernel.fd == 5


async def test_a_burst_for_many_goes_out_on_another_thread(stage: Stage) -> None:
    stage.crowd(7)
    stage.sender.send(7, 10, 3000, [b"a", b"b"], marker=False)
    await stage.sender.drain()
    assert stage.kernel.calls[-1] == ("send", 7, 10, 2, False)
    assert stage.kernel.threads[-1] != threading.get_ident()


async def test_what_comes_while_the_thread_works_keeps_its_order(stage: Stage) -> None:
    await stage.busy()
    before = len(stage.kernel.calls)
    stage.sender.open(1, KEYS, None)
    stage.sender.bind(1, 7, BINDING)
    stage.sender.send(7, 1, 0, [b""])
    stage.sender.move(1, None)
    stage.sender.send_to(1, [Packet(1, 2, 3, 4, marker=True, payload=b"")])
    stage.sender.unbind(1, 7)
    stage.sender.bind(1, 8, BINDING)
    stage.sender.send(8, 1, 0, [b""])
    stage.sender.close(1)
    assert stage.sender.stats().waiting >= 9
    assert len(stage.kernel.calls) == before
    stage.kernel.go.set()
    await stage.sender.drain()
    names = [call[0] for call in stage.kernel.calls[before + 1 :]]
    assert names == ["open", "bind", "send", "move", "send_to", "unbind", "bind", "send", "close"]
    assert stage.sender.stats().waiting == 0


async def test_a_long_burst_goes_out_in_slices_and_lets_others_pass(stage: Stage) -> None:
    stage.crowd(1)
    stage.crowd(2, first=500)
    stage.sender.send(1, 100, 0, [b""] * (2 * SLICE + 5))
    await until(lambda: len(stage.kernel.of("send")) == 1)
    # The next burst of the same lane, and who leaves or joins it, wait; another lane does not.
    stage.sender.send(1, 200, 0, [b""])
    stage.sender.unbind(3, 1)
    stage.sender.send(2, 7, 0, [b""])
    await until(lambda: len(stage.kernel.of("send")) == 2)
    assert not stage.kernel.of("unbind")
    stage.now_us += 3_000
    await until(lambda: len(stage.kernel.of("send")) == 3)
    stage.sender.send(2, 8, 0, [b""])
    await until(lambda: len(stage.kernel.of("send")) == 4)
    stage.now_us += 3_000
    await stage.sender.drain()
    assert stage.kernel.of("send", "unbind") == [
        ("send", 1, 100, SLICE, False),
        ("send", 2, 7, 1, True),
        ("send", 1, 100 + SLICE, SLICE, False),
        ("send", 2, 8, 1, True),
        ("send", 1, 100 + 2 * SLICE, 5, True),
        ("send", 1, 200, 1, True),
        ("unbind", 3, 1),
    ]


async def test_two_long_bursts_of_a_lane_follow_each_other(stage: Stage) -> None:
    stage.crowd(1)
    for index in (0, 1000):
        stage.sender.send(1, index, 0, [b""] * (SLICE + 1))
    stage.sender.send(1, 2000, 0, [b""])
    for count in (1, 3, 5):
        await until(lambda count=count: len(stage.kernel.of("send")) >= min(count, 5))  # type: ignore[misc]
        stage.now_us += 3_000
    await stage.sender.drain()
    assert [call[2] for call in stage.kernel.of("send")] == [0, SLICE, 1000, 1000 + SLICE, 2000]


async def test_what_waited_too_long_is_dropped(stage: Stage) -> None:
    stage.crowd(1)
    await stage.busy()
    stage.sender.send(1, 1, 0, [b""])
    stage.now_us += 600_000
    stage.sender.send(1, 2, 0, [b""])
    stage.kernel.go.set()
    await stage.sender.drain()
    assert [call[2] for call in stage.kernel.of("send") if call[1] == 1] == [2]
    assert stage.sender.stats().late == 1


async def test_sound_for_many_is_held_until_its_time(stage: Stage) -> None:
    stage.crowd(1)
    stage.sender.send(1, 1, 0, [b""], hold=0.005)
    await until(lambda: len(stage.kernel.of("hold")) == 1)
    stage.now_us += 3_000
    stage.sender.send(1, 2, 0, [b""], hold=0.005)
    await until(lambda: len(stage.kernel.of("hold")) == 2)
    assert not stage.kernel.of("release")
    stage.now_us += 2_000
    await stage.sender.drain()
    assert stage.kernel.of("hold", "release") == [("hold", 1, 1), ("hold", 1, 2), ("release", 1)]


async def test_a_burst_of_the_lane_itself_needs_no_release(stage: Stage) -> None:
    """The kernel sends first what it holds."""
    stage.crowd(1)
    stage.sender.send(1, 1, 0, [b""], hold=0.005)
    stage.sender.send(1, 2, 0, [b""])
    await stage.sender.drain()
    stage.now_us += 10_000
    assert stage.kernel.of("hold", "send", "release") == [("hold", 1, 1), ("send", 1, 2, 1, True)]


async def test_nobody_else_uses_the_kernel_while_it_releases_what_was_held(stage: Stage) -> None:
    stage.crowd(1)
    stage.sender.send(1, 1, 0, [b""], hold=0.005)
    await until(lambda: len(stage.kernel.of("hold")) == 1)
    stage.kernel.begun.clear()
    stage.kernel.go.clear()
    stage.now_us += 5_000
    await until(stage.kernel.begun.is_set)
    stage.sender.open(2000, KEYS, None)
    assert ("open", 2000) not in stage.kernel.calls
    stage.kernel.go.set()
    await stage.sender.drain()
    assert stage.kernel.calls[-2:] == [("release", 1), ("open", 2000)]


async def test_nobody_else_uses_the_kernel_while_it_goes_on_with_a_long_burst(stage: Stage) -> None:
    stage.sender.open(1, KEYS, None)
    stage.sender.bind(1, 7, BINDING)
    stage.sender.send(7, 1, 0, [b""] * (SLICE + 1))
    await until(lambda: len(stage.kernel.of("send")) == 1)
    stage.kernel.begun.clear()
    stage.kernel.go.clear()
    stage.now_us += 3_000
    await until(stage.kernel.begun.is_set)
    stage.sender.open(2, KEYS, None)
    assert ("open", 2) not in stage.kernel.calls
    stage.kernel.go.set()
    await stage.sender.drain()
    assert stage.kernel.calls[-2:] == [("send", 7, 1 + SLICE, 1, True), ("open", 2)]


async def test_viewers_are_spread_over_threads() -> None:
    stage = Stage(3)
    stage.crowd(1)
    for viewer in (0, 3, 6):
        stage.sender.bind(viewer, 2, BINDING)
    assert (stage.sender.viewers(1), stage.sender.viewers(2), stage.sender.viewers(3)) == (MANY, 3, 0)
    stage.sender.send(1, 1, 0, [b""] * 20)
    stage.sender.send(2, 1, 0, [b""])
    stage.sender.send(3, 1, 0, [b""])
    await stage.sender.drain()
    assert [len(kernel.of("open")) for kernel in stage.kernels] == [20, 20, 20, 0]
    assert [len(kernel.of("send")) for kernel in stage.kernels] == [2, 1, 1, 0]
    assert {kernel.fd for kernel in stage.kernels[:3]} == {5}
    assert stage.kernels[3].fd == -1
    assert stage.sender.stats().kernel.packets == 4
    assert stage.sender.threads == 3
    await finish(stage)
    assert [kernel.calls[-1] for kernel in stage.kernels] == [("shut",)] * 4


async def test_who_has_left_is_ignored(stage: Stage) -> None:
    sender = stage.sender
    sender.open(1, KEYS, None)
    sender.bind(1, 7, BINDING)
    sender.bind(1, 8, BINDING)
    sender.close(1)
    count = len(stage.kernel.calls)
    sender.close(1)
    sender.bind(1, 7, BINDING)
    sender.unbind(1, 7)
    sender.move(1, None)
    sender.send_to(1, [])
    sender.send(7, 1, 0, [b""])
    assert sender.protect(1, []) == []
    assert sender.sent(1, 0, 1) == []
    assert (sender.viewers(7), sender.viewers(8)) == (0, 0)
    assert len(stage.kernel.calls) == count


async def test_packets_by_tcp_are_protected_at_once(stage: Stage) -> None:
    """Even while the viewer's thread works."""
    await stage.busy()
    stage.sender.open(1, KEYS, None)
    packet = Packet(1, 2, 3, 4, marker=True, payload=b"p")
    assert stage.sender.protect(1, [packet]) == [b"p"]
    assert stage.sender.protect(1, [packet]) == [b"p"]
    assert stage.sender.sent(1, 5, 6) == [(5, 1, 6)]
    stage.sender.close(1)
    assert stage.kernels[1].calls == [("open", 1), ("protect", 1), ("protect", 1), ("close", 1)]


async def test_a_kernel_that_fails_stops_nothing(stage: Stage) -> None:
    stage.crowd(1)
    stage.kernel.broken = True
    with capture_logs() as logs:
        stage.sender.send(1, 1, 0, [b""])
        stage.sender.send(1, 2, 0, [b""])
        await stage.sender.drain()
    assert [entry["event"] for entry in logs] == ["sending failed"]
    assert [call[2] for call in stage.kernel.of("send")] == [2]


async def test_an_end_in_the_middle_of_a_burst() -> None:
    stage = Stage(1)
    stage.crowd(1)
    stage.sender.send(1, 1, 0, [b""] * 200)
    stage.sender.send(1, 2, 0, [b""], hold=1)
    await finish(stage)
    assert stage.kernel.calls[-1] == ("shut",)


async def test_payloads_that_are_too_long(stage: Stage) -> None:
    with pytest.raises(ValueError, match="too long"):
        stage.sender.send(1, 1, 0, [bytes(5000)])


@pytest.mark.parametrize("count", [3, MANY])
async def test_the_real_thing(count: int) -> None:
    """Each viewer gets each packet of its shard's kernel, for few viewers and for many."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        server.setblocking(False)
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        server.bind(("127.0.0.1", 0))
        client.bind(("127.0.0.1", 0))
        client.connect(server.getsockname())
        sender = Sender(server.fileno(), 2)
        for viewer in range(count):
            sender.open(viewer, KEYS, (socket.AF_INET, *client.getsockname()))
            sender.bind(viewer, 1, Binding(viewer, 96, 0, 0))
            sender.bind(viewer, 2, Binding(1000 + viewer, 97, 0, 0))
        sender.send(2, 0, 0, [b"sound"], hold=0.01)
        sender.send(1, 0, 0, [b"video"] * 12)
        await sender.drain()
        assert sender.stats().kernel.packets == 13 * count
        loop = asyncio.get_running_loop()
        got = [await loop.sock_recv(client, 2048) for _ in range(13 * count)]
        for viewer in range(count):
            own = [data for data in got if data[8:12] == viewer.to_bytes(4)]
            assert [data[2:4] for data in own] == [i.to_bytes(2) for i in range(12)]
        await sender.stop()


async def test_the_python_kernel_will_do() -> None:
    sender = Sender(-1, 1, make_kernel=PythonKernel)
    assert not sender.native
    sender.open(1, KEYS, None)
    assert len(sender.protect(1, [Packet(1, 2, 3, 4, marker=True, payload=b"p")])) == 1
    await sender.stop()
