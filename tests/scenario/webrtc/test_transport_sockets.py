"""The test client on real sockets, by UDP and by ICE-TCP, against a peer on loopback."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.support.webrtc.client import TestPeer, candidates, connect, offer
from tests.support.webrtc.pair import make_pair
from tests.support.webrtc.peer_server import PeerServer, Transport, peer_server
from tests.support.webrtc.waiting import until

from ghostlive.protocols.webrtc.peer import RtcpReceived, RtpReceived

RTP = b"\x80\x60\0\1" + bytes(4) + b"\0\0\0\7payload"
RTCP = b"\x80\xc9\0\1\0\0\0\7"


async def serve(transport: Transport, play: Callable[[PeerServer, TestPeer, tuple[str, int]], Awaitable[None]]) -> None:
    peer, client = make_pair(now=asyncio.get_running_loop().time())
    async with peer_server(peer, transport) as (server, port):
        await play(server, client, ("127.0.0.1", port))


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_session(transport: Transport) -> None:
    async def play(server: PeerServer, client: TestPeer, address: tuple[str, int]) -> None:
        heard: list[bytes] = []
        client.on_rtp = client.on_rtcp = heard.append
        async with connect(client, address, transport=transport) as link:
            server.peer.send_rtp(RTP)
            server.peer.send_rtcp(RTCP)
            server.flush()
            await link.wait(lambda: len(heard) == 2)
            client.send_rtp(RTP)
            client.send_rtcp(RTCP)
            link.flush()
            await until(lambda: any(isinstance(event, RtcpReceived) for event in server.events), within=30)
            assert server.peer.path is not None
            assert server.peer.path.transport == transport
        assert heard == [RTP, RTCP]
        assert RtpReceived(RTP) in server.events
        await until(lambda: server.peer.closed, within=30)

    await serve(transport, play)


async def test_the_server_hangs_up() -> None:
    async def play(server: PeerServer, client: TestPeer, address: tuple[str, int]) -> None:
        async with connect(client, address, transport="tcp") as link:
            for writer in server.writers.values():
                writer.close()
            await link.wait(lambda: bool(client.closed))
        assert client.closed == "the server has closed the connection"

    await serve("tcp", play)


async def test_nobody_is_there() -> None:
    async def play(server: PeerServer, client: TestPeer, address: tuple[str, int]) -> None:
        client.remote_pwd = "another"
        with pytest.raises(TimeoutError):
            async with connect(client, address, within=0.05):
                raise AssertionError
        assert server.peer.paths == set()

    await serve("udp", play)


def test_descriptions() -> None:
    client = TestPeer(now=0.0)
    text = offer(client, direction="sendonly")
    assert f"a=ice-ufrag:{client.ufrag}\r\n" in text
    assert "a=ssrc:2222 cname:test" in text
    assert text.count("m=") == 2
    answer = (
        "v=0\r\na=ice-ufrag:abcd\r\na=ice-pwd:secret\r\na=fingerprint:sha-256 AB:CD\r\na=setup:active\r\n"
        "a=candidate:1 1 udp 5 192.0.2.1 10000 typ host\r\n"
        "a=candidate:2 1 tcp 4 192.0.2.1 10001 typ host tcptype passive\r\n"
    )
    client.take_description(answer)
    assert (client.remote_ufrag, client.remote_pwd) == ("abcd", "secret")
    assert candidates(answer) == [("192.0.2.1", 10000)]
    assert candidates(answer, "tcp") == [("192.0.2.1", 10001)]
