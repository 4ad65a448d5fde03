"""The other side of a WebRTC session for tests and benchmarks: full ICE (controlling), DTLS in either role, SRTP.

`TestPeer` is without IO. `connect` runs one over UDP or TCP (RFC 4571) against a running server:

    client = TestPeer(now=loop.time())
    answer = await post(offer(client, kinds=("video", "audio")))        # or a server's offer and `answer`
    client.take_description(answer)
    async with connect(client, ("127.0.0.1", 10000)) as link:
        client.on_rtp = packets.append
        await link.wait(lambda: len(packets) > 100)
"""

import asyncio
import math
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from ghostlive.formats.rtp.packet import is_rtcp
from ghostlive.protocols.webrtc.certificate import Certificate
from ghostlive.protocols.webrtc.dtls import DtlsEndpoint, is_dtls
from ghostlive.protocols.webrtc.errors import DtlsError, SrtpError, StunError
from ghostlive.protocols.webrtc.srtp import Profile, Protector, SrtpKeys, Unprotector, is_rtp
from ghostlive.protocols.webrtc.stun import (
    BINDING_ERROR,
    BINDING_REQUEST,
    BINDING_SUCCESS,
    ICE_CONTROLLED,
    ICE_CONTROLLING,
    PRIORITY,
    ROLE_CONFLICT,
    USE_CANDIDATE,
    USERNAME,
    StunMessage,
    is_stun,
    write_message,
    write_success,
)

_SO_RCVBUFFORCE = 33
"""Linux, `asm-generic/socket.h`: for root, beyond `net.core.rmem_max`."""
_RECEIVE_BUFFER = 1 << 20

_certificate: Certificate | None = None


def shared_certificate() -> Certificate:
    """One certificate for all test peers: making it takes time."""
    global _certificate  # noqa: PLW0603  # made once
    if _certificate is None:
        _certificate = Certificate.generate()
    return _certificate


class TestPeer:
    """A browser's side, with one address of its own and one of the server."""

    __test__ = False

    def __init__(
        self,
        *,
        now: float,
        dtls_client: bool = True,
        certificate: Certificate | None = None,
        profiles: Sequence[Profile] = (Profile.AEAD_AES_128_GCM, Profile.AES128_CM_SHA1_80),
        controlling: bool = True,
        answers_checks: bool = True,
        nominates: bool = True,
        consent_interval: float = 2.5,
        priority: int = 110 << 24 | 65535 << 8 | 255,
        mtu: int = 1200,
    ) -> None:
        self.certificate = certificate or shared_certificate()
        self.ufrag = secrets.token_hex(4)
        self.pwd = secrets.token_hex(12)
        self.controlling = controlling
        self.answers_checks = answers_checks
        self.nominates = nominates
        self.consent_interval = consent_interval
        self.priority = priority
        self.remote_ufrag = ""
        self.remote_pwd = ""
        self.address = ("192.0.2.1", 40000)
        """What the server's checks are told in answer; nobody looks at it."""
        self.mapped_address: tuple[str, int] | None = None
        """Where the server sees us."""
        self.connected = False
        self.secured = False
        self.closed = ""
        """Why it is over."""
        self.failures: list[int] = []
        """Error codes that came in answer to our checks."""
        self.on_rtp: Callable[[bytes], None] = lambda _data: None
        self.on_rtcp: Callable[[bytes], None] = lambda _data: None
        self.local: SrtpKeys | None = None
        self.remote: SrtpKeys | None = None
        self._dtls_client = dtls_client
        self._profiles = tuple(profiles)
        self._mtu = mtu
        self._dtls: DtlsEndpoint | None = None
        self._outgoing: list[bytes] = []
        self._transactions: dict[bytes, float] = {}
        self._next_check = now
        self._last_answer = now
        self._inbound: Unprotector | None = None
        self._outbound: Protector | None = None

    @property
    def fingerprints(self) -> tuple[tuple[str, bytes], ...]:
        """As the server's negotiation has them."""
        return (("sha-256", bytes.fromhex(self.certificate.fingerprint.replace(":", ""))),)

    def set_remote(self, ufrag: str, pwd: str, fingerprints: tuple[tuple[str, bytes], ...]) -> None:
        """What the server's description says."""
        self.remote_ufrag, self.remote_pwd = ufrag, pwd
        if self._dtls is None:
            self._dtls = DtlsEndpoint(
                self.certificate,
                client=self._dtls_client,
                fingerprints=fingerprints,
                mtu=self._mtu,
                profiles=self._profiles,
            )

    def take_description(self, sdp: str) -> None:
        """Read ufrag, password, fingerprint and DTLS role from the server's offer or answer."""
        setup = _attribute(sdp, "setup")
        if setup in ("active", "passive"):
            self._dtls_client = setup == "passive"
        fingerprints = tuple(
            (algorithm.lower(), bytes.fromhex(value.replace(":", "")))
            for algorithm, value in re.findall(r"^a=fingerprint:(\S+) ([0-9A-Fa-f:]+)", sdp, re.MULTILINE)
        )
        self.set_remote(_attribute(sdp, "ice-ufrag"), _attribute(sdp, "ice-pwd"), fingerprints)

    def transport_lines(self, setup: str = "actpass") -> str:
        """The lines of our own description that say how we are reached."""
        return (
            f"a=ice-ufrag:{self.ufrag}\r\na=ice-pwd:{self.pwd}\r\na=ice-options:trickle\r\n"
            f"a=fingerprint:sha-256 {self.certificate.fingerprint}\r\na=setup:{setup}\r\n"
        )

    def restart(self, now: float) -> None:
        """New credentials of ours; `set_remote` takes the server's."""
        self.ufrag, self.pwd = secrets.token_hex(4), secrets.token_hex(12)
        self._next_check = now

    def check(self, now: float) -> None:
        """Send a binding request."""
        transaction_id = secrets.token_bytes(12)
        self._transactions[transaction_id] = now
        role = ICE_CONTROLLING if self.controlling else ICE_CONTROLLED
        attributes = [
            (USERNAME, f"{self.remote_ufrag}:{self.ufrag}".encode()),
            (role, b"\x01" * 8),
            (PRIORITY, self.priority.to_bytes(4)),
        ]
        if self.nominates and self.controlling:
            attributes.append((USE_CANDIDATE, b""))
        key = self.remote_pwd.encode()
        self._outgoing.append(write_message(BINDING_REQUEST, transaction_id, attributes, key=key))
        self._next_check = now + (self.consent_interval if self.secured else 0.25 if not self.connected else 0.5)

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram of the server."""
        if self.closed:
            return
        if is_rtp(data):
            self._on_media(data)
        elif is_stun(data):
            self._on_stun(data, now)
        elif is_dtls(data):
            self._on_dtls(data, now)

    def tick(self, now: float) -> None:
        """Do what is due."""
        if self.closed:
            return
        if now >= self._next_check:
            self._transactions = {key: sent for key, sent in self._transactions.items() if sent > now - 10.0}
            self.check(now)
        if self._dtls is not None:
            self._dtls.tick(now)
            self._outgoing += self._dtls.outgoing()

    def next_timeout(self) -> float:
        """When `tick` is due."""
        if self.closed:
            return math.inf
        return min(self._next_check, math.inf if self._dtls is None else self._dtls.next_timeout())

    def outgoing(self) -> list[bytes]:
        """Datagrams for the server."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def send_rtp(self, data: bytes) -> None:
        """Encrypt and send an RTP packet."""
        assert self._outbound is not None, "not secured"
        self._outgoing.append(self._outbound.rtp(data))

    def send_rtcp(self, data: bytes) -> None:
        """Encrypt and send an RTCP packet."""
        assert self._outbound is not None, "not secured"
        self._outgoing.append(self._outbound.rtcp(data))

    def send_raw(self, data: bytes) -> None:
        """Send a datagram as it is."""
        self._outgoing.append(data)

    def close(self, reason: str = "closed by the test") -> None:
        """Say goodbye."""
        if self._dtls is not None:
            self._dtls.close()
            self._outgoing += self._dtls.outgoing()
        self.closed = self.closed or reason

    def _on_stun(self, data: bytes, now: float) -> None:
        try:
            message = StunMessage.parse(data)
        except StunError:
            return
        if message.type == BINDING_REQUEST:
            if self.answers_checks and message.verify(self.pwd.encode()):
                self._outgoing.append(write_success(message.transaction_id, self.address, self.pwd.encode()))
            return
        if message.transaction_id not in self._transactions or not message.verify(self.remote_pwd.encode()):
            return
        del self._transactions[message.transaction_id]
        if message.type == BINDING_ERROR:
            self.failures.append(message.error_code)
            if message.error_code == ROLE_CONFLICT:
                self.controlling = not self.controlling
                self.check(now)
        elif message.type == BINDING_SUCCESS:
            self.mapped_address = message.mapped_address
            self._last_answer = now
            if not self.connected:
                self.connected = True
                self._next_check = now + 0.5
                assert self._dtls is not None
                self._dtls.start(now)
                self._outgoing += self._dtls.outgoing()

    def _on_dtls(self, data: bytes, now: float) -> None:
        dtls = self._dtls
        if dtls is None:
            return
        try:
            dtls.receive(data, now)
        except DtlsError as error:
            self.closed = str(error)
        self._outgoing += dtls.outgoing()
        if dtls.closed:
            self.closed = self.closed or "the server has said goodbye"
        elif dtls.established and not self.secured:
            self.local, self.remote = dtls.keys
            self._outbound, self._inbound = Protector(self.local), Unprotector(self.remote)
            self.secured = True

    def _on_media(self, data: bytes) -> None:
        if self._inbound is None:
            return
        try:
            if is_rtcp(data):
                self.on_rtcp(self._inbound.rtcp(data))
            else:
                self.on_rtp(self._inbound.rtp(data))
        except SrtpError:
            return


class Link:
    """A test peer on a socket. After its own work, whoever uses the peer calls `flush`."""

    def __init__(self, peer: TestPeer, send: Callable[[bytes], None]) -> None:
        self.peer = peer
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._news = asyncio.Event()
        self.flush()

    def receive(self, data: bytes) -> None:
        """A datagram came."""
        self.peer.receive(data, self._loop.time())
        self.flush()

    def flush(self) -> None:
        """Send what the peer wants to send, and set the timer."""
        for data in self.peer.outgoing():
            self._send(data)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if (due := self.peer.next_timeout()) < math.inf:
            self._timer = self._loop.call_at(due, self._tick)
        self._news.set()

    async def wait(self, condition: Callable[[], bool], within: float = 20.0) -> None:
        """Wait until `condition` holds; looked at whenever something has come. Raises `TimeoutError`."""
        async with asyncio.timeout(within):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def stop(self) -> None:
        """No more timers."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self.peer.tick(self._loop.time())
        self.flush()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.link: Link | None = None

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.link is not None:
            self.link.receive(data)

    def error_received(self, exc: Exception) -> None:
        """The server may not be there yet, or no more."""


@asynccontextmanager
async def connect(
    peer: TestPeer,
    address: tuple[str, int],
    *,
    transport: Literal["udp", "tcp"] = "udp",
    within: float = 20.0,
    local: tuple[str, int] | None = None,
    goodbye: bool = True,
) -> AsyncIterator[Link]:
    """Connect to the server and yield when the session is secured; say goodbye at the end.

    `peer` must have the server's description. Raises `TimeoutError` when it takes longer than `within` seconds, and
    `ConnectionError` when the handshake fails.
    """
    loop = asyncio.get_running_loop()
    reader: asyncio.Task[None] | None = None
    if transport == "udp":
        datagrams, protocol = await loop.create_datagram_endpoint(_Datagrams, remote_addr=address, local_addr=local)
        _roomy(datagrams.get_extra_info("socket"))
        link = protocol.link = Link(peer, datagrams.sendto)
        close = datagrams.close
    else:
        incoming, writer = await asyncio.open_connection(*address, local_addr=local)
        link = Link(peer, lambda data: writer.write(len(data).to_bytes(2) + data))
        reader = asyncio.create_task(_read_frames(incoming, link))
        close = writer.close
    try:
        await link.wait(lambda: peer.secured or bool(peer.closed), within)
        if peer.closed:
            raise ConnectionError(peer.closed)
        yield link
    finally:
        if goodbye and not peer.closed:
            peer.close()
            link.flush()
        link.stop()
        if reader is not None:
            reader.cancel()
            await asyncio.wait([reader])
        close()


def _roomy(connected: socket.socket) -> None:
    """A large receive buffer: a peer that reads late on a busy machine would drop what seems lost by the server."""
    try:
        connected.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except PermissionError:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)


async def _read_frames(incoming: asyncio.StreamReader, link: Link) -> None:
    """RFC 4571: two bytes of length before each packet."""
    try:
        while True:
            size = int.from_bytes(await incoming.readexactly(2))
            link.receive(await incoming.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        link.peer.closed = link.peer.closed or "the server has closed the connection"
        link.flush()


def candidates(sdp: str, transport: Literal["udp", "tcp"] = "udp") -> list[tuple[str, int]]:
    """Addresses of the server in its description, as it lists them."""
    found = re.findall(r"^a=candidate:\S+ 1 (\S+) \d+ (\S+) (\d+) typ host", sdp, re.MULTILINE)
    return [(host, int(port)) for kind, host, port in found if kind.lower() == transport]


_VIDEO = {
    "H264": (102, "profile-level-id=42e01f;level-asymmetry-allowed=1;packetization-mode=1"),
    "VP8": (96, ""),
    "VP9": (98, "profile-id=0"),
    "AV1": (45, ""),
    "H265": (49, ""),
}


def offer(
    peer: TestPeer,
    *,
    direction: Literal["recvonly", "sendonly", "sendrecv"] = "recvonly",
    video: Sequence[str] = ("H264", "VP8", "VP9", "AV1"),
    audio: bool = True,
    ssrcs: tuple[int, int] = (1111, 2222),
) -> str:
    """An offer as a browser makes it, without candidates: video first, retransmission with payload type + 1.

    Audio is Opus with payload type 111. With `sendonly` the SSRCs (audio, video) are announced.
    """
    sections: list[str] = []
    head = (
        f"v=0\r\no=- {secrets.randbits(62)} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
        "a=extmap-allow-mixed\r\na=msid-semantic: WMS *\r\n"
    )
    common = f"c=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n{peer.transport_lines()}"
    tail = f"a={direction}\r\na=rtcp-mux\r\na=rtcp-rsize\r\n"
    if video:
        lines, types = "", []
        for name in video:
            number, parameters = _VIDEO[name]
            types += [number, number + 1]
            lines += f"a=rtpmap:{number} {name}/90000\r\n"
            lines += "".join(
                f"a=rtcp-fb:{number} {kind}\r\n"
                for kind in ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
            )
            lines += f"a=fmtp:{number} {parameters}\r\n" if parameters else ""
            lines += f"a=rtpmap:{number + 1} rtx/90000\r\na=fmtp:{number + 1} apt={number}\r\n"
        sections.append(
            f"m=video 9 UDP/TLS/RTP/SAVPF {' '.join(map(str, types))}\r\n{common}a=mid:{len(sections)}\r\n"
            "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n"
            "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"
            "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
            f"{tail}{lines}" + _source(direction, ssrcs[1], "video")
        )
    if audio:
        sections.append(
            f"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{common}a=mid:{len(sections)}\r\n"
            "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
            f"{tail}a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n"
            + _source(direction, ssrcs[0], "audio")
        )
    bundle = f"a=group:BUNDLE {' '.join(str(mid) for mid in range(len(sections)))}\r\n"
    return head + bundle + "".join(sections)


def _source(direction: str, ssrc: int, kind: str) -> str:
    if direction == "recvonly":
        return ""
    return f"a=msid:test {kind}\r\na=ssrc:{ssrc} cname:test\r\na=ssrc:{ssrc} msid:test {kind}\r\n"


def _attribute(sdp: str, name: str) -> str:
    found = re.search(rf"^a={name}:(\S+)", sdp, re.MULTILINE)
    return found[1] if found else ""
