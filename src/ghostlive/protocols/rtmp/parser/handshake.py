"""The handshake: C0 C1 C2 against S0 S1 S2 (RTMP §5.2), plain or with digests.

Digests are Adobe's unwritten addition: C1 and S1 carry an HMAC at an offset that four of their bytes give, in one of
two layouts ("schemes"), and the answer is signed with it. Encoders that offer a digest expect one; others offer none.
What the peer answers (C2, S2) is not checked: encoders in use send anything there, and nothing depends on it.

Invariant: `receive` is called until `done`; bytes behind the handshake are left in `rest`.
"""

import hashlib
import hmac
from collections.abc import Callable

from ghostlive.protocols.rtmp.errors import HandshakeError

RandomBytes = Callable[[int], bytes]

_VERSION = 3
_SIZE = 1536
_DIGEST = 32

_PLAYER_KEY = b"Genuine Adobe Flash Player 001"
_SERVER_KEY = b"Genuine Adobe Flash Media Server 001"
_KEY_SUFFIX = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")

_SCHEME_STARTS = (772, 8)
"""Where the digest block begins: behind the key block (scheme 0), or before it (scheme 1)."""


class ServerHandshake:
    """The accepting side."""

    def __init__(self, random: RandomBytes) -> None:
        """`random` gives that many random bytes."""
        self._random = random
        self._buffer = bytearray()
        self._output = b""
        self._answered = False
        self.done = False
        self.digest = False
        """Whether the peer used digests."""

    def receive(self, data: bytes) -> None:
        """Take bytes of C0, C1 and C2."""
        self._buffer += data
        if not self._answered:
            if self._buffer:
                _check_version(self._buffer)
            if len(self._buffer) < 1 + _SIZE:
                return
            self._answer(bytes(self._buffer[1 : 1 + _SIZE]))
            del self._buffer[: 1 + _SIZE]
        if not self.done and len(self._buffer) >= _SIZE:
            del self._buffer[:_SIZE]
            self.done = True

    def data_to_send(self) -> bytes:
        """Bytes for the peer."""
        output, self._output = self._output, b""
        return output

    @property
    def rest(self) -> bytes:
        """What came behind the handshake."""
        return bytes(self._buffer) if self.done else b""

    def _answer(self, c1: bytes) -> None:
        self._answered = True
        found = find_digest(c1, _PLAYER_KEY)
        if found is None:
            # RTMP §5.2.3, §5.2.4: time, zero, random; and C1 echoed.
            s1 = bytes(8) + self._random(_SIZE - 8)
            s2 = c1
        else:
            self.digest = True
            scheme, digest = found
            s1 = sign(bytes(4) + b"\x04\x05\x00\x01" + self._random(_SIZE - 8), scheme, _SERVER_KEY)
            s2 = _sign_answer(self._random(_SIZE - _DIGEST), digest, _SERVER_KEY)
        self._output += bytes([_VERSION]) + s1 + s2


class ClientHandshake:
    """The connecting side: for tests, and for pushing to other services."""

    def __init__(self, random: RandomBytes, *, scheme: int | None = None) -> None:
        """`scheme` 0 or 1 offers a digest; None is the plain handshake."""
        self._random = random
        c1 = bytes(4) + (bytes(4) if scheme is None else b"\x0c\x00\x0d\x0e") + random(_SIZE - 8)
        if scheme is not None:
            c1 = sign(c1, scheme, _PLAYER_KEY)
        self._digest = scheme is not None
        self._output = bytes([_VERSION]) + c1
        self._buffer = bytearray()
        self.done = False
        self.verified = False
        """Whether the server answered a digest with a right one."""

    def receive(self, data: bytes) -> None:
        """Take bytes of S0, S1 and S2."""
        self._buffer += data
        if self._buffer:
            _check_version(self._buffer)
        if self.done or len(self._buffer) < 1 + 2 * _SIZE:
            return
        s1 = bytes(self._buffer[1 : 1 + _SIZE])
        found = find_digest(s1, _SERVER_KEY) if self._digest else None
        if found is None:
            self._output += s1
        else:
            self.verified = True
            self._output += _sign_answer(self._random(_SIZE - _DIGEST), found[1], _PLAYER_KEY)
        del self._buffer[: 1 + 2 * _SIZE]
        self.done = True

    def data_to_send(self) -> bytes:
        """Bytes for the peer."""
        output, self._output = self._output, b""
        return output

    @property
    def rest(self) -> bytes:
        """What came behind the handshake."""
        return bytes(self._buffer) if self.done else b""


def find_digest(packet: bytes, key: bytes) -> tuple[int, bytes] | None:
    """Return scheme and digest of a C1 or S1 that carries a right one."""
    for scheme in range(len(_SCHEME_STARTS)):
        offset = _digest_offset(packet, scheme)
        digest = packet[offset : offset + _DIGEST]
        if hmac.compare_digest(digest, _hmac(key, packet[:offset] + packet[offset + _DIGEST :])):
            return scheme, digest
    return None


def sign(packet: bytes, scheme: int, key: bytes) -> bytes:
    """Put the digest of `scheme` into a C1 or S1."""
    offset = _digest_offset(packet, scheme)
    before, behind = packet[:offset], packet[offset + _DIGEST :]
    return before + _hmac(key, before + behind) + behind


def _sign_answer(random: bytes, digest: bytes, key: bytes) -> bytes:
    return random + _hmac(_hmac(key + _KEY_SUFFIX, digest), random)


def _digest_offset(packet: bytes, scheme: int) -> int:
    start = _SCHEME_STARTS[scheme]
    return start + 4 + sum(packet[start : start + 4]) % (764 - 4 - _DIGEST)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _check_version(buffer: bytearray) -> None:
    version = buffer[0]
    if version == _VERSION:
        return
    if version == 0x16:
        raise HandshakeError("the peer speaks TLS to the RTMP port: use rtmp:// here, or the RTMPS port")
    if 0x41 <= version <= 0x5A:
        raise HandshakeError("the peer speaks HTTP or another text protocol to the RTMP port")
    if version == 6:
        raise HandshakeError("RTMPE is not supported: use RTMPS for encryption")
    raise HandshakeError(f"RTMP version {version} is not supported, only version 3")
