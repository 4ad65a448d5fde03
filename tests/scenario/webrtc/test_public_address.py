"""The public address that a STUN server tells, on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs
from tests.support.webrtc.house import open_house

from ghostlive.core.errors import ConfigurationError
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.protocols.webrtc.server import WebRtcServer
from ghostlive.protocols.webrtc.stun import BINDING_SUCCESS, MAGIC_COOKIE, StunMessage, write_message


class _StunServer(asyncio.DatagramProtocol):
    """Answers with an address that a NAT could have."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.answers: Callable[[bytes], bytes] = _answer
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked.append(addr)
        assert self.transport is not None
        self.transport.sendto(self.answers(data), addr)


def _answer(request: bytes) -> bytes:
    port = (40000 ^ 0x2112).to_bytes(2)
    address = (int.from_bytes(socket.inet_aton("203.0.113.9")) ^ MAGIC_COOKIE).to_bytes(4)
    transaction = StunMessage.parse(request).transaction_id
    return write_message(BINDING_SUCCESS, transaction, [(0x20, b"\0\1" + port + address)])


@asynccontextmanager
async def _stun_server() -> AsyncIterator[tuple[_StunServer, str]]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        _StunServer, local_addr=("127.0.0.1", 0)
    )
    try:
        yield protocol, f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


async def test_what_the_stun_server_sees_is_announced_first() -> None:
    async with _stun_server() as (stun, address):
        config = WebRtcConfig(port=0, host="127.0.0.1", stun_server=address)
        async with open_house(config) as house, asyncio.timeout(60):
            while not house.server.addresses.learned:
                await asyncio.sleep(0)
            # It was asked through the port that peers come to.
            assert stun.asked == [("127.0.0.1", house.server.port)]
            first = house.server.local_parameters("live.example.org").candidates[0]
            assert (first.address, first.port, first.transport) == ("203.0.113.9", 40000, "udp")


@pytest.mark.parametrize("answer", [b"", b"\x01\x01", bytes(40)])
async def test_answers_that_are_none_leave_it_unknown(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ghostlive.protocols.webrtc.learning._PATIENCE", (0.05, 0.05))
    async with _stun_server() as (stun, address):
        stun.answers = lambda request: answer + request[2:20] if answer else answer
        config = WebRtcConfig(port=0, host="127.0.0.1", stun_server=address)
        with capture_logs() as logs:
            async with open_house(config) as house, asyncio.timeout(60):
                while not any(line["event"] == "the STUN server is of no use" for line in logs):
                    await asyncio.sleep(0)
                assert len(stun.asked) == 2
                assert house.server.addresses.learned == {}


@pytest.mark.parametrize("text", [":3478", "stun.example.org:x", "stun.example.org:0", "[2001:db8::1]:99999"])
def test_servers_that_are_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"webrtc\.stun_server"):
        WebRtcServer(WebRtcConfig(stun_server=text))


@pytest.mark.parametrize("text", ["stun.example.org", "stun:stun.example.org:3479", "[2001:db8::1]:3478", "::1"])
def test_servers(text: str) -> None:
    WebRtcServer(WebRtcConfig(stun_server=text))
