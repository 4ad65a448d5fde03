"""Commands and data messages: names with AMF values (RTMP §7.1.1, §7.1.2, §7.2), and the answers to them."""

from dataclasses import dataclass

from ghostlive.formats.flv import AUDIO_FOURCC, VIDEO_FOURCC
from ghostlive.protocols.rtmp.errors import CommandError
from ghostlive.protocols.rtmp.parser import amf0
from ghostlive.protocols.rtmp.parser.amf import Value, Writable
from ghostlive.protocols.rtmp.parser.message import Message, MessageType

_MULTITRACK = 0x02
_MOD_EX = 0x04
_TIMESTAMP_NANO_OFFSET = 0x08
_CAN_DECODE_AND_FORWARD = 0x01 | 0x04


@dataclass(frozen=True, slots=True)
class Command:
    """A remote procedure call."""

    name: str
    transaction: float
    """Names the call in its answer; 0 wants none."""
    arguments: list[Value]
    """Behind the command object, which is the first of them for `connect` only."""
    stream: int
    """Message stream id that it came on."""

    def text(self, index: int) -> str:
        """The argument at `index` if it is a string, else an empty one."""
        value = self.arguments[index] if index < len(self.arguments) else None
        return value if isinstance(value, str) else ""


def parse_command(message: Message) -> Command:
    """Read a command message (type 20, or 17 with AMF3)."""
    values = amf0.decode(_amf0_body(message))
    if not values or not isinstance(values[0], str):
        raise CommandError("a command message does not begin with the command's name")
    name = values[0]
    transaction = values[1] if len(values) > 1 and isinstance(values[1], float) else 0.0
    # `connect` is the one command with a command object of use; for all others it is null.
    return Command(name, transaction, values[2:] if name == "connect" else values[3:], message.stream)


def parse_metadata(message: Message) -> dict[str, Value] | None:
    """Read `onMetaData` from a data message (type 18, or 15 with AMF3); None when it is something else."""
    body = _amf0_body(message)
    if b"onMetaData" not in body[:40]:
        return None
    values = amf0.decode(body)
    if values and values[0] == "@setDataFrame":
        del values[0]
    if len(values) > 1 and values[0] == "onMetaData" and isinstance(values[1], dict):
        return values[1]
    return None


def command(name: str, transaction: float, *arguments: Writable, stream: int = 0) -> Message:
    """A command message."""
    return Message(MessageType.COMMAND_AMF0, stream, 0, amf0.encode(name, transaction, *arguments))


def connect_result(transaction: float, object_encoding: float) -> Message:
    """Accept `connect`, and say what of Enhanced RTMP (v2, "Enhancing NetConnection connect Command") is understood."""
    properties: dict[str, Writable] = {
        "fmsVer": "FMS/3,5,7,7009",
        "capabilities": 31,
        "mode": 1,
        "fourCcList": [fourcc.decode() for fourcc in (*VIDEO_FOURCC, *AUDIO_FOURCC)],
        "videoFourCcInfoMap": {fourcc.decode(): _CAN_DECODE_AND_FORWARD for fourcc in VIDEO_FOURCC},
        "audioFourCcInfoMap": {fourcc.decode(): _CAN_DECODE_AND_FORWARD for fourcc in AUDIO_FOURCC},
        "capsEx": _MULTITRACK | _MOD_EX | _TIMESTAMP_NANO_OFFSET,
    }
    information = status("status", "NetConnection.Connect.Success", "Connection succeeded.")
    return command("_result", transaction, properties, information | {"objectEncoding": object_encoding})


def on_status(stream: int, level: str, code: str, description: str) -> Message:
    """Tell the peer how its stream is (RTMP §7.2.2)."""
    return command("onStatus", 0, None, status(level, code, description), stream=stream)


def status(level: str, code: str, description: str) -> dict[str, Writable]:
    """The information object of results and of `onStatus`."""
    return {"level": level, "code": code, "description": description}


def _amf0_body(message: Message) -> bytes:
    # Types 15 and 17 have a format byte 0 in front of AMF0 values, which may switch to AMF3.
    if message.type in (MessageType.COMMAND_AMF3, MessageType.DATA_AMF3) and message.payload[:1] == b"\x00":
        return message.payload[1:]
    return message.payload
