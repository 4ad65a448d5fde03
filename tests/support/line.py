"""The line between viewers and a server: it loses, delays, reorders and blocks real packets of any program.

`tunnel` is a network namespace for the viewers, joined to this machine by an IP line that this module carries packet by
packet between two TUN devices: `tc netem` in user space, as not every kernel has it. `relay` is for machines where no
namespace may be made: viewers connect to a port of it, which stands for the server's media port; pages do not go
through it.

with open_line("tunnel", port, folder) as line, running(data, line.environment) as program:
    line.loss, line.jitter = 0.05, 0.05
"""

import errno
import fcntl
import heapq
import itertools
import os
import random
import selectors
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final, Literal

from tests.support.browser import ENGINE

Kind = Literal["tunnel", "relay"]
Transport = Literal["udp", "tcp"]

# Four addresses of those for measurements (RFC 2544) for each process: other tests may run beside this one.
_NETWORK: Final = int(IPv4Address("198.18.0.0")) + os.getpid() % 0x8000 * 4
SERVER: Final = str(IPv4Address(_NETWORK + 1))
VIEWER: Final = str(IPv4Address(_NETWORK + 2))
FIRST: Final = ("nice", "-n", "-10") if os.geteuid() == 0 else ()
"""A command that has what it runs go before the machine's other work, which is no loss of the network's."""
_RELAYED: Final = "relayed.test"
_SET_INTERFACE: Final = 0x400454CA  # TUNSETIFF
_TUN: Final = 0x1001  # IFF_TUN | IFF_NO_PI
_PROTOCOLS: Final[dict[int, Transport]] = {6: "tcp", 17: "udp"}
_PACKET: Final = 65_536


class Line:
    """What happens to packets; may be changed at any time. Both directions are alike."""

    def __init__(self, kind: Kind, port: int, seed: int) -> None:
        self.kind = kind
        self.port = port
        self.loss = 0.0
        """Share of UDP datagrams that is lost. By the tunnel of TCP segments, too."""
        self.delay = 0.0
        """Seconds that a packet takes."""
        self.jitter = 0.0
        """Seconds around `delay`, evenly, so that packets overtake each other. The relay delays no TCP."""
        self.blocked: frozenset[Transport] = frozenset()
        """What does not get through to the media port, or from it."""
        self.passed = self.lost = self.stopped = 0
        """Packets so far: delivered, lost by chance, blocked."""
        self.host = SERVER if kind == "tunnel" else _RELAYED
        """Where the server's pages are for viewers."""
        self.environment: dict[str, str] = {"GHOSTLIVE_WEBRTC__PORT": str(port)}
        """Settings that the server needs."""
        self.chromium = ENGINE
        """The browser that is at the other end, """
        self.flags: list[str] = []
        """and what it has to be started with."""
        self._random = random.Random(seed)
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._closing, self._close = socket.socketpair()
        self._selector.register(self._closing, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=f"line ({kind})")

    def start(self) -> None:
        """Carry packets from here on."""
        self._thread.start()

    def close(self) -> None:
        """Carry no more."""
        self._close.send(b"x")
        self._thread.join()
        for end in (self._selector, self._closing, self._close):
            end.close()

    def watch(self, end: int | socket.socket, readable: Callable[[], None]) -> None:
        """Call `readable` whenever there is something to read."""
        self._selector.register(end, selectors.EVENT_READ, readable)

    def forget(self, end: socket.socket) -> None:
        """No more of it."""
        with suppress(KeyError, ValueError):
            self._selector.unregister(end)
        end.close()

    def carry(self, deliver: Callable[[], object]) -> None:
        """Have a packet arrive, late or never."""
        if self._random.random() < self.loss:
            self.lost += 1
            return
        self.passed += 1
        late = max(0.0, self.delay + self._random.uniform(-self.jitter, self.jitter))
        heapq.heappush(self._waiting, (time.monotonic() + late, next(self._numbers), deliver))

    def _run(self) -> None:
        if FIRST:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), int(FIRST[-1]))
        while True:
            due = self._waiting[0][0] - time.monotonic() if self._waiting else None
            for key, _ in self._selector.select(due if due is None else max(due, 0.0)):
                if key.data is None:
                    return
                key.data()
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                deliver = heapq.heappop(self._waiting)[2]
                with suppress(OSError):  # whoever it is for is gone
                    deliver()


def namespaces() -> bool:
    """Whether the tunnel can be had here."""
    name = f"ghostlive-try-{os.getpid()}"
    if os.geteuid() or not shutil.which("ip") or not shutil.which("nsenter"):
        return False
    try:
        os.close(_tun(f"gl{os.getpid()}t"))
    except OSError:
        return False
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    return made and subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False).returncode == 0


@contextmanager
def open_line(kind: Kind, port: int, folder: Path, *, seed: int = 1) -> Iterator[Line]:
    """A line to a server whose media port is to be `port`."""
    line = Line(kind, port, seed)
    with ExitStack() as stack:
        if kind == "tunnel":
            _open_tunnel(line, folder, stack)
        else:
            _Relay(line, stack)
        line.start()
        stack.callback(line.close)
        yield line


# -- the tunnel


def _tun(name: str) -> int:
    """A TUN device. Raises `OSError` where there is none to be had."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(device, _SET_INTERFACE, struct.pack("16sH22x", name.encode(), _TUN))
    except OSError:
        os.close(device)
        raise
    return device


def _open_tunnel(line: Line, folder: Path, stack: ExitStack) -> None:
    number = os.getpid()
    namespace, ours, theirs = f"ghostlive-{number}", f"gl{number}s", f"gl{number}v"
    ends = []
    for name in (ours, theirs):
        ends.append(_tun(name))
        stack.callback(os.close, ends[-1])
    _ip("netns", "add", namespace)
    stack.callback(_ip, "netns", "del", namespace)
    _ip("link", "set", theirs, "netns", namespace)
    _ip("addr", "add", SERVER, "peer", VIEWER, "dev", ours)
    _ip("link", "set", ours, "up")
    inside = ("-n", namespace)
    _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "addr", "add", VIEWER, "peer", SERVER, "dev", theirs)
    _ip(*inside, "link", "set", theirs, "up")
    _ip(*inside, "route", "add", "default", "dev", theirs)
    for source, target in (ends, ends[::-1]):
        line.watch(source, partial(_pass_packets, line, source, target))
    line.environment |= {"GHOSTLIVE_HTTP__HOST": "0.0.0.0", "GHOSTLIVE_WEBRTC__PUBLIC_ADDRESSES": SERVER}
    command = folder / "chromium"
    command.write_text(f'#!/bin/sh\nexec {" ".join(FIRST)} nsenter --net=/run/netns/{namespace} {ENGINE} "$@"\n')
    command.chmod(0o755)
    line.chromium = str(command)


def _pass_packets(line: Line, source: int, target: int) -> None:
    while True:
        try:
            packet = os.read(source, _PACKET)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno in (errno.EIO, errno.EBADFD):  # the device is down
                return
            raise
        if packet[0] >> 4 != 4:
            continue
        ports = (packet[0] & 15) * 4
        transport = _PROTOCOLS.get(packet[9])
        if transport in line.blocked and line.port in struct.unpack_from("!HH", packet, ports):
            line.stopped += 1
        else:
            line.carry(partial(os.write, target, packet))


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


# -- the relay


class _Relay:
    """Passes datagrams and connections on to the server, from a port for each who sends."""

    def __init__(self, line: Line, stack: ExitStack) -> None:
        self._line = line
        self._server = ("127.0.0.1", line.port)
        self._clients: dict[tuple[str, int], socket.socket] = {}
        self._sockets: list[socket.socket] = []
        stack.callback(self._close)
        self._udp, self._tcp = _bind_both()
        self._sockets += [self._udp, self._tcp]
        line.watch(self._udp, self._from_viewer)
        line.watch(self._tcp, self._accept)
        # Asked for by an address of loopback, the server would tell of its own port, too.
        line.flags = [f"--host-resolver-rules=MAP {_RELAYED} 127.0.0.1"]
        line.environment["GHOSTLIVE_WEBRTC__PUBLIC_ADDRESSES"] = f"127.0.0.1:{self._tcp.getsockname()[1]}"

    def _close(self) -> None:
        for end in self._sockets:
            end.close()

    def _from_viewer(self) -> None:
        data, address = self._udp.recvfrom(_PACKET)
        if "udp" in self._line.blocked:
            self._line.stopped += 1
            return
        if (end := self._clients.get(address)) is None:
            end = self._clients[address] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            end.connect(self._server)
            self._sockets.append(end)
            self._line.watch(end, lambda: self._from_server(end, address))
        self._line.carry(lambda: end.send(data))

    def _from_server(self, end: socket.socket, address: tuple[str, int]) -> None:
        try:
            data = end.recv(_PACKET)
        except ConnectionError:  # the server is not there
            return
        if "udp" in self._line.blocked:
            self._line.stopped += 1
        else:
            self._line.carry(lambda: self._udp.sendto(data, address))

    def _accept(self) -> None:
        """A connection that is blocked is taken, as it cannot be ignored here, and stays silent."""
        near, _ = self._tcp.accept()
        self._sockets.append(near)
        if "tcp" in self._line.blocked:
            self._line.stopped += 1
            return
        far = socket.create_connection(self._server)
        self._sockets.append(far)
        self._line.watch(near, lambda: self._copy(near, far))
        self._line.watch(far, lambda: self._copy(far, near))

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            if "tcp" in self._line.blocked:
                source.recv(_PACKET)
                self._line.stopped += 1
                return
            if data := source.recv(_PACKET):
                self._line.passed += 1
                target.sendall(data)
                return
        self._line.forget(source)
        self._line.forget(target)


def _bind_both() -> tuple[socket.socket, socket.socket]:
    """One port for UDP and TCP."""
    while True:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
            continue
        return udp, tcp
