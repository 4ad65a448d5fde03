"""Messages: what the chunk stream carries (RTMP §5.4, §6, §7), and the bodies of the short ones."""

from dataclasses import dataclass
from enum import IntEnum

from ghostlive.protocols.rtmp.errors import ProtocolError


class MessageType(IntEnum):
    """Message type ids."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_SIZE = 5
    PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    SHARED_OBJECT_AMF3 = 16
    COMMAND_AMF3 = 17
    DATA_AMF0 = 18
    SHARED_OBJECT_AMF0 = 19
    COMMAND_AMF0 = 20
    AGGREGATE = 22


class UserControl(IntEnum):
    """Event types of user control messages (RTMP §7.1.7)."""

    STREAM_BEGIN = 0
    STREAM_EOF = 1
    SET_BUFFER_LENGTH = 3
    PING_REQUEST = 6
    PING_RESPONSE = 7


@dataclass(slots=True, eq=False)
class Message:
    """One message. Treat it as immutable; it is not frozen because one is built for each picture."""

    type: int
    stream: int
    """Message stream id."""
    timestamp: int
    """Milliseconds, 32 bits, wrapping."""
    payload: bytes


def number(payload: bytes) -> int:
    """The 32-bit number that a control message (types 1, 2, 3, 5, 6) begins with."""
    if len(payload) < 4:
        raise ProtocolError("an RTMP control message is too short")
    return int.from_bytes(payload[:4], "big")


def set_chunk_size(size: int) -> Message:
    """Announce the chunk size of what follows."""
    return Message(MessageType.SET_CHUNK_SIZE, 0, 0, size.to_bytes(4, "big"))


def acknowledgement(received: int) -> Message:
    """Say how many bytes came so far (mod 2^32)."""
    return Message(MessageType.ACKNOWLEDGEMENT, 0, 0, (received & 0xFFFFFFFF).to_bytes(4, "big"))


def window_size(size: int) -> Message:
    """Ask for an acknowledgement each `size` bytes."""
    return Message(MessageType.WINDOW_SIZE, 0, 0, size.to_bytes(4, "big"))


def peer_bandwidth(size: int) -> Message:
    """Limit what the peer may send without acknowledgement; 2 is the limit type "dynamic"."""
    return Message(MessageType.PEER_BANDWIDTH, 0, 0, size.to_bytes(4, "big") + b"\x02")


def user_control(event: UserControl, value: bytes | int) -> Message:
    """A user control message, with a stream id or the peer's own bytes."""
    body = value if isinstance(value, bytes) else value.to_bytes(4, "big")
    return Message(MessageType.USER_CONTROL, 0, 0, event.to_bytes(2, "big") + body)
