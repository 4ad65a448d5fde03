"""ICE of a server that anybody can reach: the lite, controlled side.

The peer checks the ways to us and chooses one; we answer. In addition to what a lite side must do, each way is tried
with one check of our own, because an answer proves that the peer really is there: without it, one viewer could send a
stream to somebody else's address by a forged sender. Peers that do not answer (they need not, to a lite side) prove it
with the DTLS handshake instead, and then cannot move.

1. Nothing is sent to an address from which no request with the right password came.
2. To an address that is not proven go at most three bytes for each that came from there.
3. Once the peer is secured, media goes only where it is proven to be.

Specifications: RFC 8445, RFC 7675 (consent: here, signs of life), RFC 6544 for TCP.
"""

import math
import secrets
from typing import Final

from ghostlive.protocols.webrtc.errors import StunError
from ghostlive.protocols.webrtc.events import Connected, PathAdded, PathChanged, PathRemoved, PeerEvent
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.stun import (
    BINDING_REQUEST,
    BINDING_SUCCESS,
    ICE_CONTROLLED,
    PRIORITY,
    ROLE_CONFLICT,
    UNKNOWN_ATTRIBUTE_ERROR,
    USERNAME,
    StunMessage,
    write_error,
    write_message,
    write_success,
)

_MAX_AMPLIFICATION: Final = 3
_ENOUGH_SIGNS: Final = 2
"""One may be a late packet."""
_CHECK_TIMEOUTS: Final = (0.2, 0.4, 0.8)
"""Until a check of ours is repeated; after the last, only when the peer asks again."""
_REQUESTS_PER_SECOND: Final = 100.0
"""Of a peer. A browser sends about 20 a second while it looks for a way, and one in two seconds later."""
_STRANGERS_PER_SECOND: Final = 50.0
"""Requests from addresses that have not shown the password; each costs a few microseconds, answered or not."""


class Allowance:
    """So much per second, with a second's worth at once."""

    __slots__ = ("_left", "_rate", "_then")

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._left = rate
        self._then = now

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Whether `amount` more may be had."""
        left = self._left + (now - self._then) * self._rate
        self._then = now
        left = min(left, self._rate)
        if left < amount:
            self._left = left
            return False
        self._left = left - amount
        return True


class _Way:
    """What is known of one path."""

    __slots__ = (
        "check",
        "check_due",
        "checks",
        "heard",
        "nominated",
        "path",
        "priority",
        "proven",
        "received",
        "renewed",
        "sent",
        "signs",
    )

    def __init__(self, path: Path, now: float) -> None:
        self.path = path
        self.heard = now
        """When an authentic datagram came last."""
        self.proven = path.transport == "tcp"  # its handshake is proof
        self.nominated = False
        self.renewed = False
        """Whether it was nominated in the session that a restart began."""
        self.signs = 0
        """Nominations and media since the selected way's last."""
        self.priority = 0
        self.received = 0
        self.sent = 0
        self.check: bytes | None = None
        """Transaction id of our check."""
        self.check_due = math.inf
        """When it is repeated."""
        self.checks = 0


class IceAgent:
    """The ways to one peer, and which of them to use. Appends to `events` and `outgoing`, which its owner empties."""

    __slots__ = (
        "_connected", "_events", "_heard", "_keys", "_known", "_max_paths", "_outgoing", "_remote", "_restarted",
        "_secured", "_selected", "_strangers", "_username", "_ways",
    )  # fmt: skip

    def __init__(
        self,
        *,
        local_ufrag: str,
        local_pwd: str,
        remote_ufrag: str,
        remote_pwd: str,
        now: float,
        max_paths: int,
        events: list[PeerEvent],
        outgoing: list[tuple[Path, bytes]],
    ) -> None:
        # By the ufrag of ours that a request names: the current one, and during a restart the one before.
        self._keys = {local_ufrag: local_pwd.encode()}
        self._remote = remote_pwd.encode()
        self._username = f"{remote_ufrag}:{local_ufrag}".encode()
        self._max_paths = max_paths
        self._events = events
        self._outgoing = outgoing
        self._ways: dict[Path, _Way] = {}
        self._selected: _Way | None = None
        self._heard = now
        self._connected = False
        self._secured = False
        self._restarted = False
        self._known = Allowance(_REQUESTS_PER_SECOND, now)
        self._strangers = Allowance(_STRANGERS_PER_SECOND, now)

    @property
    def selected(self) -> Path | None:
        """Where to send; None before the peer has chosen, and when the chosen way is lost."""
        return None if self._selected is None else self._selected.path

    @property
    def heard(self) -> float:
        """When the peer gave its last sign of life."""
        return self._heard

    @property
    def oldest(self) -> float:
        """When the peer gave its last sign of life, or, if that is longer ago, when a way other than the chosen did."""
        if len(self._ways) < 2:
            return self._heard
        return min(self._heard, *(way.heard for way in self._ways.values() if way is not self._selected))

    @property
    def paths(self) -> frozenset[Path]:
        """All verified ways."""
        return frozenset(self._ways)

    @property
    def ufrags(self) -> tuple[str, ...]:
        """Ufrags of ours that are valid, the oldest first."""
        return tuple(self._keys)

    def verified(self, path: Path) -> bool:
        """Whether a request with the right password came from `path`."""
        return path in self._ways

    def proven(self, path: Path) -> bool:
        """Whether the peer is known to receive what is sent to `path`."""
        way = self._ways.get(path)
        return way is not None and way.proven

    def receive(self, data: bytes, path: Path, now: float) -> None:
        """Take a STUN message. What is wrong with it is not answered unless its password is right."""
        way = self._ways.get(path)
        if way is None and not self._strangers.take(now):
            return
        try:
            message = StunMessage.parse(data)
        except StunError:
            return
        if message.type == BINDING_REQUEST:
            self._on_request(message, way, path, now)
        elif message.type == BINDING_SUCCESS and way is not None:
            self._on_success(message, way, now)

    def tick(self, now: float) -> None:
        """Repeat checks of ours that are not answered."""
        for way in self._ways.values():
            if now >= way.check_due:
                self._check(way, now)

    def next_timeout(self) -> float:
        """When `tick` is due; infinite if no check is under way."""
        return min([way.check_due for way in self._ways.values()], default=math.inf)

    def alive(self, path: Path, size: int, now: float) -> None:
        """Authentic media of `size` bytes came by `path`."""
        self._heard = now
        way = self._ways.get(path)
        if way is None:
            return
        way.heard = now
        way.received += size
        # The peer sends its media by the way that it has chosen. Firefox shows in no other way that it has moved.
        self._sign(way)
        if way is not self._selected:
            self._consider(way)

    def received(self, path: Path, size: int) -> None:
        """Count bytes of `path` that nothing vouches for yet: they may be answered."""
        if (way := self._ways.get(path)) is not None:
            way.received += size

    def may_send(self, path: Path, size: int) -> bool:
        """Whether `size` bytes may go to `path`, and count them."""
        way = self._ways.get(path)
        if way is None or not (way.proven or way.sent + size <= _MAX_AMPLIFICATION * way.received):
            return False
        way.sent += size
        return True

    def prove(self, path: Path) -> None:
        """The peer has answered something that was sent to `path` only."""
        if (way := self._ways.get(path)) is not None and not way.proven:
            way.proven = True
            way.check = None
            way.check_due = math.inf
            if way.nominated:
                self._consider_nominated(way)

    def use(self, path: Path) -> None:
        """Send to `path` unless the peer has chosen another: its first DTLS came from there."""
        if self._selected is None and (way := self._ways.get(path)) is not None:
            self._select(way)

    def settle(self) -> None:
        """Choose a proven way for the peer, if it has not chosen one itself."""
        if self._selected is not None and self._selected.proven:
            return
        if ways := [way for way in self._ways.values() if way.proven]:
            self._select(max(ways, key=lambda way: (way.nominated, way.heard)))

    def secure(self) -> None:
        """Media may flow from here on, and only to where the peer is proven to be."""
        self._secured = True

    def restart(self, *, local_ufrag: str, local_pwd: str, remote_ufrag: str, remote_pwd: str) -> None:
        """Take new credentials (RFC 8445 §9). The ones before are good until the peer has chosen a way with the new."""
        last = list(self._keys.items())[-1]
        self._keys = {last[0]: last[1], local_ufrag: local_pwd.encode()}
        self._remote = remote_pwd.encode()
        self._username = f"{remote_ufrag}:{local_ufrag}".encode()
        self._restarted = True
        for way in self._ways.values():
            way.renewed = False
            way.check = None
            way.check_due = math.inf

    def remove(self, path: Path) -> None:
        """Forget `path`: its connection is lost."""
        way = self._ways.pop(path, None)
        if way is None:
            return
        self._events.append(PathRemoved(path))
        if way is self._selected:
            self._selected = None
            others = [other for other in self._ways.values() if other.nominated and other.proven]
            if others:
                self._select(max(others, key=lambda other: other.heard))

    def expire(self, before: float) -> None:
        """Forget ways that have been silent since `before`, but for the chosen one."""
        for way in [way for way in self._ways.values() if way.heard <= before and way is not self._selected]:
            self.remove(way.path)

    def _on_request(self, message: StunMessage, way: _Way | None, path: Path, now: float) -> None:
        ufrag = message.username.partition(":")[0]
        key = self._keys.get(ufrag)
        # What others send in the peer's name takes nothing from the peer's allowance.
        if key is None or not message.verify(key) or not self._known.take(now):
            return
        if way is None:
            way = self._add(path, now)
        way.heard = now
        if way.proven or not self._secured:
            self._heard = now  # a request that is replayed from elsewhere keeps nobody alive
        way.received += len(message.data)
        transaction_id = message.transaction_id
        if unknown := message.unknown_attributes():
            self._send(way, write_error(transaction_id, UNKNOWN_ATTRIBUTE_ERROR, key, unknown))
            return
        if ICE_CONTROLLED in message.attributes:
            # A lite side never controls, so that the peer has to, whatever the tie-breakers say (RFC 8445 §6.1.1).
            self._send(way, write_error(transaction_id, ROLE_CONFLICT, key))
            return
        self._send(way, write_success(transaction_id, path.address, key))
        if not way.proven and (way.check is None or way.check_due == math.inf):
            way.checks = 0
            self._check(way, now)
        if len(self._keys) == 2 and ufrag != self.ufrags[-1]:
            return  # of the session before the restart
        if message.use_candidate:
            way.priority = message.priority
            way.nominated = True
            way.renewed = self._restarted
            self._sign(way)
            self._consider_nominated(way)

    def _on_success(self, message: StunMessage, way: _Way, now: float) -> None:
        if way.check is None or message.transaction_id != way.check or not message.verify(self._remote):
            return
        way.heard = now
        self.prove(way.path)

    def _check(self, way: _Way, now: float) -> None:
        """Ask for proof."""
        if way.check is None:
            way.check = secrets.token_bytes(12)
        way.check_due = now + _CHECK_TIMEOUTS[way.checks] if way.checks < len(_CHECK_TIMEOUTS) else math.inf
        way.checks += 1
        attributes = [
            (USERNAME, self._username),
            (PRIORITY, (110 << 24 | 65535 << 8 | 255).to_bytes(4)),
            (ICE_CONTROLLED, bytes(8)),  # loses every comparison
        ]
        self._send(way, write_message(BINDING_REQUEST, way.check, attributes, key=self._remote))

    def _consider_nominated(self, way: _Way) -> None:
        """Select a way that the peer has nominated, if that is what it means; with the first a restart is over."""
        renewed = way.renewed and self._restarted
        if renewed:
            # The first choice of the new session counts, whatever was chosen before it.
            way.signs = _ENOUGH_SIGNS
        if self._consider(way) and renewed:
            self._restarted = False
            for other in self._ways.values():
                other.signs = 0
            ufrag, key = list(self._keys.items())[-1]
            self._keys = {ufrag: key}

    def _consider(self, way: _Way) -> bool:
        """Select a way that the peer uses, if that is what the peer means. Whether it is selected."""
        selected = self._selected
        if way is selected:
            return True
        if not way.proven and self._secured:
            return False
        # Some peers nominate every way that works and mean the best of them (RFC 5245 §8.1.1.2). The others nominate
        # the one that they want, once and again.
        if (
            selected is None
            or way.signs >= _ENOUGH_SIGNS
            or (way.nominated and not (selected.nominated and selected.priority > way.priority))
        ):
            self._select(way)
            return True
        return False

    def _sign(self, way: _Way) -> None:
        """The peer uses `way`."""
        if way is not self._selected:
            way.signs += 1
        elif len(self._ways) > 1:
            for other in self._ways.values():
                other.signs = 0

    def _select(self, way: _Way) -> None:
        self._selected = way
        way.signs = 0
        self._events.append(PathChanged(way.path) if self._connected else Connected(way.path))
        self._connected = True

    def _add(self, path: Path, now: float) -> _Way:
        if len(self._ways) >= self._max_paths:
            others = (way for way in self._ways.values() if way is not self._selected)
            oldest = min(others, key=lambda way: (way.proven, way.heard))
            self.remove(oldest.path)
        way = self._ways[path] = _Way(path, now)
        self._events.append(PathAdded(path))
        return way

    def _send(self, way: _Way, data: bytes) -> None:
        if self.may_send(way.path, len(data)):
            self._outgoing.append((way.path, data))
