"""STUN messages as ICE uses them: binding requests, their answers, and the integrity of both.

What does not live here: what a request means for the session (`ice`). Attributes that ICE does not use are kept as
bytes.

Specifications: RFC 8489; RFC 8445 §16.1 for ICE's attributes. Invariant: hostile bytes raise `StunError` and nothing
else, and nothing of a message may be believed before `verify` has said yes.
"""

import hmac
import ipaddress
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from ghostlive.protocols.webrtc.errors import StunError

BINDING_REQUEST: Final = 0x0001
BINDING_INDICATION: Final = 0x0011
BINDING_SUCCESS: Final = 0x0101
BINDING_ERROR: Final = 0x0111

MAPPED_ADDRESS: Final = 0x0001
USERNAME: Final = 0x0006
MESSAGE_INTEGRITY: Final = 0x0008
ERROR_CODE: Final = 0x0009
UNKNOWN_ATTRIBUTES: Final = 0x000A
REALM: Final = 0x0014
NONCE: Final = 0x0015
MESSAGE_INTEGRITY_SHA256: Final = 0x001C
USERHASH: Final = 0x001E
XOR_MAPPED_ADDRESS: Final = 0x0020
PRIORITY: Final = 0x0024
USE_CANDIDATE: Final = 0x0025
FINGERPRINT: Final = 0x8028
ICE_CONTROLLED: Final = 0x8029
ICE_CONTROLLING: Final = 0x802A

UNKNOWN_ATTRIBUTE_ERROR: Final = 420
ROLE_CONFLICT: Final = 487

MAGIC_COOKIE: Final = 0x2112A442
_COOKIE: Final = MAGIC_COOKIE.to_bytes(4)
_FINGERPRINT_XOR: Final = 0x5354554E
_HEADER: Final = struct.Struct("!HHI12s")
_TYPE_LENGTH: Final = struct.Struct("!HH")
_HEADER_SIZE: Final = 20
_INTEGRITY_SIZE: Final = 24
_FINGERPRINT_SIZE: Final = 8
_MAX_SIZE: Final = 1500
_MAX_ATTRIBUTES: Final = 40
_MAX_USERNAME: Final = 513  # RFC 8489 §14.3: fewer than 509 bytes; browsers' are shorter than 300
# A message with one of another kind below 0x8000 may not be acted on (RFC 8489 §14).
_UNDERSTOOD: Final = frozenset(
    {
        MAPPED_ADDRESS, USERNAME, MESSAGE_INTEGRITY, ERROR_CODE, UNKNOWN_ATTRIBUTES, REALM, NONCE,
        MESSAGE_INTEGRITY_SHA256, USERHASH, XOR_MAPPED_ADDRESS, PRIORITY, USE_CANDIDATE,
    }
)  # fmt: skip


def is_stun(data: bytes) -> bool:
    """Whether a datagram of a port that is shared with DTLS and RTP is STUN (RFC 7983 §7)."""
    return len(data) >= _HEADER_SIZE and data[0] < 4 and data[4:8] == _COOKIE


@dataclass(frozen=True, slots=True)
class StunMessage:
    """A message as it was received. Attributes behind the integrity are left out, since nothing protects them."""

    type: int
    """Class and method, such as `BINDING_REQUEST`."""
    transaction_id: bytes
    attributes: Mapping[int, bytes]
    """The first of each kind."""
    data: bytes = field(repr=False)
    integrity: int = 0
    """Where in `data` the MESSAGE-INTEGRITY attribute begins; 0 if there is none."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a whole datagram. Raises `StunError`, also for a wrong FINGERPRINT."""
        size = len(data)
        if not _HEADER_SIZE <= size <= _MAX_SIZE:
            raise StunError(f"a STUN message cannot have {size} bytes")
        kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
        if kind > 0x3FFF or cookie != MAGIC_COOKIE or length != size - _HEADER_SIZE or length & 3:
            raise StunError("not a STUN message")
        attributes: dict[int, bytes] = {}
        integrity = 0
        offset = _HEADER_SIZE
        unpack = _TYPE_LENGTH.unpack_from
        while offset < size:
            attribute, length = unpack(data, offset)  # sizes are multiples of four, so that four bytes are there
            end = offset + 4 + length
            if end > size:
                raise StunError("a STUN attribute is cut short")
            if attribute == FINGERPRINT:
                if length != 4 or end != size:
                    raise StunError("a STUN fingerprint is not the last attribute")
                if int.from_bytes(data[end - 4 :]) != zlib.crc32(data[:offset]) ^ _FINGERPRINT_XOR:
                    raise StunError("a STUN fingerprint is wrong")
            elif not integrity:
                if attribute == MESSAGE_INTEGRITY:
                    if length != 20:
                        raise StunError(f"a STUN integrity has {length} bytes")
                    integrity = offset
                elif attribute not in attributes:
                    if len(attributes) == _MAX_ATTRIBUTES:
                        raise StunError("a STUN message has too many attributes")
                    attributes[attribute] = data[offset + 4 : end]
            offset = end + (-length & 3)
        return cls(kind, transaction_id, attributes, data, integrity)

    def verify(self, key: bytes) -> bool:
        """Whether the message has an integrity and it was made with `key` (the ICE password)."""
        offset = self.integrity
        if not offset:
            return False
        # What is signed ends with the integrity itself, and so does the length in its header.
        signed = b"%b%b%b" % (
            self.data[:2],
            (offset + _INTEGRITY_SIZE - _HEADER_SIZE).to_bytes(2),
            self.data[4:offset],
        )
        return hmac.compare_digest(hmac.digest(key, signed, "sha1"), self.data[offset + 4 : offset + 24])

    @property
    def username(self) -> str:
        """USERNAME; empty if there is none or it is no text."""
        value = self.attributes.get(USERNAME, b"")
        return value.decode("utf-8", "replace") if len(value) <= _MAX_USERNAME else ""

    @property
    def priority(self) -> int:
        """PRIORITY; 0 if there is none."""
        return self._number(PRIORITY, 4)

    @property
    def use_candidate(self) -> bool:
        """Whether the peer nominates the way that this request came."""
        return USE_CANDIDATE in self.attributes

    @property
    def error_code(self) -> int:
        """ERROR-CODE, 300 to 699; 0 if there is none."""
        value = self.attributes.get(ERROR_CODE, b"")
        return (value[2] & 7) * 100 + value[3] if len(value) >= 4 else 0

    @property
    def mapped_address(self) -> tuple[str, int] | None:
        """XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS of old servers. Raises `StunError` for an impossible one."""
        if (value := self.attributes.get(XOR_MAPPED_ADDRESS)) is not None:
            return _read_address(value, _COOKIE + self.transaction_id)
        if (value := self.attributes.get(MAPPED_ADDRESS)) is not None:
            return _read_address(value, bytes(16))
        return None

    def unknown_attributes(self) -> list[int]:
        """Attributes that must be understood and are not (RFC 8489 §6.3.1)."""
        return [kind for kind in self.attributes if kind < 0x8000 and kind not in _UNDERSTOOD]

    def _number(self, attribute: int, length: int) -> int:
        value = self.attributes.get(attribute, b"")
        return int.from_bytes(value) if len(value) == length else 0


def write_message(
    kind: int, transaction_id: bytes, attributes: Iterable[tuple[int, bytes]], *, key: bytes | None = None
) -> bytes:
    """A message with FINGERPRINT, and with MESSAGE-INTEGRITY if there is a `key`; the transaction id has 12 bytes."""
    body = b"".join(
        b"%b%b%b" % (_TYPE_LENGTH.pack(attribute, len(value)), value, bytes(-len(value) & 3))
        for attribute, value in attributes
    )
    return _finish(kind, transaction_id, body, key)


def write_success(transaction_id: bytes, address: tuple[str, int], key: bytes) -> bytes:
    """The answer to a binding request from `address`: 64 bytes (IPv6: 76), fewer than any request that ICE sends."""
    body = b"\0\x20" + _write_address(address, transaction_id)
    return _finish(BINDING_SUCCESS, transaction_id, body, key)


def write_error(transaction_id: bytes, code: int, key: bytes, unknown: Iterable[int] = ()) -> bytes:
    """The answer to a binding request that is refused. It carries no reason, so that it is shorter than the request."""
    attributes = [(ERROR_CODE, bytes((0, 0, code // 100, code % 100)))]
    if listed := list(unknown)[:4]:
        attributes.append((UNKNOWN_ATTRIBUTES, b"".join(kind.to_bytes(2) for kind in listed)))
    return write_message(BINDING_ERROR, transaction_id, attributes, key=key)


def _finish(kind: int, transaction_id: bytes, body: bytes, key: bytes | None) -> bytes:
    length = len(body)
    if key is not None:
        length += _INTEGRITY_SIZE
        signed = _HEADER.pack(kind, length, MAGIC_COOKIE, transaction_id) + body
        body = b"%b\0\x08\0\x14%b" % (body, hmac.digest(key, signed, "sha1"))
    message = _HEADER.pack(kind, length + _FINGERPRINT_SIZE, MAGIC_COOKIE, transaction_id) + body
    return b"%b\x80\x28\0\4%b" % (message, (zlib.crc32(message) ^ _FINGERPRINT_XOR).to_bytes(4))


def _write_address(address: tuple[str, int], transaction_id: bytes) -> bytes:
    """Length and value of XOR-MAPPED-ADDRESS (RFC 8489 §14.2)."""
    host, port = address
    packed = ipaddress.ip_address(host).packed
    if len(packed) == 4:
        number = int.from_bytes(packed) ^ MAGIC_COOKIE
        return struct.pack("!HBBHI", 8, 0, 1, port ^ 0x2112, number)
    number = int.from_bytes(packed) ^ int.from_bytes(_COOKIE + transaction_id)
    return struct.pack("!HBBH", 20, 0, 2, port ^ 0x2112) + number.to_bytes(16)


def _read_address(value: bytes, mask: bytes) -> tuple[str, int]:
    if len(value) < 8 or (value[1], len(value)) not in ((1, 8), (2, 20)):
        raise StunError("a STUN address cannot be read")
    port = int.from_bytes(value[2:4]) ^ int.from_bytes(mask[:2])
    packed = bytes(a ^ b for a, b in zip(value[4:], mask, strict=False))
    return str(ipaddress.ip_address(packed)), port
