"""Commands and metadata."""

import pytest

from ghostlive.protocols.rtmp.errors import CommandError
from ghostlive.protocols.rtmp.parser import amf0
from ghostlive.protocols.rtmp.parser.command import command, connect_result, parse_command, parse_metadata
from ghostlive.protocols.rtmp.parser.message import Message, MessageType, acknowledgement


def test_command_round_trip() -> None:
    parsed = parse_command(command("publish", 5, None, "show", "live", stream=1))
    assert (parsed.name, parsed.transaction, parsed.stream) == ("publish", 5.0, 1)
    assert parsed.text(0) == "show"
    assert parsed.text(7) == ""


def test_amf3_wrapper() -> None:
    message = Message(MessageType.COMMAND_AMF3, 0, 0, b"\x00" + amf0.encode("createStream", 2, None))
    assert parse_command(message).name == "createStream"


def test_commands_without_transaction() -> None:
    assert parse_command(Message(20, 0, 0, amf0.encode("onBWDone"))).transaction == 0.0


@pytest.mark.parametrize("body", [b"", amf0.encode(5), amf0.encode(None, "publish")])
def test_commands_need_a_name(body: bytes) -> None:
    with pytest.raises(CommandError):
        parse_command(Message(20, 0, 0, body))


def test_connect_result_offers_enhanced_rtmp() -> None:
    _, transaction, properties, information = amf0.decode(connect_result(1, 3.0).payload)
    assert transaction == 1.0
    assert isinstance(properties, dict)
    assert isinstance(information, dict)
    assert {"hvc1", "av01", "vp09", "avc1", "Opus", "mp4a", "fLaC"} <= set(properties["fourCcList"])  # type: ignore[arg-type]
    assert properties["capsEx"] == 14.0
    assert information["objectEncoding"] == 3.0


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (amf0.encode("@setDataFrame", "onMetaData", {"a": 1}), {"a": 1.0}),
        (amf0.encode("onMetaData", {"a": 1}), {"a": 1.0}),
        (amf0.encode("onMetaData", "text"), None),
        (amf0.encode("onTextData", {"a": 1}), None),
        (b"", None),
    ],
)
def test_metadata(body: bytes, found: dict[str, float] | None) -> None:
    assert parse_metadata(Message(MessageType.DATA_AMF0, 1, 0, body)) == found
    assert parse_metadata(Message(MessageType.DATA_AMF3, 1, 0, b"\x00" + body)) == found


def test_acknowledgements_wrap() -> None:
    assert acknowledgement(1 << 32 | 5).payload == b"\x00\x00\x00\x05"
