"""Many WebRTC viewers in one process, each with ICE, DTLS and a socket of its own: a load generator.

Viewers are joined in Python; what they receive afterwards is counted in C (`webrtc_count.c`), since nothing else keeps
up with a thousand of them on one core. They decrypt nothing. Reads its plan from its arguments, as `harness.loading`
says, and joins one viewer after the other with some at a time.
"""

import asyncio
import ctypes
import json
import re
import resource
import socket
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import uvloop
from tests.support.webrtc.client import TestPeer, candidates, offer

from bench.harness import compiled

AT_ONCE = 40
CONSENT_EVERY = 8.0
RECEIVE_BUFFER = 256 << 10
"""Holds a keyframe's burst. Not more: all sockets together must stay below `net.ipv4.udp_mem`, or the kernel drops."""
_SSRCS = 4


@dataclass(frozen=True)
class Plan:
    """What to do. `kind` is `whep` (then `url` is the address to POST to) or `janus` (the address of its HTTP API)."""

    kind: str
    url: str
    viewers: int
    seconds: float
    marks: bool = False
    """Tell when each viewer had the last packet of each picture."""


@dataclass(frozen=True)
class Outcome:
    """What came."""

    viewers: int
    joining: float
    """Seconds until all had joined."""
    seconds: float
    packets: int
    expected: int
    bytes: int
    silent: int
    """Viewers that got nothing."""
    busy: float
    """Share of its core that the load generator used while counting."""
    marks: list[tuple[int, int, int]]
    """(viewer, RTP timestamp since this viewer's first, nanoseconds on the monotonic clock)."""

    @property
    def loss(self) -> float:
        """Share of the packets that did not come."""
        return 1 - self.packets / self.expected if self.expected else 1.0


class _Stream(ctypes.Structure):
    _fields_ = [
        ("ssrc", ctypes.c_uint32), ("last", ctypes.c_uint16),
        ("packets", ctypes.c_uint64), ("expected", ctypes.c_uint64),
    ]  # fmt: skip


class _Viewer(ctypes.Structure):
    _fields_ = [
        ("fd", ctypes.c_int32), ("streams", ctypes.c_int32), ("packets", ctypes.c_uint64), ("bytes", ctypes.c_uint64),
        ("late", ctypes.c_uint64), ("stream", _Stream * _SSRCS),
    ]  # fmt: skip


class _Mark(ctypes.Structure):
    _fields_ = [
        ("viewer", ctypes.c_uint32), ("ssrc", ctypes.c_uint32),
        ("timestamp", ctypes.c_uint32), ("unused", ctypes.c_uint32),
        ("at", ctypes.c_int64),
    ]  # fmt: skip


def _counter(folder: Path) -> ctypes.CDLL:
    found = compiled("webrtc_count.c", folder)
    found.count.restype = ctypes.c_int64
    found.count.argtypes = [
        ctypes.c_void_p, ctypes.c_int32, ctypes.c_double, ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64,
    ]  # fmt: skip
    return found


class _Joining:
    """One viewer until it is secured."""

    def __init__(self, peer: TestPeer, address: tuple[str, int]) -> None:
        self.peer = peer
        self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        force = getattr(socket, "SO_RCVBUFFORCE", 33)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, force, RECEIVE_BUFFER)
        except PermissionError:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.socket.connect(address)
        self._loop = asyncio.get_running_loop()
        self._done = self._loop.create_future()

    async def run(self) -> None:
        """Until media may come."""
        self._loop.add_reader(self.socket.fileno(), self._read)
        try:
            async with asyncio.timeout(20):
                while not self._done.done():
                    now = self._loop.time()
                    self.peer.tick(now)
                    self._flush()
                    await asyncio.wait([self._done], timeout=max(self.peer.next_timeout() - now, 0.01))
        finally:
            self._loop.remove_reader(self.socket.fileno())
        if self.peer.closed:
            raise ConnectionError(self.peer.closed)

    async def stay(self) -> None:
        """Go on consenting (RFC 7675) while others join."""
        while True:
            await asyncio.sleep(CONSENT_EVERY)
            self.peer.check(self._loop.time())
            self._flush()

    def leave(self) -> None:
        """Say goodbye, or the server goes on sending for half a minute."""
        self.peer.close()
        self._flush()

    def _read(self) -> None:
        # Media may come already; the handshake is what matters here.
        for _ in range(16):
            try:
                data = self.socket.recv(2048)
            except BlockingIOError:
                break
            if not 128 <= data[0] < 192:
                self.peer.receive(data, self._loop.time())
        self._flush()
        if (self.peer.secured or self.peer.closed) and not self._done.done():
            self._done.set_result(None)

    def _flush(self) -> None:
        for data in self.peer.outgoing():
            self.socket.send(data)


async def _whep(client: httpx.AsyncClient, url: str) -> _Joining:
    peer = TestPeer(now=asyncio.get_running_loop().time())
    answer = await client.post(
        url, content=offer(peer, video=("H264",)), headers={"content-type": "application/sdp"}, timeout=30
    )
    if answer.status_code != 201:
        raise ConnectionError(f"{answer.status_code}: {answer.text[:200]}")
    peer.take_description(answer.text)
    found = candidates(answer.text)
    address = next((each for each in found if each[0] == "127.0.0.1"), found[0])
    return await _joined(_Joining(peer, address))


async def _janus(client: httpx.AsyncClient, url: str) -> _Joining:
    async def post(path: str, body: dict[str, object]) -> dict[str, object]:
        answer = await client.post(url + path, json={**body, "transaction": "bench"}, timeout=30)
        found: dict[str, object] = answer.json()
        if found["janus"] == "error":
            raise ConnectionError(str(found))
        return found

    session = (await post("", {"janus": "create"}))["data"]["id"]  # type: ignore[index]
    handle = (await post(f"/{session}", {"janus": "attach", "plugin": "janus.plugin.streaming"}))["data"]["id"]  # type: ignore[index]
    place = f"/{session}/{handle}"
    await post(place, {"janus": "message", "body": {"request": "watch", "id": 1}})
    while True:
        event = (await client.get(f"{url}/{session}", timeout=60)).json()
        if "jsep" in event:
            break
    sdp = event["jsep"]["sdp"]
    peer = TestPeer(now=asyncio.get_running_loop().time())
    peer.take_description(sdp)
    answer = _answer(peer, sdp)
    await post(
        place,
        {"janus": "message", "body": {"request": "start"}, "jsep": {"type": "answer", "sdp": answer}},
    )
    address = next(each for each in candidates(sdp) if ":" not in each[0])
    return await _joined(_Joining(peer, address))


async def _joined(viewer: _Joining) -> _Joining:
    await viewer.run()
    _staying.add(asyncio.ensure_future(viewer.stay()))
    return viewer


_staying: set[asyncio.Task[None]] = set()
"""Ended with the event loop, once all have joined: counting takes less than consent lasts."""


def _answer(peer: TestPeer, sdp: str) -> str:
    """An answer that takes all that the offer has."""
    head, *sections = re.split(r"(?m)^(?=m=)", sdp)
    bundle = re.search(r"(?m)^a=group:BUNDLE.*$", head)
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", bundle[0].strip() if bundle else ""]
    kept = ("m=", "c=", "a=mid", "a=rtcp-mux", "a=rtpmap", "a=fmtp", "a=rtcp-fb", "a=extmap")
    for section in sections:
        lines += [line for line in section.splitlines() if line.startswith(kept)]
        lines += ["a=recvonly", *peer.transport_lines("active").split()]
    # `transport_lines` has one value with a blank in it.
    text = "\r\n".join(line for line in lines if line) + "\r\n"
    return text.replace("a=fingerprint:sha-256\r\n", "a=fingerprint:sha-256 ")


async def join(plan: Plan) -> list[_Joining]:
    """All viewers, connected."""
    ways = {"whep": _whep, "janus": _janus}
    gate = asyncio.Semaphore(AT_ONCE)
    limits = httpx.Limits(max_connections=2 * AT_ONCE)
    async with httpx.AsyncClient(limits=limits, verify=False) as client:  # plain HTTP: reads no certificates

        async def one() -> _Joining:
            async with gate:
                return await ways[plan.kind](client, plan.url)

        return list(await asyncio.gather(*(one() for _ in range(plan.viewers))))


def main() -> None:
    """Join, wait for the word, count, tell."""
    plan = Plan(**json.loads(sys.argv[1]))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as folder:
        library = _counter(Path(folder))
        begin = time.monotonic()
        joined = uvloop.run(join(plan))
        joining = time.monotonic() - begin
        viewers = (_Viewer * len(joined))()
        for viewer, each in zip(viewers, joined, strict=True):
            viewer.fd = each.socket.fileno()
        most_marks = int(plan.viewers * plan.seconds * 70) if plan.marks else 0
        marks = (_Mark * most_marks)()
        library.count(viewers, len(joined), 1.0, 111, None, 0)  # what waited in the sockets meanwhile
        print("ready", flush=True)
        sys.stdin.readline()
        for viewer in viewers:
            viewer.packets = viewer.bytes = viewer.streams = 0
        before, begin = time.process_time(), time.monotonic()
        marked = library.count(viewers, len(joined), plan.seconds, 111, marks, most_marks)
        seconds = time.monotonic() - begin
        busy = (time.process_time() - before) / seconds
        outcome = Outcome(
            viewers=len(joined),
            joining=joining,
            seconds=seconds,
            packets=sum(stream.packets for viewer in viewers for stream in viewer.stream[: viewer.streams]),
            expected=sum(stream.expected for viewer in viewers for stream in viewer.stream[: viewer.streams]),
            bytes=sum(viewer.bytes for viewer in viewers),
            silent=sum(viewer.packets == 0 for viewer in viewers),
            busy=busy,
            marks=_since_first(marks, marked),
        )
        for each in joined:
            each.leave()
        print(json.dumps(asdict(outcome)), flush=True)


def _since_first(marks: "ctypes.Array[_Mark]", count: int) -> list[tuple[int, int, int]]:
    first: dict[int, int] = {}
    found = []
    for mark in marks[:count]:
        base = first.setdefault(mark.viewer, mark.timestamp)
        found.append((mark.viewer, (mark.timestamp - base) & 0xFFFFFFFF, mark.at))
    return found


if __name__ == "__main__":
    main()
