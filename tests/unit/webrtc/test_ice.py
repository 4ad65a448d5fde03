"""The ways to a peer: who is answered, what is sent before an address is proven, which way is chosen."""

import math
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.protocols.webrtc import stun
from ghostlive.protocols.webrtc.events import Connected, PathAdded, PathChanged, PathRemoved, PeerEvent
from ghostlive.protocols.webrtc.ice import Allowance, IceAgent
from ghostlive.protocols.webrtc.path import Path
from ghostlive.protocols.webrtc.stun import StunMessage

A = Path("udp", ("192.0.2.1", 1000))
B = Path("udp", ("2001:db8::2", 2000))
C = Path("udp", ("192.0.2.3", 3000))
T = Path("tcp", ("192.0.2.1", 4000), 7)
HIGH, LOW = 2_000_000_000, 1_000_000_000


class Wire:
    """An agent and the requests of its peer."""

    def __init__(self, max_paths: int = 8) -> None:
        self.events: list[PeerEvent] = []
        self.outgoing: list[tuple[Path, bytes]] = []
        self.now = 100.0
        self.agent = IceAgent(
            local_ufrag="ours",
            local_pwd="our password",
            remote_ufrag="them",
            remote_pwd="their password",
            now=self.now,
            max_paths=max_paths,
            events=self.events,
            outgoing=self.outgoing,
        )
        self.received = 0

    def request(
        self,
        path: Path,
        *,
        use: bool = True,
        priority: int = HIGH,
        username: str = "ours:them",
        key: str = "our password",
        role: int = stun.ICE_CONTROLLING,
        extra: tuple[tuple[int, bytes], ...] = (),
        kind: int = stun.BINDING_REQUEST,
    ) -> list[StunMessage]:
        """Send a request from `path`; what it is answered with, there."""
        attributes = [
            (stun.USERNAME, username.encode()),
            (stun.PRIORITY, priority.to_bytes(4)),
            (role, bytes(8)),
            *extra,
        ]
        if use:
            attributes.append((stun.USE_CANDIDATE, b""))
        return self.receive(stun.write_message(kind, secrets.token_bytes(12), attributes, key=key.encode()), path)

    def receive(self, data: bytes, path: Path) -> list[StunMessage]:
        self.received += len(data)
        self.agent.receive(data, path, self.now)
        return self.take(path)

    def take(self, path: Path) -> list[StunMessage]:
        assert {to for to, _ in self.outgoing} <= {path}
        messages = [StunMessage.parse(data) for _, data in self.outgoing]
        self.outgoing.clear()
        return messages

    def answer(self, check: StunMessage, path: Path, key: str = "their password") -> None:
        """Answer a check of the agent's."""
        self.receive(stun.write_success(check.transaction_id, ("203.0.113.9", 1), key.encode()), path)

    def prove(self, path: Path, **options: bool | int) -> None:
        """A way that is verified and proven."""
        _, check = self.request(path, **options)  # type: ignore[arg-type]
        self.answer(check, path)

    def selected(self) -> Path | None:
        return self.agent.selected

    def ufrags(self) -> tuple[str, ...]:
        return self.agent.ufrags

    def happened(self) -> list[PeerEvent]:
        events = self.events[:]
        self.events.clear()
        return events


def test_a_request_is_answered_and_its_sender_is_asked_for_proof() -> None:
    wire = Wire()
    answer, check = wire.request(A)
    assert answer.type == stun.BINDING_SUCCESS
    assert answer.mapped_address == A.address
    assert answer.verify(b"our password")
    assert check.type == stun.BINDING_REQUEST
    assert check.username == "them:ours"
    assert check.verify(b"their password")
    assert stun.ICE_CONTROLLED in check.attributes
    assert check.priority
    assert wire.happened() == [PathAdded(A), Connected(A)]
    assert wire.selected() == A
    assert wire.agent.verified(A)
    assert not wire.agent.proven(A)
    wire.answer(check, A)
    assert wire.agent.proven(A)
    assert wire.agent.next_timeout() == math.inf
    (answer,) = wire.request(A)
    assert answer.type == stun.BINDING_SUCCESS
    assert wire.agent.paths == {A}


@pytest.mark.parametrize(
    "options",
    [
        {"key": "another password"},
        {"username": "other:them"},
        {"username": ""},
        {"kind": stun.BINDING_INDICATION},
        {"kind": stun.BINDING_SUCCESS},
        {"kind": 0x0003},
    ],
)
def test_strangers_hear_nothing(options: dict[str, str]) -> None:
    wire = Wire()
    assert wire.request(A, **options) == []  # type: ignore[arg-type]
    assert wire.events == []
    assert not wire.agent.verified(A)


def test_a_request_without_integrity_hears_nothing() -> None:
    wire = Wire()
    data = stun.write_message(stun.BINDING_REQUEST, bytes(12), [(stun.USERNAME, b"ours:them")])
    assert wire.receive(data, A) == []
    assert wire.receive(data[:-9], A) == []
    assert wire.receive(b"", A) == []


def test_a_controlled_peer_is_told_to_control() -> None:
    wire = Wire()
    (answer,) = wire.request(A, role=stun.ICE_CONTROLLED)
    assert (answer.type, answer.error_code) == (stun.BINDING_ERROR, stun.ROLE_CONFLICT)
    assert answer.verify(b"our password")
    assert wire.selected() is None
    assert wire.request(A)[0].type == stun.BINDING_SUCCESS


def test_what_must_be_understood_and_is_not() -> None:
    wire = Wire()
    (answer,) = wire.request(A, extra=((0x0002, b""),))
    assert answer.error_code == 420
    assert answer.attributes[stun.UNKNOWN_ATTRIBUTES] == b"\0\2"


def test_a_check_that_is_not_answered_is_repeated_three_times() -> None:
    wire = Wire()
    wire.request(A)
    wire.agent.received(A, 1000)
    times = []
    while (due := wire.agent.next_timeout()) < math.inf:
        wire.agent.tick(due - 0.01)
        assert wire.take(A) == []
        wire.now = due
        wire.agent.tick(due)
        times.append((round(due - 100.0, 3), len(wire.take(A))))
    assert times == [(0.2, 1), (0.6, 1), (1.4, 1)]
    wire.now += 5
    assert len(wire.request(A)) == 2  # and when the peer asks again


@pytest.mark.parametrize("forgery", ["transaction", "key", "path"])
def test_forged_proofs_are_none(forgery: str) -> None:
    wire = Wire()
    _, check = wire.request(A)
    transaction = bytes(12) if forgery == "transaction" else check.transaction_id
    key = b"our password" if forgery == "key" else b"their password"
    wire.receive(stun.write_success(transaction, ("203.0.113.9", 1), key), B if forgery == "path" else A)
    assert not wire.agent.proven(A)
    assert not wire.agent.proven(B)


def test_at_most_three_bytes_for_each_that_came() -> None:
    wire = Wire()
    sent = 0
    for count in range(300):
        wire.now += 0.05
        sent += sum(len(message.data) for message in wire.request(A))
        wire.agent.tick(wire.now)
        sent += sum(len(message.data) for message in wire.take(A))
        while wire.agent.may_send(A, 500):
            sent += 500
        assert sent <= 3 * wire.received, count
    assert not wire.agent.may_send(B, 1)
    wire.agent.prove(A)
    assert wire.agent.may_send(A, 10**6)


def test_a_flood_of_requests_is_answered_in_part() -> None:
    wire = Wire()
    wire.prove(A)
    answers = sum(len(wire.request(A)) for _ in range(1000))
    assert 90 <= answers <= 100
    wire.now += 0.5
    assert sum(len(wire.request(A)) for _ in range(1000)) == 50


def test_a_flood_of_strangers_takes_nothing_from_the_peer() -> None:
    wire = Wire()
    wire.prove(A)
    for _ in range(1000):
        wire.request(B, key="guessed")
        wire.request(A, key="guessed")
    assert len(wire.request(A)) == 1
    # Who comes from a new address has to wait for its turn.
    assert wire.request(B) == []
    wire.now += 0.1
    assert len(wire.request(B)) == 2


def test_the_way_that_is_nominated_last_is_taken() -> None:
    wire = Wire()
    wire.prove(A)
    wire.agent.secure()
    wire.happened()
    wire.prove(B)
    assert wire.happened() == [PathAdded(B), PathChanged(B)]
    wire.request(A)
    assert wire.selected() == A


def test_of_several_nominated_ways_the_best_is_taken() -> None:
    wire = Wire()
    wire.prove(A, priority=HIGH)
    wire.prove(B, priority=LOW)
    assert wire.selected() == A
    for _ in range(3):  # a peer that nominates everything
        wire.request(A, priority=HIGH)
        wire.request(B, priority=LOW)
    assert wire.selected() == A
    wire.request(B, priority=LOW)  # one that has gone over to the other
    assert wire.selected() == B


def test_media_tells_which_way_the_peer_has_chosen() -> None:
    wire = Wire()
    wire.prove(A)
    wire.agent.secure()
    wire.prove(B, use=False)
    wire.agent.alive(B, 100, wire.now)
    assert wire.selected() == A  # one may have been late
    wire.agent.alive(A, 100, wire.now)
    wire.agent.alive(B, 100, wire.now)
    assert wire.selected() == A
    wire.agent.alive(B, 100, wire.now)
    assert wire.selected() == B


def test_media_never_goes_where_nobody_has_answered() -> None:
    wire = Wire()
    wire.prove(A)
    wire.agent.secure()
    _, check = wire.request(B)
    for _ in range(20):
        wire.now += 1
        wire.request(B)
        wire.agent.alive(B, 100, wire.now)
    assert wire.selected() == A
    wire.answer(check, B)
    assert wire.selected() == B


def test_replayed_requests_from_elsewhere_are_no_sign_of_life() -> None:
    wire = Wire()
    wire.prove(A)
    wire.agent.secure()
    heard = wire.agent.heard
    wire.now += 5
    wire.request(B)
    assert wire.agent.heard == heard
    wire.request(A)
    assert wire.agent.heard == wire.now


def test_tcp_is_proof_and_its_end_is_the_end_of_the_way() -> None:
    wire = Wire()
    assert len(wire.request(T)) == 1
    assert wire.agent.proven(T)
    wire.agent.secure()
    wire.prove(A, priority=LOW)
    assert wire.selected() == T
    wire.happened()
    wire.agent.remove(T)
    wire.agent.remove(T)
    assert wire.happened() == [PathRemoved(T), PathChanged(A)]
    wire.agent.remove(A)
    assert wire.selected() is None
    wire.request(T)
    assert wire.selected() == T
    assert wire.happened()[-1] == PathChanged(T)  # not connected for the first time


def test_media_by_a_new_connection_is_enough_when_the_old_way_is_lost() -> None:
    wire = Wire()
    wire.request(T)
    wire.agent.secure()
    wire.agent.remove(T)
    other = Path("tcp", T.address, 8)
    wire.request(other, use=False)
    wire.agent.alive(other, 100, wire.now)
    assert wire.selected() == other


def test_ways_are_limited_and_the_chosen_one_stays() -> None:
    wire = Wire(max_paths=4)
    wire.prove(A)
    wire.prove(B)
    wire.request(A)
    for number in range(10):
        wire.now += 1
        wire.request(Path("udp", ("198.51.100.1", number + 1)), use=False)
    assert len(wire.agent.paths) == 4
    assert {A, B} <= wire.agent.paths  # the proven one goes last
    removed = [event for event in wire.happened() if isinstance(event, PathRemoved)]
    assert len(removed) == 8
    wire.agent.expire(wire.now - 0.5)
    assert wire.agent.paths == {A, Path("udp", ("198.51.100.1", 10))}


def test_a_way_is_chosen_for_peers_that_do_not() -> None:
    wire = Wire()
    wire.request(A, use=False)
    wire.agent.use(B)
    assert wire.selected() is None
    wire.agent.use(A)
    assert wire.selected() == A
    wire.request(B, use=False)
    wire.agent.settle()
    assert wire.selected() == A
    wire.agent.prove(B)
    wire.agent.settle()
    assert wire.selected() == B


def test_restart() -> None:
    wire = Wire()
    wire.prove(A)
    wire.agent.secure()
    wire.agent.restart(local_ufrag="new", local_pwd="our new one", remote_ufrag="them2", remote_pwd="their new one")
    assert wire.ufrags() == ("ours", "new")
    wire.prove(B, use=True)  # requests of before are answered, but choose nothing
    assert wire.selected() == A
    assert wire.request(C, username="new:them2", key="our password") == []
    _, check = wire.request(C, username="new:them2", key="our new one", priority=LOW)
    assert check.username == "them2:new"
    assert wire.selected() == A
    wire.answer(check, C, "their new one")
    assert wire.selected() == C  # though the one before had a higher priority
    assert wire.ufrags() == ("new",)
    assert wire.request(A) == []


def test_only_the_first_choice_after_a_restart_counts_whatever_its_priority() -> None:
    wire = Wire()
    wire.prove(A)
    wire.agent.secure()
    wire.agent.restart(local_ufrag="new", local_pwd="our new one", remote_ufrag="them2", remote_pwd="their new one")
    checks = {}
    for path, priority in ((B, LOW), (C, HIGH)):
        _, checks[path] = wire.request(path, username="new:them2", key="our new one", priority=priority)
    wire.answer(checks[C], C, "their new one")
    assert wire.ufrags() == ("new",)
    wire.answer(checks[B], B, "their new one")
    assert wire.selected() == C


def test_restart_on_the_same_way() -> None:
    wire = Wire()
    wire.prove(A)
    wire.agent.secure()
    wire.agent.restart(local_ufrag="n1", local_pwd="p1", remote_ufrag="t1", remote_pwd="q1")
    wire.agent.restart(local_ufrag="n2", local_pwd="p2", remote_ufrag="t2", remote_pwd="q2")
    assert wire.ufrags() == ("n1", "n2")
    wire.request(A, username="n2:t2", key="p2")
    assert wire.ufrags() == ("n2",)
    assert wire.selected() == A


def test_allowance() -> None:
    allowance = Allowance(10.0, 0.0)
    assert sum(allowance.take(0.0) for _ in range(20)) == 10
    assert not allowance.take(0.05)
    assert allowance.take(0.11)
    assert sum(allowance.take(100.0) for _ in range(20)) == 10


@given(st.lists(st.tuples(st.binary(max_size=150), st.sampled_from([A, B, T])), max_size=10))
def test_any_bytes(datagrams: list[tuple[bytes, Path]]) -> None:
    wire = Wire()
    wire.prove(A)
    for data, path in datagrams:
        assert wire.receive(b"\0\1" + len(data).to_bytes(2) + b"\x21\x12\xa4\x42" + bytes(12) + data, path) == []
    assert wire.agent.paths == {A}
