"""SRTP and SRTCP of one peer: keys, their derivation, and packets of the slow path.

What does not live here: encryption of media for many viewers (`fanout`).

Specifications: RFC 3711, RFC 5764 §4.2 (keys from DTLS), RFC 7714 (AES-GCM). Invariant: what a peer sends raises
`SrtpError` and nothing else.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR

from ghostlive.protocols.webrtc.errors import SrtpError

if TYPE_CHECKING:
    import pylibsrtp


class Profile(IntEnum):
    """Protection profiles, with their numbers of RFC 5764 §4.1.2 and RFC 7714 §14.2."""

    AES128_CM_SHA1_80 = 1
    AEAD_AES_128_GCM = 7

    @property
    def key_length(self) -> int:
        """Bytes of a master key, and of a cipher key."""
        return 16

    @property
    def salt_length(self) -> int:
        """Bytes of a master salt, and of a session salt."""
        return 14 if self is Profile.AES128_CM_SHA1_80 else 12

    @property
    def tag_length(self) -> int:
        """Bytes of the authentication tag behind each packet."""
        return 10 if self is Profile.AES128_CM_SHA1_80 else 16


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """Master key and salt of one direction."""

    profile: Profile
    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What the master key gives for packets of one kind."""

    cipher_key: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    auth_key: bytes = field(repr=False)
    """For HMAC-SHA1; empty with AES-GCM."""


_RTP_LABELS: Final = (0, 1, 2)
_RTCP_LABELS: Final = (3, 4, 5)


def derive(keys: SrtpKeys, *, rtcp: bool = False) -> SessionKeys:
    """The session keys for RTP, or for RTCP (RFC 3711 §4.3; a key derivation rate of 0)."""
    cipher, auth, salt = _RTCP_LABELS if rtcp else _RTP_LABELS
    profile = keys.profile
    auth_length = 20 if profile is Profile.AES128_CM_SHA1_80 else 0
    return SessionKeys(
        cipher_key=_expand(keys, cipher, profile.key_length),
        salt=_expand(keys, salt, profile.salt_length),
        auth_key=_expand(keys, auth, auth_length),
    )


def keys_from_dtls(exported: bytes, profile: Profile, *, is_client: bool) -> tuple[SrtpKeys, SrtpKeys]:
    """Split what DTLS exports into the (local, remote) keys (RFC 5764 §4.2)."""
    key, salt = profile.key_length, profile.salt_length
    client_key, server_key = exported[:key], exported[key : 2 * key]
    client_salt, server_salt = exported[2 * key : 2 * key + salt], exported[2 * key + salt : 2 * (key + salt)]
    client, server = SrtpKeys(profile, client_key, client_salt), SrtpKeys(profile, server_key, server_salt)
    return (client, server) if is_client else (server, client)


def is_rtp(data: bytes) -> bool:
    """Whether a datagram of a port that is shared with STUN and DTLS is RTP or RTCP (RFC 7983 §7)."""
    return len(data) >= 8 and 127 < data[0] < 192


class Unprotector:
    """Takes the protection off what a peer sends, and refuses what it has sent before."""

    __slots__ = ("_max_ssrcs", "_session", "_ssrcs")

    def __init__(self, keys: SrtpKeys, *, max_ssrcs: int = 64) -> None:
        """Packets of more than `max_ssrcs` senders are refused: each costs memory."""
        self._session = _session(keys, _library().Policy.SSRC_ANY_INBOUND)
        self._max_ssrcs = max_ssrcs
        self._ssrcs: set[bytes] = set()

    def rtp(self, data: bytes) -> bytes:
        """The RTP packet in clear. Raises `SrtpError`."""
        ssrc = data[8:12]
        if ssrc not in self._ssrcs:
            self._admit(ssrc)
        try:
            clear: bytes = self._session.unprotect(data)
        except (_library().Error, ValueError, TypeError) as error:
            raise SrtpError(f"an SRTP packet is refused: {error}") from None
        self._ssrcs.add(ssrc)
        return clear

    def rtcp(self, data: bytes) -> bytes:
        """The RTCP packet in clear. Raises `SrtpError`."""
        ssrc = data[4:8]
        if ssrc not in self._ssrcs:
            self._admit(ssrc)
        try:
            clear: bytes = self._session.unprotect_rtcp(data)
        except (_library().Error, ValueError, TypeError) as error:
            raise SrtpError(f"an SRTCP packet is refused: {error}") from None
        self._ssrcs.add(ssrc)
        return clear

    def _admit(self, ssrc: bytes) -> None:
        if len(ssrc) != 4:
            raise SrtpError("an SRTP packet is cut short")
        if len(self._ssrcs) >= self._max_ssrcs:
            raise SrtpError(f"the peer sends from more than {self._max_ssrcs} SSRCs")


class Protector:
    """Puts the protection on packets that go to a peer. Each packet of an SSRC may be given once."""

    __slots__ = ("_session",)

    def __init__(self, keys: SrtpKeys) -> None:
        self._session = _session(keys, _library().Policy.SSRC_ANY_OUTBOUND)

    def rtp(self, data: bytes) -> bytes:
        """The SRTP packet. Raises `SrtpError` for what is no RTP packet, too long, or given again."""
        try:
            protected: bytes = self._session.protect(data)
        except (_library().Error, ValueError, TypeError) as error:
            raise SrtpError(f"an RTP packet cannot be encrypted: {error}") from None
        return protected

    def rtcp(self, data: bytes) -> bytes:
        """The SRTCP packet. Raises `SrtpError` for what is no RTCP packet or too long."""
        try:
            protected: bytes = self._session.protect_rtcp(data)
        except (_library().Error, ValueError, TypeError) as error:
            raise SrtpError(f"an RTCP packet cannot be encrypted: {error}") from None
        return protected


@cache
def _library() -> Any:
    """Loaded with the first peer: it has an OpenSSL of its own, 4.5 MB that servers without WebRTC need not keep."""
    import pylibsrtp  # noqa: PLC0415

    return pylibsrtp


def _session(keys: SrtpKeys, direction: int) -> "pylibsrtp.Session":
    policy = _library().Policy
    profile = {
        Profile.AES128_CM_SHA1_80: policy.SRTP_PROFILE_AES128_CM_SHA1_80,
        Profile.AEAD_AES_128_GCM: policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    }[keys.profile]
    policy = policy(key=keys.key + keys.salt, ssrc_type=direction, srtp_profile=profile)
    # Packets of a wide, jittering link come late; the default of 128 would take them for replayed.
    policy.window_size = 1024
    session: pylibsrtp.Session = _library().Session(policy)
    return session


def _expand(keys: SrtpKeys, label: int, length: int) -> bytes:
    """AES in counter mode over zeros, from label ⊕ salt; a salt of 12 bytes stands in the upper ones (RFC 7714 §11)."""
    if not length:
        return b""
    counter = bytearray(keys.salt.ljust(16, b"\0"))
    counter[7] ^= label
    return Cipher(AES128(keys.key), CTR(bytes(counter))).encryptor().update(bytes(length))
