"""DTLS of one peer, without IO: the handshake that gives the SRTP keys, and the goodbye.

OpenSSL does the handshake. Its object weighs about 90 kB, so it lives no longer than the handshake: what can be asked
of it afterwards is kept as bytes. That is the last flight, which the peer may have missed, our `close_notify`, and the
key that tells whether a `close_notify` of the peer is genuine.

OpenSSL times by its own clock; flights are repeated here instead, by the driver's. Its records get new numbers each
time, as they must: a peer may have dropped one that came too early, and would take the same number for a replay. That
is possible because nothing protects the records of epoch 0; of epoch 1 there is only `Finished`, which a peer can read
only when it can use it.

Specifications: RFC 6347 (DTLS 1.2), RFC 5764 (SRTP keys), RFC 8122 (fingerprints), RFC 5246 §6.3 and RFC 5288 (for the
peer's `close_notify`). Invariant: what a peer sends raises `DtlsError` and nothing else, and `keys` are there only when
the peer's certificate is one that its description names.
"""

import functools
import hashlib
import hmac
import math
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from OpenSSL import SSL, crypto

from ghostlive.protocols.webrtc.certificate import Certificate
from ghostlive.protocols.webrtc.errors import DtlsError
from ghostlive.protocols.webrtc.srtp import Profile, SrtpKeys, keys_from_dtls

# The first is the one that every WebRTC peer has (RFC 8827 §6.5).
_CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
)
_PROFILES: Final = {
    Profile.AEAD_AES_128_GCM: b"SRTP_AEAD_AES_128_GCM",
    Profile.AES128_CM_SHA1_80: b"SRTP_AES128_CM_SHA1_80",
}
_DTLS_1_2: Final = 0xFEFD
_RELEASE_BUFFERS: Final = 0x10
_RECORD_HEADER: Final = 13
_MAX_DATAGRAM: Final = 2048
_MAX_HANDSHAKE_BYTES: Final = 64 * 1024
"""All that one peer may send before the handshake is done; it needs about 2 kB."""
_MAX_MESSAGE: Final = 16 * 1024
_FIRST_TIMEOUT: Final = 0.25
"""RFC 6347 §4.2.4.1 has 1 s for when nothing is known of the way; here, ICE has just shown that there is one."""
_LAST_TIMEOUT: Final = 4.0
_REPEATS: Final = 20
"""How often a peer that has missed the last flight may ask for it."""
_HASHES: Final = ("sha-512", "sha-384", "sha-256")
"""What a fingerprint may be made with, the strongest first; older ones prove nothing (RFC 8122 §5)."""

_CHANGE_CIPHER_SPEC: Final = 20
_ALERT: Final = 21
_HANDSHAKE: Final = 22
_CLOSE_NOTIFY: Final = 0
_FATAL: Final = 2


def is_dtls(data: bytes) -> bool:
    """Whether a datagram of a port that is shared with STUN and RTP is DTLS (RFC 7983 §7)."""
    return len(data) >= _RECORD_HEADER and 19 < data[0] < 64


def split_records(data: bytes, mtu: int) -> list[bytes]:
    """Cut a run of records into datagrams of at most `mtu` bytes; a record that is longer by itself is left whole."""
    datagrams: list[bytes] = []
    start = offset = 0
    while offset + _RECORD_HEADER <= len(data):
        end = offset + _RECORD_HEADER + int.from_bytes(data[offset + 11 : offset + 13])
        if end - start > mtu and offset > start:
            datagrams.append(data[start:offset])
            start = offset
        offset = end
    if start < len(data):
        datagrams.append(data[start:])
    return datagrams


class _Expectation:
    """Whose certificate a handshake is to show, and what was wrong with the one that it showed."""

    __slots__ = ("complaint", "fingerprints")

    def __init__(self, fingerprints: tuple[tuple[str, bytes], ...]) -> None:
        self.fingerprints = fingerprints
        self.complaint: str | None = None
        """None as long as there is no certificate, empty if it is the right one."""

    def meets(self, certificate: crypto.X509) -> bool:
        """Whether it is the one (RFC 8122 §5: the strongest hash that both sides know decides)."""
        named = {algorithm.lower() for algorithm, _ in self.fingerprints}
        algorithm = next((algorithm for algorithm in _HASHES if algorithm in named), None)
        if algorithm is None:
            self.complaint = "the peer's description names no usable fingerprint"
            return False
        digest = bytes.fromhex(certificate.digest(algorithm.replace("-", "")).replace(b":", b"").decode())
        if any(name.lower() == algorithm and digest == value for name, value in self.fingerprints):
            self.complaint = ""
            return True
        self.complaint = "the peer's certificate is not the one that its description names"
        return False


def _verify(connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, _ok: int) -> bool:
    """Certificates are signed by themselves; only their fingerprints count. A wrong one is answered with an alert."""
    expectation = connection.get_app_data()
    return depth > 0 or (isinstance(expectation, _Expectation) and expectation.meets(certificate))


@functools.lru_cache(maxsize=16)
def _context(certificate: Certificate, profiles: tuple[Profile, ...]) -> SSL.Context:
    """What all handshakes with one certificate share."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    # Records of 1.3 are framed otherwise, and no OpenSSL that PyPI has can speak it.
    context.set_max_proto_version(_DTLS_1_2)
    context.set_cipher_list(_CIPHERS)
    context.use_certificate(certificate.certificate)
    context.use_privatekey(certificate.private_key)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(_RELEASE_BUFFERS)
    context.set_tlsext_use_srtp(b":".join(_PROFILES[profile] for profile in profiles))
    return context


@dataclass(frozen=True, slots=True)
class _Goodbye:
    """What is left of the cipher when OpenSSL's object is gone."""

    notify: tuple[bytes, ...]
    """Our `close_notify`, encrypted."""
    key: bytes = field(repr=False)
    """The peer's writing key."""
    salt: bytes = field(repr=False)

    def alert(self, record: bytes) -> tuple[int, int] | None:
        """(level, description) of an alert of the peer's; None if it is not genuine."""
        if len(record) != _RECORD_HEADER + 8 + 2 + 16 or record[11:13] != b"\0\x1a":
            return None
        additional = record[3:11] + record[:3] + b"\0\2"
        try:
            level, description = AESGCM(self.key).decrypt(self.salt + record[13:21], record[21:], additional)
        except InvalidTag:
            return None
        return level, description


class DtlsEndpoint:
    """Our end of one association. After each call the driver sends `outgoing()` and looks at `next_timeout()`."""

    __slots__ = (
        "_bytes", "_certificate", "_client", "_closed", "_connection", "_deadline", "_expectation", "_flight",
        "_goodbye", "_keys", "_mtu", "_outgoing", "_profiles", "_repeats", "_sequence", "_timeout",
    )  # fmt: skip

    def __init__(
        self,
        certificate: Certificate,
        *,
        client: bool,
        fingerprints: tuple[tuple[str, bytes], ...],
        mtu: int = 1200,
        profiles: tuple[Profile, ...] = tuple(_PROFILES),
    ) -> None:
        """`fingerprints` are the (algorithm, digest) of the peer's description, algorithms as SDP writes them."""
        self._certificate = certificate
        self._client = client
        self._expectation = _Expectation(fingerprints)
        self._mtu = mtu
        self._profiles = profiles
        self._connection: SSL.Connection | None = None
        self._outgoing: list[bytes] = []
        self._flight: list[bytes] = []
        self._deadline = math.inf
        self._timeout = _FIRST_TIMEOUT
        self._bytes = 0
        self._repeats = 0
        self._sequence = 0
        self._keys: tuple[SrtpKeys, SrtpKeys] | None = None
        self._goodbye: _Goodbye | None = None
        self._closed = False

    @property
    def established(self) -> bool:
        """Whether the handshake is done and the peer is the right one."""
        return self._keys is not None

    @property
    def keys(self) -> tuple[SrtpKeys, SrtpKeys]:
        """(local, remote) keys, once it is established."""
        if self._keys is None:
            raise DtlsError("the DTLS handshake is not done")
        return self._keys

    @property
    def client(self) -> bool:
        """Whether we begin."""
        return self._client

    @property
    def closed(self) -> bool:
        """Whether the peer has said goodbye, or we have."""
        return self._closed

    def next_timeout(self) -> float:
        """When `tick` is due; infinite if nothing is waited for."""
        return self._deadline

    def start(self, now: float) -> None:
        """Begin, as the client; the server waits."""
        if self._client and self._connection is None:
            self._connect()
            self._proceed(now)

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a datagram. Raises `DtlsError` if the handshake has failed."""
        if self._closed or len(datagram) < _RECORD_HEADER:
            return
        if self._keys is not None:
            self._after(datagram)
            return
        if len(datagram) > _MAX_DATAGRAM or not _plausible(datagram):
            return
        self._bytes += len(datagram)
        if self._bytes > _MAX_HANDSHAKE_BYTES:
            self._fail(f"the peer has sent more than {_MAX_HANDSHAKE_BYTES} bytes without completing it")
        if self._connection is None:
            if self._client:
                return
            self._connect()
        assert self._connection is not None
        self._connection.bio_write(datagram)
        self._proceed(now)

    def tick(self, now: float) -> None:
        """Repeat the flight that the peer has not answered in time."""
        if now < self._deadline:
            return
        self._timeout = min(2 * self._timeout, _LAST_TIMEOUT)
        self.repeat(now)

    def repeat(self, now: float) -> None:
        """Send the last flight again at once: it is known to have got lost."""
        if self._deadline < math.inf:
            self._deadline = now + self._timeout
            self._send(self._flight)

    def outgoing(self) -> list[bytes]:
        """Datagrams to send, since the last call."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def close(self) -> None:
        """Say goodbye, if there is somebody to hear it."""
        if self._goodbye is not None and not self._closed:
            self._outgoing += self._goodbye.notify
        self._closed = True
        self._release()

    def _connect(self) -> None:
        connection = self._connection = SSL.Connection(_context(self._certificate, self._profiles), None)
        connection.set_app_data(self._expectation)
        connection.set_ciphertext_mtu(self._mtu)
        if self._client:
            connection.set_connect_state()
        else:
            connection.set_accept_state()

    def _proceed(self, now: float) -> None:
        """Let OpenSSL work on what it has been given."""
        connection = self._connection
        assert connection is not None
        error = ""
        done = False
        try:
            connection.do_handshake()
            done = True
        except SSL.WantReadError:
            pass
        except SSL.Error as failure:
            error = self._expectation.complaint or _words(failure)
        if flight := self._drain():
            self._send(flight)
            self._flight = flight
            self._timeout = _FIRST_TIMEOUT
            self._deadline = now + self._timeout
        if error:
            self._fail(error)
        if done:
            self._complete(connection)

    def _drain(self) -> list[bytes]:
        """What OpenSSL wants to be sent. A memory BIO joins its datagrams; records keep their own length."""
        connection = self._connection
        assert connection is not None
        pieces = []
        try:
            while True:
                pieces.append(connection.bio_read(65536))
        except SSL.WantReadError:
            return split_records(b"".join(pieces), self._mtu)

    def _send(self, flight: list[bytes]) -> None:
        """Number the records of epoch 0 anew."""
        for datagram in flight:
            records = bytearray(datagram)
            offset = 0
            while offset < len(records):
                if records[offset + 3 : offset + 5] == b"\0\0":
                    records[offset + 5 : offset + 11] = self._sequence.to_bytes(6)
                    self._sequence += 1
                offset += _RECORD_HEADER + int.from_bytes(records[offset + 11 : offset + 13])
            self._outgoing.append(bytes(records))

    def _complete(self, connection: SSL.Connection) -> None:
        if self._expectation.complaint != "":
            self._fail(self._expectation.complaint or "the peer has shown no certificate")
        selected = connection.get_selected_srtp_profile()
        profile = next((profile for profile, name in _PROFILES.items() if name == selected), None)
        if profile is None:
            self._fail("the peer knows no SRTP profile that is known here")
        length = 2 * (profile.key_length + profile.salt_length)
        exported = connection.export_keying_material(b"EXTRACTOR-dtls_srtp", length)
        self._keys = keys_from_dtls(exported, profile, is_client=self._client)
        with suppress(SSL.Error):
            connection.shutdown()
        self._goodbye = _Goodbye(tuple(self._drain()), *_peer_writing_key(connection, peer_is_client=not self._client))
        self._deadline = math.inf
        if self._client:
            # The server has our last flight, since it has answered.
            self._flight = []
        self._release()

    def _after(self, datagram: bytes) -> None:
        """A datagram behind the handshake: a repetition, an alert, or data channels, which nobody has asked for."""
        kind, epoch = datagram[0], datagram[3:5]
        if kind in (_HANDSHAKE, _CHANGE_CIPHER_SPEC):
            # Answered by no more than it has bytes: anybody may have sent it.
            size = sum(map(len, self._flight))
            if size and size <= len(datagram) and self._repeats < _REPEATS:
                self._repeats += 1
                self._send(self._flight)
        elif kind == _ALERT and epoch == b"\0\1" and self._goodbye is not None:
            alert = self._goodbye.alert(datagram)
            if alert is not None and (alert[1] == _CLOSE_NOTIFY or alert[0] == _FATAL):
                self._closed = True

    def _fail(self, reason: str) -> NoReturn:
        self._closed = True
        self._keys = None
        self._deadline = math.inf
        self._release()
        raise DtlsError(f"the DTLS handshake failed: {reason}")

    def _release(self) -> None:
        self._connection = None
        if self._closed:
            self._flight = []
            self._deadline = math.inf


def _plausible(datagram: bytes) -> bool:
    """Whether a datagram consists of records, and its messages are no longer than a handshake's are.

    OpenSSL reserves memory for what a message says of its length, when the first bytes of it come.
    """
    offset = 0
    while offset < len(datagram):
        body = offset + _RECORD_HEADER
        if body > len(datagram) or datagram[offset + 1] != 0xFE:
            return False
        end = body + int.from_bytes(datagram[offset + 11 : body])
        if end > len(datagram):
            return False
        if datagram[offset] == _HANDSHAKE and datagram[offset + 3 : offset + 5] == b"\0\0":
            while body < end:
                if body + 12 > end or int.from_bytes(datagram[body + 1 : body + 4]) > _MAX_MESSAGE:
                    return False
                body += 12 + int.from_bytes(datagram[body + 9 : body + 12])
        offset = end
    return True


def _peer_writing_key(connection: SSL.Connection, *, peer_is_client: bool) -> tuple[bytes, bytes]:
    """Key and salt of the records that the peer writes (RFC 5246 §6.3): AES-GCM has no keys for integrity."""
    name = connection.get_cipher_name() or ""
    digest = hashlib.sha384 if name.endswith("SHA384") else hashlib.sha256
    key, salt = 32 if "AES256" in name else 16, 4
    master, client, server = connection.master_key(), connection.client_random(), connection.server_random()
    if master is None or client is None or server is None:
        raise DtlsError("the DTLS handshake failed: there is no master key")
    seed = b"key expansion" + server + client
    block = b""
    chain = seed
    while len(block) < 2 * (key + salt):
        chain = hmac.digest(master, chain, digest)
        block += hmac.digest(master, chain + seed, digest)
    if peer_is_client:
        return block[:key], block[2 * key : 2 * key + salt]
    return block[key : 2 * key], block[2 * key + salt : 2 * (key + salt)]


def _words(failure: SSL.Error) -> str:
    """OpenSSL's reasons, such as `no shared cipher`."""
    reasons = failure.args[0] if failure.args else ()
    if isinstance(reasons, list):
        return ", ".join(str(reason[-1]) for reason in reasons if reason) or "OpenSSL gives no reason"
    return str(reasons) or "OpenSSL gives no reason"
