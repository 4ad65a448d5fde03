"""The fan-out kernel alone: what sending one stream to many viewers costs, native and in Python.

Viewers of a 2.5 Mb/s picture (frames of nine packets, 30 a second, AES-GCM, abs-send-time) with sound (50 packets a
second), each with a socket on the loopback device which another core empties. The peer is the least that Python can
do: one `sendto` for each packet, without encryption.
"""

import contextlib
import ctypes
import os
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.harness import LOAD_CORE, SERVER_CORE, Report, Row, alternate, arguments, median, pinned, ratio
from ghostlive.protocols.webrtc.fanout import choose
from ghostlive.protocols.webrtc.fanout.twin import PythonKernel
from ghostlive.protocols.webrtc.fanout.types import Binding, Burst, Kernel
from ghostlive.protocols.webrtc.srtp import Profile, SrtpKeys

VIEWERS = 1200
VIDEO, AUDIO = 1, 2
PICTURE = [1150] * 8 + [1110]
FRAMES = 30
"""In a second."""


@dataclass(frozen=True)
class Sound:
    """Packets of so many bytes, so often in a second; `hold`: they wait for the picture."""

    size: int = 160
    rate: int = 50
    hold: bool = False


@dataclass(frozen=True)
class Cost:
    """What a run cost the sending thread."""

    cpu: float
    packets: int
    bytes: int
    seconds: float
    """How much of the stream was sent."""
    viewers: int

    @property
    def per_gigabit(self) -> float:
        """CPU seconds."""
        return self.cpu / (self.bytes * 8 / 1e9)

    @property
    def rate(self) -> float:
        """Packets per CPU second."""
        return self.packets / self.cpu

    @property
    def per_core(self) -> float:
        """Viewers that one core could send to."""
        return self.viewers * self.seconds / self.cpu


def schedule(seconds: float, sound: Sound | None) -> Iterator[tuple[float, int, Burst]]:
    """(time, lane, burst) of a stream."""
    events = [(n / FRAMES, VIDEO, n) for n in range(int(seconds * FRAMES))]
    if sound is not None:
        events += [(n / sound.rate, AUDIO, n) for n in range(int(seconds * sound.rate))]
    content = random.Random(1)
    picture = [content.randbytes(size) for size in PICTURE]
    heard = [content.randbytes(sound.size if sound else 0)]
    for at, lane, n in sorted(events):
        if lane == VIDEO:
            yield at, lane, Burst(n * len(picture), n * 3000, picture)
        else:
            yield at, lane, Burst(n, int(at * 48000), heard)


def kernel_cost(
    make: Callable[[int], Kernel],
    ports: Sequence[int],
    seconds: float,
    sound: Sound | None,
    profile: Profile = Profile.AEAD_AES_128_GCM,
) -> Cost:
    """Send `seconds` of the stream to all ports as fast as it goes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        kernel = make(sender.fileno())
        for viewer, port in enumerate(ports):
            keys = SrtpKeys(profile, random.randbytes(16), random.randbytes(profile.salt_length))
            kernel.open(viewer, keys, (socket.AF_INET, "127.0.0.1", port))
            kernel.bind(viewer, VIDEO, Binding(2 * viewer + 1, 96, viewer, viewer, abs_send_time_id=2))
            kernel.bind(viewer, AUDIO, Binding(2 * viewer + 2, 111, viewer, viewer, abs_send_time_id=2))
        packets = size = 0
        begun = time.thread_time()
        for at, lane, burst in schedule(seconds, sound):
            send = kernel.hold if sound is not None and sound.hold and lane == AUDIO else kernel.send
            result = send(lane, burst, int(at * 1e6))
            packets += result.packets
            size += result.bytes
        cost = Cost(time.thread_time() - begun, packets, size, seconds, len(ports))
        kernel.shut()
    return cost


def plain_cost(ports: Sequence[int], seconds: float) -> Cost:
    """The least: one system call for each packet of the picture and the sound, in clear."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        to = [("127.0.0.1", port) for port in ports]
        packets = size = 0
        begun = time.thread_time()
        for _, _, burst in schedule(seconds, Sound()):
            padded = [payload + bytes(36) for payload in burst.payloads]
            for address in to:
                for payload in padded:
                    sender.sendto(payload, address)
                    packets += 1
                    size += len(payload)
        return Cost(time.thread_time() - begun, packets, size, seconds, len(ports))


@contextmanager
def receiving(count: int) -> Iterator[list[int]]:
    """Ports that a process on the load core empties."""
    with pinned(LOAD_CORE):
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.fanout_kernel", "--receive", str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield [int(port) for port in process.stdout.readline().split()]
        process.stdin.close()


def receive(count: int) -> None:
    """Empty sockets until nobody listens."""
    poller = select.epoll()
    opened = []
    for _ in range(count):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        one.bind(("127.0.0.1", 0))
        poller.register(one.fileno(), select.EPOLLIN)
        opened.append(one)
    print(*(one.getsockname()[1] for one in opened), flush=True)
    poller.register(0, select.EPOLLIN | select.EPOLLHUP)

    class Vector(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    class Header(ctypes.Structure):
        _fields_ = (
            ("name", ctypes.c_void_p), ("name_length", ctypes.c_uint), ("vectors", ctypes.c_void_p),
            ("vector_count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
            ("flags", ctypes.c_size_t), ("length", ctypes.c_size_t),
        )  # fmt: skip

    batch = 64
    room = ctypes.create_string_buffer(2048)
    vector = Vector(ctypes.addressof(room), 2048)
    headers = (Header * batch)()
    for header in headers:
        header.vectors, header.vector_count = ctypes.addressof(vector), 1
    recvmmsg = ctypes.CDLL(None).recvmmsg
    while True:
        for fd, _ in poller.poll():
            if fd == 0:
                return
            recvmmsg(fd, headers, batch, socket.MSG_DONTWAIT, None)


def main() -> None:
    """Measure, and print the table."""
    if sys.argv[1:2] == ["--receive"]:
        with contextlib.suppress(KeyboardInterrupt):
            receive(int(sys.argv[2]))
        return
    options = arguments(__doc__, seconds=10, runs=3)
    if choose.make_native is None:
        raise SystemExit(f"there is nothing to measure: {choose.reason}")
    native, few = choose.make_native, max(0.1, options.seconds / 20)
    os.sched_setaffinity(0, {SERVER_CORE})
    with receiving(VIEWERS) as ports:
        costs = alternate(
            options.runs,
            lambda: kernel_cost(native, ports, options.seconds, None),
            lambda: kernel_cost(native, ports, options.seconds, Sound()),
            lambda: kernel_cost(native, ports, options.seconds, Sound(hold=True)),
            lambda: kernel_cost(native, ports, options.seconds, Sound(322, 25, hold=True)),
            lambda: kernel_cost(native, ports, options.seconds, Sound(), Profile.AES128_CM_SHA1_80),
            lambda: kernel_cost(PythonKernel, ports, few, Sound()),
            lambda: plain_cost(ports, few),
        )
    names = (
        "video",
        "video and sound",
        "sound held for the picture",
        "two of sound in one, held",
        "video and sound, AES-CM",
        "the kernel in Python",
    )
    aims = (0.20, None, None, None, None, None)
    plain = median([cost.per_gigabit for cost in costs[-1]])
    plain_rate = median([cost.rate for cost in costs[-1]])
    report = Report(f"Fan-out kernel, {VIEWERS} viewers of 2.5 Mb/s: CPU seconds per gigabit", "one sendto each")
    for name, aim, runs in zip(names, aims, costs, strict=False):
        ours = median([cost.per_gigabit for cost in runs])
        rate, core = median([cost.rate for cost in runs]), median([cost.per_core for cost in runs])
        met = None if aim is None else ours <= aim
        wish = "" if aim is None else f"≤ {aim:.2f}"
        report.add(Row(name, f"{ours:.3f}", f"{plain:.3f}", ratio(ours, plain), wish, met))
        report.add(Row("  packets/s, viewers of a core", f"{rate:,.0f}, {core:,.0f}", f"{plain_rate:,.0f}"))
    report.show()


if __name__ == "__main__":
    main()
