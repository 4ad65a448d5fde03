"""STUN messages: the vectors of RFC 5769, what is written, and what is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.protocols.webrtc import stun
from ghostlive.protocols.webrtc.errors import StunError
from ghostlive.protocols.webrtc.stun import StunMessage

KEY = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff"
    "80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
RESPONSE_4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
RESPONSE_6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f179"
    "bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c"
)


def request(*attributes: tuple[int, bytes], key: bytes | None = KEY) -> bytes:
    return stun.write_message(stun.BINDING_REQUEST, TRANSACTION, attributes, key=key)


def with_length(data: bytes) -> bytes:
    return data[:2] + (len(data) - 20).to_bytes(2) + data[4:]


def test_request_of_rfc_5769() -> None:
    message = StunMessage.parse(REQUEST)
    assert message.type == stun.BINDING_REQUEST
    assert message.transaction_id == TRANSACTION
    assert message.username == "evtj:h6vY"
    assert message.priority == 0x6E0001FF
    assert message.attributes[stun.ICE_CONTROLLED] == bytes.fromhex("932ff9b151263b36")
    assert not message.use_candidate
    assert message.verify(KEY)
    assert not message.verify(KEY + b"x")


@pytest.mark.parametrize(
    ("data", "address"),
    [(RESPONSE_4, ("192.0.2.1", 32853)), (RESPONSE_6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853))],
)
def test_responses_of_rfc_5769(data: bytes, address: tuple[str, int]) -> None:
    message = StunMessage.parse(data)
    assert message.type == stun.BINDING_SUCCESS
    assert message.mapped_address == address
    assert message.verify(KEY)
    written = stun.write_success(TRANSACTION, address, KEY)
    assert StunMessage.parse(written).attributes[stun.XOR_MAPPED_ADDRESS] == message.attributes[stun.XOR_MAPPED_ADDRESS]
    assert StunMessage.parse(written).verify(KEY)


def test_what_is_written_is_read() -> None:
    attributes = [
        (stun.USERNAME, b"abc:defgh"),
        (stun.PRIORITY, b"\1\2\3\4"),
        (stun.USE_CANDIDATE, b""),
        (stun.ICE_CONTROLLING, b"12345678"),
        (0xC057, b"\0\1\0\x0a"),
    ]
    message = StunMessage.parse(request(*attributes))
    assert list(message.attributes.items()) == attributes
    assert message.use_candidate
    assert message.verify(KEY)
    assert message.unknown_attributes() == []


def test_an_answer_is_shorter_than_the_shortest_request_of_ice() -> None:
    shortest = request((stun.USERNAME, b"abcd:efgh"), (stun.PRIORITY, bytes(4)), (stun.ICE_CONTROLLING, bytes(8)))
    assert len(stun.write_success(TRANSACTION, ("192.0.2.1", 1), KEY)) == 64
    assert len(stun.write_success(TRANSACTION, ("2001:db8::1", 1), KEY)) == 76 <= len(shortest)
    assert len(stun.write_error(TRANSACTION, stun.ROLE_CONFLICT, KEY)) <= 64
    assert len(stun.write_error(TRANSACTION, 420, KEY, range(1000))) <= len(shortest)


def test_errors() -> None:
    message = StunMessage.parse(stun.write_error(TRANSACTION, stun.ROLE_CONFLICT, KEY))
    assert message.type == stun.BINDING_ERROR
    assert message.error_code == 487
    assert message.verify(KEY)
    message = StunMessage.parse(stun.write_error(TRANSACTION, 420, KEY, [0x0003, 0x0022]))
    assert message.attributes[stun.UNKNOWN_ATTRIBUTES] == b"\0\3\0\x22"
    assert StunMessage.parse(RESPONSE_4).error_code == 0


def test_attributes_that_must_be_understood() -> None:
    message = StunMessage.parse(request((0x0003, b""), (0x8003, b""), (stun.USERNAME, b"a:b"), (0x7777, b"1234")))
    assert message.unknown_attributes() == [0x0003, 0x7777]


def test_without_integrity_nothing_verifies() -> None:
    message = StunMessage.parse(request((stun.USERNAME, b"a:b"), key=None))
    assert not message.verify(KEY)
    assert not message.verify(b"")


def test_what_stands_behind_the_integrity_is_not_believed() -> None:
    whole = request((stun.USERNAME, b"a:b"))[:-8]  # without its fingerprint
    message = StunMessage.parse(with_length(whole + b"\0\x25\0\0"))
    assert message.verify(KEY)
    assert not message.use_candidate


def test_each_changed_byte_is_noticed() -> None:
    data = request((stun.USERNAME, b"abcd:efgh"), (stun.PRIORITY, bytes(4)), (stun.USE_CANDIDATE, b""))
    for position in range(len(data) - 8):  # without the fingerprint
        changed = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        with pytest.raises(StunError):
            StunMessage.parse(changed)
        unsigned = with_length(changed[:-8])  # an attacker can make a fingerprint, or leave it out
        try:
            message = StunMessage.parse(unsigned)
        except StunError:
            continue
        if position not in (2, 3):  # the length, which was set right
            assert not message.verify(KEY), position


@pytest.mark.parametrize(
    "data",
    [
        b"",
        REQUEST[:19],
        REQUEST[:-1],
        REQUEST + b"\0\0\0\0",
        REQUEST[:4] + b"\0\0\0\0" + REQUEST[8:],
        b"\x40" + REQUEST[1:],
        with_length(REQUEST[:20] + b"\0\6\0\5abcd"),
        with_length(REQUEST[:20] + b"\0\6\xff\xff"),
        with_length(REQUEST[:20] + b"\0\x08\0\4abcd"),
        with_length(REQUEST[:20] + b"\x80\x28\0\4abcd" + b"\0\x25\0\0"),
        with_length(REQUEST[:20] + b"\x80\x28\0\0"),
        with_length(REQUEST[:20] + b"".join(kind.to_bytes(2) + b"\0\0" for kind in range(0x9000, 0x9029))),
        with_length(REQUEST[:20] + bytes(4) * 400),
    ],
)
def test_broken_messages_are_refused(data: bytes) -> None:
    with pytest.raises(StunError):
        StunMessage.parse(data)


@pytest.mark.parametrize("value", [b"", b"\0\1\0\0", b"\0\3" + bytes(6), b"\0\1" + bytes(18), b"\0\2" + bytes(6)])
def test_impossible_addresses_are_refused(value: bytes) -> None:
    message = StunMessage.parse(
        stun.write_message(stun.BINDING_SUCCESS, TRANSACTION, [(stun.XOR_MAPPED_ADDRESS, value)])
    )
    with pytest.raises(StunError):
        _ = message.mapped_address


def test_addresses_of_old_servers() -> None:
    value = b"\0\1\x12\x34\xc0\0\2\1"
    message = StunMessage.parse(stun.write_message(stun.BINDING_SUCCESS, TRANSACTION, [(stun.MAPPED_ADDRESS, value)]))
    assert message.mapped_address == ("192.0.2.1", 0x1234)
    assert StunMessage.parse(REQUEST).mapped_address is None


@given(st.binary(max_size=120), st.booleans())
def test_any_bytes(data: bytes, framed: bool) -> None:
    if framed:
        data = b"\0\1" + len(data).to_bytes(2) + REQUEST[4:20] + data
    stun.is_stun(data)
    try:
        message = StunMessage.parse(data)
    except StunError:
        return
    assert not message.verify(KEY)
    assert isinstance(message.username, str)
    assert (message.priority, message.error_code, message.use_candidate) is not None
    message.unknown_attributes()
    with contextlib.suppress(StunError):
        _ = message.mapped_address
