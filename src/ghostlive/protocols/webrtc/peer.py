"""The transport of one remote peer, without IO: datagrams and `now` in, datagrams and events out.

ICE finds the way (`ice`), DTLS gives the keys over it (`dtls`), SRTP protects what follows (`srtp`).

1. After each call the driver handles `events()`, sends `outgoing()`, and looks at `next_timeout()`.
2. No datagram raises anything here: it is dropped, or ends the session with a reason in `Closed`.
3. `Closed` comes exactly once, and last.

Specifications: RFC 8445 (lite), RFC 8842, RFC 5764, RFC 7983 (one port for all of them).
"""

import math
from dataclasses import dataclass
from typing import Protocol

from ghostlive.formats.rtp.packet import is_rtcp
from ghostlive.protocols.webrtc.certificate import Certificate
from ghostlive.protocols.webrtc.dtls import DtlsEndpoint, is_dtls
from ghostlive.protocols.webrtc.errors import DtlsError, SrtpError
from ghostlive.protocols.webrtc.events import (
    Closed,
    Connected,
    PathAdded,
    PathChanged,
    PathRemoved,
    PeerEvent,
    RtcpReceived,
    RtpReceived,
    Secured,
)
from ghostlive.protocols.webrtc.ice import Allowance, IceAgent
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.srtp import Protector, SrtpKeys, Unprotector, is_rtp
from ghostlive.protocols.webrtc.stun import is_stun

__all__ = [
    "Closed",
    "Connected",
    "Path",
    "PathAdded",
    "PathChanged",
    "PathRemoved",
    "Peer",
    "PeerEvent",
    "PeerLimits",
    "RtcpReceived",
    "RtpReceived",
    "Secured",
    "TransportParameters",
]

_DTLS_PER_SECOND = 100.0
"""Datagrams of a handshake that are looked at."""


class TransportParameters(Protocol):
    """What both descriptions say of the transport: `negotiation.Transport`."""

    @property
    def local_ufrag(self) -> str: ...
    @property
    def local_pwd(self) -> str: ...
    @property
    def remote_ufrag(self) -> str: ...
    @property
    def remote_pwd(self) -> str: ...
    @property
    def fingerprints(self) -> tuple[tuple[str, bytes], ...]: ...
    @property
    def dtls_client(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """What one peer may cost. Times are in seconds."""

    handshake_timeout: float = 30.0
    """From the start until the peer is secured."""
    consent_timeout: float = 30.0
    """Without a sign of life: an authentic STUN request, RTP, RTCP."""
    max_paths: int = 32
    """At least 2. A browser tries each of its addresses with each of ours."""
    mtu: int = 1200
    """Largest datagram of a handshake, without the headers below it."""
    max_ssrcs: int = 64
    """Different senders in what the peer sends."""


_DEFAULT_LIMITS = PeerLimits()


class Peer:
    """One remote peer: ICE (lite), DTLS, SRTP."""

    __slots__ = (
        "__weakref__", "_closed", "_deadline", "_dtls", "_dtls_allowance", "_dtls_path", "_events", "_flight_paths",
        "_ice", "_inbound", "_limits", "_outbound", "_outgoing", "_secured",
    )  # fmt: skip

    def __init__(
        self,
        *,
        certificate: Certificate,
        transport: TransportParameters,
        now: float,
        limits: PeerLimits = _DEFAULT_LIMITS,
    ) -> None:
        self._limits = limits
        self._events: list[PeerEvent] = []
        self._outgoing: list[tuple[Path, bytes]] = []
        self._ice = IceAgent(
            local_ufrag=transport.local_ufrag,
            local_pwd=transport.local_pwd,
            remote_ufrag=transport.remote_ufrag,
            remote_pwd=transport.remote_pwd,
            now=now,
            max_paths=limits.max_paths,
            events=self._events,
            outgoing=self._outgoing,
        )
        self._dtls = DtlsEndpoint(
            certificate, client=transport.dtls_client, fingerprints=transport.fingerprints, mtu=limits.mtu
        )
        self._dtls_allowance = Allowance(_DTLS_PER_SECOND, now)
        self._dtls_path: Path | None = None
        self._flight_paths: set[Path] = set()
        self._deadline = now + limits.handshake_timeout
        self._secured = False
        self._closed = False
        self._inbound: Unprotector | None = None
        self._outbound: Protector | None = None

    @property
    def path(self) -> Path | None:
        """Where what is sent goes; None before there is a way, and while a lost one has no successor."""
        return self._ice.selected

    @property
    def paths(self) -> frozenset[Path]:
        """All ways from which the peer's datagrams are taken."""
        return self._ice.paths

    @property
    def ufrags(self) -> tuple[str, ...]:
        """Ufrags of ours that the peer's requests may name: two during a restart."""
        return self._ice.ufrags

    @property
    def local_keys(self) -> SrtpKeys | None:
        """Keys of what goes to the peer, once it is secured."""
        return self._dtls.keys[0] if self._secured else None

    @property
    def secured(self) -> bool:
        """Whether media may flow."""
        return self._secured

    @property
    def closed(self) -> bool:
        """Whether it is over."""
        return self._closed

    def receive(self, data: bytes, path: Path, now: float) -> None:
        """Take one datagram (by TCP: one frame of RFC 4571). Raises nothing."""
        if self._closed:
            return
        if is_rtp(data):
            self._on_media(data, path, now)
        elif is_stun(data):
            self._on_stun(data, path, now)
        elif is_dtls(data):
            self._on_dtls(data, path, now)

    def tick(self, now: float) -> None:
        """Do what time asks for: repeat a flight, or give the peer up."""
        if self._closed:
            return
        if not self._secured:
            if now >= self._deadline:
                seconds = f"{self._limits.handshake_timeout:g} s"
                if not self._ice.paths:
                    self._end(f"no STUN request of the peer has come for {seconds}")
                else:
                    self._end(f"the peer has not completed the DTLS handshake in {seconds}")
                return
            self._dtls.tick(now)
            self._send_dtls((self._ice.selected if self._dtls.client else None) or self._dtls_path)
        elif now >= self._ice.heard + self._limits.consent_timeout:
            self._end(f"the peer has given no sign of life for {self._limits.consent_timeout:g} s")
            return
        self._ice.tick(now)
        if self._secured:
            self._ice.expire(now - self._limits.consent_timeout)

    def next_timeout(self) -> float:
        """When `tick` is due; infinite once it is closed. It may move on without a call, as the peer shows life."""
        if self._closed:
            return math.inf
        if self._secured:
            return min(self._ice.oldest + self._limits.consent_timeout, self._ice.next_timeout())
        return min(self._deadline, self._dtls.next_timeout(), self._ice.next_timeout())

    def events(self) -> list[PeerEvent]:
        """What has happened since the last call."""
        events = self._events[:]
        self._events.clear()
        return events

    def outgoing(self) -> list[tuple[Path, bytes]]:
        """Datagrams to send, since the last call."""
        outgoing = self._outgoing[:]
        self._outgoing.clear()
        return outgoing

    def send_rtcp(self, data: bytes) -> None:
        """Encrypt and send a compound RTCP packet; nothing happens before the peer is secured and after its end.

        Raises `SrtpError` for what is no RTCP packet.
        """
        if (path := self._ice.selected) is not None and (outbound := self._protector()) is not None:
            self._outgoing.append((path, outbound.rtcp(data)))

    def send_rtp(self, data: bytes) -> None:
        """Encrypt and send one RTP packet, as `send_rtcp` does.

        Never for an SSRC that the fan-out sends: one nonce would protect two packets.
        """
        if (path := self._ice.selected) is not None and (outbound := self._protector()) is not None:
            self._outgoing.append((path, outbound.rtp(data)))

    def restart(self, *, local_ufrag: str, local_pwd: str, remote_ufrag: str, remote_pwd: str) -> None:
        """Restart ICE (RFC 8445 §9): media goes the old way, and old requests are answered, until there is a new."""
        if not self._closed:
            self._ice.restart(
                local_ufrag=local_ufrag, local_pwd=local_pwd, remote_ufrag=remote_ufrag, remote_pwd=remote_pwd
            )

    def path_lost(self, path: Path) -> None:
        """The TCP connection of `path` is closed. The session lives on for as long as the peer may come another way."""
        if not self._closed:
            self._ice.remove(path)

    def close(self, reason: str) -> None:
        """Say goodbye and end."""
        if not self._closed:
            self._end(reason)

    def _on_stun(self, data: bytes, path: Path, now: float) -> None:
        if self._secured:
            self._ice.receive(data, path, now)
            return
        proven = self._ice.proven(path)
        self._ice.receive(data, path, now)
        if not proven and self._ice.proven(path) and path in self._flight_paths:
            # What was held back may go.
            self._dtls.repeat(now)
            self._send_dtls(path)
        if self._dtls.established:
            self._secure()
        elif self._dtls.client and self._ice.verified(path) and self._dtls_path is None:
            self._dtls_path = self._ice.selected or path
            self._dtls.start(now)
            self._send_dtls(self._dtls_path)

    def _on_dtls(self, data: bytes, path: Path, now: float) -> None:
        if not self._ice.verified(path) or not self._dtls_allowance.take(now):
            return
        self._ice.received(path, len(data))
        self._dtls_path = path
        try:
            self._dtls.receive(data, now)
        except DtlsError as error:
            self._send_dtls(path)
            self._end(str(error))
            return
        done = self._dtls.established
        if done and not self._secured and self._flight_paths == {path}:
            # The peer has read what was sent there and nowhere else.
            self._ice.prove(path)
        self._send_dtls(path)
        self._ice.use(path)
        if self._dtls.closed:
            self._end("the peer has closed the session")
        elif done and not self._secured:
            self._secure()

    def _on_media(self, data: bytes, path: Path, now: float) -> None:
        inbound = self._inbound
        if inbound is None or not self._ice.verified(path):
            return
        try:
            if is_rtcp(data):
                self._events.append(RtcpReceived(inbound.rtcp(data)))
            else:
                self._events.append(RtpReceived(inbound.rtp(data)))
        except SrtpError:
            return
        self._ice.alive(path, len(data), now)

    def _send_dtls(self, path: Path | None) -> None:
        for datagram in self._dtls.outgoing():
            if path is not None:
                if not self._secured:
                    self._flight_paths.add(path)
                if self._ice.may_send(path, len(datagram)):
                    self._outgoing.append((path, datagram))

    def _secure(self) -> None:
        """Let media flow, if the peer is known to be where it would go."""
        self._ice.settle()
        if self._ice.selected is None or not self._ice.proven(self._ice.selected):
            return
        local, remote = self._dtls.keys
        self._secured = True
        self._flight_paths = set()
        self._ice.secure()
        self._inbound = Unprotector(remote, max_ssrcs=self._limits.max_ssrcs)
        self._events.append(Secured(local, remote))

    def _protector(self) -> Protector | None:
        if self._outbound is None and self._secured and not self._closed:
            self._outbound = Protector(self._dtls.keys[0])
        return self._outbound

    def _end(self, reason: str) -> None:
        self._dtls.close()
        self._send_dtls(self._ice.selected)
        self._closed = True
        self._inbound = self._outbound = None
        self._events.append(Closed(reason))
