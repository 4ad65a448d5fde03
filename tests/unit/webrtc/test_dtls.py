"""Handshakes between two ends, in memory: both roles, both profiles, lost, late and forged datagrams."""

import gc
import hashlib
import itertools
import math
import random
from collections.abc import Callable, Iterable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from ghostlive.protocols.webrtc.certificate import Certificate
from ghostlive.protocols.webrtc.dtls import DtlsEndpoint, is_dtls, split_records
from ghostlive.protocols.webrtc.errors import DtlsError
from ghostlive.protocols.webrtc.srtp import Profile

SERVER = Certificate.generate()
CLIENT = Certificate.generate()
BOTH = (Profile.AEAD_AES_128_GCM, Profile.AES128_CM_SHA1_80)


def digest(certificate: x509.Certificate, algorithm: str = "sha256") -> bytes:
    return hashlib.new(algorithm, certificate.public_bytes(Encoding.DER)).digest()


def fingerprints(certificate: Certificate) -> tuple[tuple[str, bytes], ...]:
    return (("sha-256", digest(certificate.certificate)),)


def ends(
    *, mtu: int = 1200, profiles: tuple[Profile, ...] = BOTH, expected: tuple[tuple[str, bytes], ...] | None = None
) -> tuple[DtlsEndpoint, DtlsEndpoint]:
    """A client and a server; `expected` are the fingerprints that the server has been told."""
    client = DtlsEndpoint(CLIENT, client=True, fingerprints=fingerprints(SERVER), mtu=mtu, profiles=profiles)
    server = DtlsEndpoint(SERVER, client=False, fingerprints=expected or fingerprints(CLIENT), mtu=mtu)
    return client, server


Mangle = Callable[[list[bytes]], Iterable[bytes]]


def shake(client: DtlsEndpoint, server: DtlsEndpoint, mangle: Mangle = list, limit: float = 60.0) -> float:
    """Exchange datagrams until both are done; the seconds that it took. `mangle` changes what is under way."""
    now = 0.0
    client.start(now)
    while now < limit:
        moved = False
        for sender, receiver in ((client, server), (server, client)):
            datagrams = sender.outgoing()
            moved = moved or bool(datagrams)
            for datagram in mangle(datagrams):
                receiver.receive(datagram, now)
        if client.established and server.established and not moved:
            return now
        if not moved:
            now = min(client.next_timeout(), server.next_timeout())
            client.tick(now)
            server.tick(now)
    raise AssertionError("the handshake is not done")


@pytest.mark.parametrize("profile", BOTH)
def test_both_have_the_same_keys(profile: Profile) -> None:
    client, server = ends(profiles=(profile,))
    assert shake(client, server) == 0.0
    assert client.keys == server.keys[::-1]
    assert client.keys[0].profile is profile
    assert client.keys[0] != client.keys[1]
    assert client.client
    assert not server.client


def test_the_best_common_profile_is_taken() -> None:
    client, server = ends(profiles=BOTH[::-1])
    shake(client, server)
    assert server.keys[0].profile in BOTH


def test_without_keys_there_are_none() -> None:
    client, server = ends()
    with pytest.raises(DtlsError, match="not done"):
        _ = client.keys
    server.start(0.0)  # the server waits
    assert server.outgoing() == []
    assert server.next_timeout() == math.inf
    client.receive(b"\x16\xfe\xff" + bytes(10), 0.0)  # nor does a client listen before it has begun
    assert client.outgoing() == []


def test_the_object_of_openssl_goes_when_the_handshake_is_done() -> None:
    client, server = ends()
    # By its type: what another test has left may be a proxy of what is no more, which does not say what it is.
    before = sum(type(thing) is SSL.Connection for thing in gc.get_objects())
    client.start(0.0)
    server.receive(client.outgoing()[0], 0.0)
    assert sum(type(thing) is SSL.Connection for thing in gc.get_objects()) == before + 2
    for sender, receiver in ((server, client), (client, server), (server, client)):
        for datagram in sender.outgoing():
            receiver.receive(datagram, 0.0)
    assert client.established
    assert server.established
    assert sum(type(thing) is SSL.Connection for thing in gc.get_objects()) == before


@pytest.mark.parametrize("mtu", [300, 1200])
def test_datagrams_keep_to_the_mtu(mtu: int) -> None:
    client, server = ends(mtu=mtu)
    sizes: list[int] = []

    def watch(datagrams: list[bytes]) -> list[bytes]:
        sizes.extend(map(len, datagrams))
        return datagrams

    shake(client, server, watch)
    assert max(sizes) <= mtu
    assert len(sizes) == (4 if mtu == 1200 else 7)


def test_fragments_may_come_in_any_order() -> None:
    for seed in range(30):
        client, server = ends(mtu=300)
        shuffle = random.Random(seed)
        shake(client, server, lambda datagrams, shuffle=shuffle: shuffle.sample(datagrams, len(datagrams)))  # type: ignore[misc]
        assert client.keys == server.keys[::-1]


def test_lost_and_repeated_datagrams() -> None:
    for seed in range(60):
        client, server = ends(mtu=300 if seed % 2 else 1200)
        dice = random.Random(seed)

        def mangle(datagrams: list[bytes], dice: random.Random = dice) -> list[bytes]:
            return [datagram for datagram in datagrams for _ in range(dice.choice((0, 1, 1, 1, 2)))]

        shake(client, server, mangle)
        assert client.keys == server.keys[::-1]


def test_each_datagram_may_be_the_one_that_is_lost() -> None:
    for lost in range(4):
        client, server = ends()
        count = itertools.count()
        seconds = shake(
            client, server, lambda datagrams, lost=lost, count=count: [d for d in datagrams if next(count) != lost]  # type: ignore[misc]
        )  # fmt: skip
        assert seconds == 0.25, lost  # the first timeout, once


def test_a_silent_peer_hears_less_and_less() -> None:
    client, _ = ends()
    now, times = 0.0, []
    client.start(now)
    while now < 30.0:
        if client.outgoing():
            times.append(now)
        now = client.next_timeout()
        client.tick(now)
    assert times[:5] == [0.0, 0.25, 0.75, 1.75, 3.75]
    assert len(times) == 11
    client.tick(now - 0.1)
    assert len(client.outgoing()) == 1  # not twice


def test_repeated_records_have_new_numbers() -> None:
    client, _ = ends()
    client.start(0.0)
    client.tick(0.25)
    first, second = client.outgoing()
    assert first[:5] + first[11:] == second[:5] + second[11:]
    assert first[5:11] < second[5:11]


def test_another_certificate_is_refused() -> None:
    client, server = ends(expected=fingerprints(SERVER))
    with pytest.raises(DtlsError, match="certificate is not the one"):
        shake(client, server)
    assert not server.established
    assert server.closed
    assert server.next_timeout() == math.inf
    (alert,) = server.outgoing()
    with pytest.raises(DtlsError, match="alert"):
        client.receive(alert, 0.0)
    server.receive(b"\x16" * 100, 0.0)
    assert server.outgoing() == []


@pytest.mark.parametrize("algorithm", ["sha-256", "SHA-384", "sha-512"])
def test_stronger_hashes(algorithm: str) -> None:
    value = digest(CLIENT.certificate, algorithm.lower().replace("-", ""))
    client, server = ends(expected=(("sha-1", bytes(20)), (algorithm, value)))
    shake(client, server)


def test_the_strongest_hash_decides() -> None:
    right = digest(CLIENT.certificate)
    client, server = ends(expected=(("sha-256", right), ("sha-512", bytes(64))))
    with pytest.raises(DtlsError, match="certificate is not the one"):
        shake(client, server)
    client, server = ends(expected=(("sha-256", bytes(32)), ("sha-256", right)))
    shake(client, server)


@pytest.mark.parametrize("algorithm", ["sha-1", "md5", "none", ""])
def test_weak_hashes_prove_nothing(algorithm: str) -> None:
    client, server = ends(expected=((algorithm, hashlib.sha1(b"").digest()),))
    with pytest.raises(DtlsError, match="no usable fingerprint"):
        shake(client, server)


def foreign(suite: bytes = b"DEFAULT", **options: bool) -> SSL.Connection:
    """A client that is not ours."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_cipher_list(suite)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    if options.get("certificate", True):
        context.use_certificate(CLIENT.certificate)
        context.use_privatekey(CLIENT.private_key)
    if options.get("srtp", True):
        context.set_tlsext_use_srtp(
            b"SRTP_AEAD_AES_128_GCM" if options.get("known", True) else b"SRTP_AES128_CM_SHA1_32"
        )
    if options.get("old", False):
        context.set_max_proto_version(0xFEFF)
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
    connection = SSL.Connection(context, None)
    connection.set_ciphertext_mtu(1200)
    connection.set_connect_state()
    return connection


def shake_foreign(connection: SSL.Connection, server: DtlsEndpoint) -> None:
    for _ in range(4):
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            pass
        except SSL.Error:
            return
        while True:
            try:
                data = connection.bio_read(65536)
            except SSL.WantReadError:
                break
            for datagram in split_records(data, 1200):
                server.receive(datagram, 0.0)
        for datagram in server.outgoing():
            connection.bio_write(datagram)


def test_a_client_of_another_make() -> None:
    _, server = ends()
    shake_foreign(foreign(), server)
    assert server.established


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"certificate": False}, "peer did not return a certificate"),
        ({"srtp": False}, "no SRTP profile"),
        ({"known": False}, "no SRTP profile"),
        ({"old": True}, "protocol|version|cipher"),
    ],
)
def test_clients_that_cannot_be_served(options: dict[str, bool], words: str) -> None:
    _, server = ends()
    with pytest.raises(DtlsError, match=words):
        shake_foreign(foreign(b"DEFAULT", **options), server)
    assert server.closed


def test_goodbye_is_heard_by_both() -> None:
    for first in (0, 1):
        pair = ends()
        shake(*pair)
        leaver, other = pair[first], pair[1 - first]
        leaver.close()
        (goodbye,) = leaver.outgoing()
        for position in range(len(goodbye)):  # of which no byte can be forged
            other.receive(goodbye[:position] + bytes([goodbye[position] ^ 1]) + goodbye[position + 1 :], 0.0)
        other.receive(goodbye[:-1], 0.0)
        early = other.closed
        other.receive(goodbye, 0.0)
        assert (early, other.closed) == (False, True)
        leaver.close()
        assert leaver.outgoing() == []


def test_goodbye_of_another_make() -> None:
    for suite in (b"ECDHE-ECDSA-AES128-GCM-SHA256", b"ECDHE-ECDSA-AES256-GCM-SHA384"):
        _, server = ends()
        connection = foreign(suite)
        shake_foreign(connection, server)
        assert connection.get_cipher_name() == suite.decode()
        connection.shutdown()
        server.receive(connection.bio_read(1000), 0.0)
        assert server.closed, suite


def test_our_goodbye_is_understood_by_another_make() -> None:
    _, server = ends()
    connection = foreign()
    shake_foreign(connection, server)
    server.close()
    (goodbye,) = server.outgoing()
    connection.bio_write(goodbye)
    with pytest.raises(SSL.ZeroReturnError):
        connection.recv(1)


def test_before_the_handshake_nobody_hears_a_goodbye() -> None:
    client, server = ends()
    client.start(0.0)
    client.outgoing()
    client.close()
    server.close()
    assert client.outgoing() == server.outgoing() == []
    assert client.next_timeout() == math.inf


def test_the_last_flight_is_repeated_for_those_who_ask_but_not_for_ever() -> None:
    client, server = ends()
    flights: list[list[bytes]] = []

    def record(datagrams: list[bytes]) -> list[bytes]:
        if datagrams:
            flights.append(datagrams)
        return datagrams

    shake(client, server, record)
    question, answer = flights[2], flights[3]
    asked = received = 0
    for _ in range(40):
        for datagram in question:
            asked += len(datagram)
            server.receive(datagram, 1.0)
        received += sum(map(len, server.outgoing()))
    assert sum(map(len, answer)) * 20 == received < asked
    server.receive(question[0][:30], 1.0)
    client.receive(answer[0], 1.0)
    assert client.outgoing() == server.outgoing() == []


def test_data_channels_and_unknown_records_are_left_alone() -> None:
    client, server = ends()
    shake(client, server)
    for kind in (20, 21, 22, 23, 24, 63):
        server.receive(bytes([kind]) + b"\xfe\xfd\0\1" + bytes(20), 1.0)
    assert not server.closed
    assert server.outgoing() == []


def test_a_message_that_says_it_is_huge_reserves_nothing() -> None:
    _, server = ends()
    hello = b"\1" + (90_000).to_bytes(3) + b"\0\0" + bytes(3) + (10).to_bytes(3) + bytes(10)
    server.receive(b"\x16\xfe\xff\0\0" + bytes(6) + len(hello).to_bytes(2) + hello, 0.0)
    assert server.outgoing() == []
    assert not server.closed


def test_only_so_many_bytes() -> None:
    client, server = ends(mtu=400)
    client.start(0.0)
    (hello,) = client.outgoing()
    for _ in range(65536 // len(hello)):
        server.receive(hello, 0.0)
    with pytest.raises(DtlsError, match="more than 65536 bytes"):
        server.receive(hello, 0.0)
    assert server.closed


def test_garbage_between_the_datagrams_does_no_harm() -> None:
    dice = random.Random(5)

    def mangle(datagrams: list[bytes]) -> list[bytes]:
        garbage = [b"\x16" + dice.randbytes(40), dice.randbytes(1400), b"", b"\x17\xfe\xfd" + bytes(10), bytes(3000)]
        return [thing for datagram in datagrams for thing in (*garbage, datagram, datagram[:-1])]

    client, server = ends()
    shake(client, server, mangle)


def test_splitting() -> None:
    def record(size: int) -> bytes:
        return b"\x16\xfe\xfd" + bytes(8) + size.to_bytes(2) + b"x" * size

    assert split_records(b"", 1200) == []
    run = [record(100), record(100), record(1100), record(2000), record(5)]
    assert split_records(b"".join(run), 1200) == [run[0] + run[1], run[2], run[3], run[4]]
    assert split_records(run[0] + b"\x16", 50) == [run[0] + b"\x16"]


def test_what_is_dtls() -> None:
    assert is_dtls(b"\x16" + bytes(12))
    assert not is_dtls(b"\x16")
    assert not is_dtls(b"\x80" + bytes(20))


@given(st.lists(st.binary(max_size=80), max_size=5), st.booleans(), st.booleans())
def test_any_bytes(pieces: list[bytes], framed: bool, begun: bool) -> None:
    client, server = ends()
    client.start(0.0)
    if begun:
        for datagram in client.outgoing():
            server.receive(datagram, 0.0)
    try:
        for piece in pieces:
            datagram = b"\x16\xfe\xfd" + bytes(8) + len(piece).to_bytes(2) + piece if framed else piece
            server.receive(datagram, 0.0)
    except DtlsError:
        assert server.closed
    assert not server.established
    server.outgoing()
