"""The server's sockets with strangers and bad neighbours: floods, framing, limits, addresses that change hands."""

import asyncio
import contextlib
import socket

import pytest
from structlog.testing import capture_logs
from tests.support.clock import FakeClock
from tests.support.webrtc.client import TestPeer, candidates, connect, offer
from tests.support.webrtc.house import House, open_house
from tests.support.webrtc.waiting import until

from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.protocols.webrtc.framing import frame
from ghostlive.protocols.webrtc.stun import BINDING_REQUEST, USERNAME, write_message


def _peer() -> TestPeer:
    return TestPeer(now=asyncio.get_running_loop().time())


async def _session(house: House, address: str = "127.0.0.1") -> tuple[TestPeer, str]:
    peer = _peer()
    async with house.client(address) as client:
        answer = await client.post("/app/demo/whep", content=offer(peer), headers={"content-type": "application/sdp"})
    assert answer.status_code == 201, answer.text
    peer.take_description(answer.text)
    return peer, answer.text


async def _expect_end(reader: asyncio.StreamReader) -> None:
    """The server closes the connection, one way or the other, and says nothing."""
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read(1) == b""


def _binding(user: str, key: bytes | None = None) -> bytes:
    return write_message(BINDING_REQUEST, bytes(12), [(USERNAME, user.encode())], key=key)


async def test_strangers_get_no_answer() -> None:
    async with open_house() as house:
        peer, answer = await _session(house)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.setblocking(False)
            stranger.bind(("127.0.0.1", 0))
            target = ("127.0.0.1", house.server.port)
            sent = [
                b"",
                b"\x80" + bytes(20),
                b"\x16\xfe\xfd" + bytes(40),
                bytes(1500),
                _binding("nobody:me"),
                _binding(f"{peer.remote_ufrag}:{peer.ufrag}", b"wrong password"),
            ]
            for datagram in sent * 50:
                stranger.sendto(datagram, target)
            async with connect(peer, candidates(answer)[0]):
                await until(lambda: house.viewer.link is not None)
                with pytest.raises(BlockingIOError):
                    stranger.recvfrom(2048)
        assert house.server.dropped > 100
        await until(lambda: not house.server._udp_paths)


async def test_who_was_let_in_from_an_address_is_heard_from_there_only() -> None:
    async with open_house() as house:
        peer, answer = await _session(house)
        async with connect(peer, candidates(answer)[0]):
            await until(lambda: house.viewer.link is not None)
            before = house.server.dropped
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(b"\x80" + bytes(30), ("127.0.0.1", house.server.port))
            await until(lambda: house.server.dropped == before + 1)
            assert len(house.server._udp_paths) == 1
        await until(lambda: not house.server._udp_paths)


def _is_free(local: tuple[str, int]) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.bind(local)
        return True
    return False


async def test_an_address_that_changes_hands_belongs_to_the_last() -> None:
    async with open_house() as house:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            local = probe.getsockname()
        first, answer = await _session(house)
        async with connect(first, candidates(answer)[0], local=local, goodbye=False):
            await until(lambda: house.viewer.link is not None)
        one = house.viewer
        await until(lambda: _is_free(local))
        second, answer = await _session(house)
        async with connect(second, candidates(answer)[0], local=local):
            await until(lambda: house.viewer.link is not None)
            owners = {id(session.handler): session for session in house.server.sessions}
            ((owner, _),) = house.server._udp_paths.values()
            assert owner is owners[id(house.viewer)]
            owners[id(one)].close("over")
            assert len(house.server._udp_paths) == 1
            assert house.viewer.reasons == []


@pytest.mark.parametrize("host", ["", "::1"])
async def test_ipv6(host: str) -> None:
    async with open_house(WebRtcConfig(port=0, host=host)) as house:
        peer, _ = await _session(house)
        async with connect(peer, ("::1", house.server.port)):
            await until(lambda: house.viewer.link is not None)
            assert house.viewer.link is not None
            assert house.viewer.link.path.address[0] == "::1"
            assert house.viewer.link.address is not None
            assert house.viewer.link.address[:2] == (socket.AF_INET6, "::1")


async def test_ipv4_through_the_socket_for_both() -> None:
    async with open_house(WebRtcConfig(port=0)) as house:
        peer, _ = await _session(house)
        async with connect(peer, ("127.0.0.1", house.server.port)):
            await until(lambda: house.viewer.link is not None)
            assert house.viewer.link is not None
            assert house.viewer.link.path.address[0] == "127.0.0.1"
            assert house.viewer.link.address is not None
            assert house.viewer.link.address[:2] == (socket.AF_INET6, "::ffff:127.0.0.1")


@pytest.mark.parametrize("host", ["", "0.0.0.0"])
async def test_answers_come_from_the_address_that_was_asked(host: str) -> None:
    """Of several addresses of this machine, the system would choose another one to send from."""
    async with open_house(WebRtcConfig(port=0, host=host)) as house:
        peer, _ = await _session(house)
        packets: list[bytes] = []
        peer.on_rtp = packets.append
        async with connect(peer, ("127.0.0.2", house.server.port)) as link:
            await until(lambda: house.viewer.link is not None)
            viewer = house.viewer.link
            assert viewer is not None
            assert viewer.path.local == "127.0.0.2"
            assert viewer.address is not None
            assert viewer.address[3:] == ("127.0.0.2",)
            viewer.send_rtp(RtpPacket(96, 1, 0, 77, b"x" * 20).to_bytes())
            await link.wait(lambda: len(packets) == 1)
        await until(lambda: not house.server._udp_paths)


async def test_a_socket_with_one_address_says_nothing_of_it() -> None:
    async with open_house() as house:
        peer, answer = await _session(house)
        async with connect(peer, candidates(answer)[0]):
            await until(lambda: house.viewer.link is not None)
            assert house.viewer.link is not None
            assert house.viewer.link.path.local == ""


# -- TCP


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        frame(_binding("nobody:me")),
        frame(b"\x16\xfe\xfd" + bytes(40)),
        b"\xff\xff",
    ],
)
async def test_tcp_connections_that_say_something_else_are_closed(sent: bytes) -> None:
    async with open_house() as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        writer.write(sent)
        await _expect_end(reader)
        writer.close()
        await until(lambda: not house.server._connections)
        assert not house.server._tcp_counts


async def test_tcp_connections_that_say_nothing_are_closed_after_a_while() -> None:
    clock = FakeClock()
    async with open_house(clock=clock) as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        await until(lambda: len(house.server._connections) == 1)
        clock.advance(9.9)
        writer.write(b"\0")
        assert len(house.server._connections) == 1
        clock.advance(0.2)
        await _expect_end(reader)
        writer.close()


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        (WebRtcConfig(port=0, host="127.0.0.1", max_tcp=2), "max_tcp"),
        (WebRtcConfig(port=0, host="127.0.0.1", max_tcp_per_address=2), "max_tcp_per_address"),
    ],
)
async def test_tcp_connections_are_limited(config: WebRtcConfig, limit: str) -> None:
    async with open_house(config) as house:
        with capture_logs() as logs:
            writers = [(await asyncio.open_connection("127.0.0.1", house.server.port))[1] for _ in range(2)]
            await until(lambda: len(house.server._connections) == 2)
            reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
            await _expect_end(reader)
            writers.append(writer)
        (line,) = [line for line in logs if line["log_level"] == "warning"]
        assert f"webrtc.{limit}" in line["reason"]
        for one in writers:
            one.close()
        await until(lambda: not house.server._connections)


async def test_a_viewer_that_does_not_read_by_tcp_is_cut_off_and_nobody_waits() -> None:
    config = WebRtcConfig(port=0, host="127.0.0.1", tcp_backlog=100_000)
    async with open_house(config) as house:
        peer, answer = await _session(house)
        async with connect(peer, candidates(answer, "tcp")[0], transport="tcp", goodbye=False) as link:
            await until(lambda: house.viewer.link is not None)
            viewer = house.viewer.link
            assert viewer is not None
            connection = next(iter(house.server._connections.values()))
            transport = connection._transport
            assert transport is not None
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            # All of it in one turn of the event loop, in which the peer cannot read.
            for _ in range(20_000):
                viewer.send_protected([bytes(1200)])
            assert transport.is_closing()
            assert viewer.backlog < 500_000
            await link.wait(lambda: bool(peer.closed))
        # Its session stays for a while: the viewer may come another way.
        await until(lambda: not house.server._connections)
        assert house.viewer.reasons == []


async def test_what_waits_for_all_by_tcp_is_limited_and_the_slowest_ends() -> None:
    config = WebRtcConfig(port=0, host="127.0.0.1", tcp_backlog=100_000_000, max_tcp_backlog=8_000_000)
    async with open_house(config) as house, contextlib.AsyncExitStack() as links:
        viewers = []
        for _ in range(2):
            peer, answer = await _session(house)
            address = candidates(answer, "tcp")[0]
            link = await links.enter_async_context(connect(peer, address, transport="tcp", goodbye=False))
            viewer = house.viewer
            await until(lambda viewer=viewer: viewer.link is not None)  # type: ignore[misc]
            viewers.append((viewer, peer, link))
        (one, _, _), (other, slow, link) = viewers
        assert one.link is not None
        assert other.link is not None
        backlog = house.server._tcp_backlog
        with capture_logs() as logs:
            # All of it in one turn of the event loop, in which nobody can read.
            while one.link.backlog < 1_000_000:
                one.link.send_protected([bytes(1200)] * 100)
            while len(logs) == 0:
                other.link.send_protected([bytes(1200)] * 100)
                assert backlog.total <= 8_000_000
        (line,) = logs
        assert line["waiting"] > 6_000_000
        assert line["address"] == "127.0.0.1"
        assert "webrtc.max_tcp_backlog" in line["reason"]
        assert one.link.backlog >= 1_000_000
        assert backlog.total == one.link.backlog
        await link.wait(lambda: bool(slow.closed))
        await until(lambda: backlog.total == 0)
        assert len(house.server._connections) == 1


async def test_a_closed_tcp_connection_is_no_way_any_more() -> None:
    clock = FakeClock()
    async with open_house(clock=clock) as house:
        peer, answer = await _session(house)
        async with connect(peer, candidates(answer, "tcp")[0], transport="tcp", goodbye=False):
            await until(lambda: house.viewer.link is not None)
        await until(lambda: not house.server._connections)
        session = next(iter(house.server.sessions))
        assert session.peer.paths == frozenset()
        assert session.backlog == 0
        session.send_protected([b"x"])
        clock.advance(31)
        assert len(house.server) == 0
        assert len(house.viewer.reasons) == 1


async def test_the_port_is_the_same_for_both_and_may_be_any() -> None:
    async with open_house(WebRtcConfig(port=0)) as house:
        assert house.server._tcp_socket is not None
        assert house.server._tcp_socket.getsockname()[1] == house.server.port
        assert house.server.listening
    assert not house.server.listening


async def test_a_port_that_is_taken_by_tcp_only_is_no_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"TCP {port}"):
            async with open_house(WebRtcConfig(port=port, host="127.0.0.1")):
                pass
        async with open_house(WebRtcConfig(port=port, host="127.0.0.1", tcp=False)) as house:
            parameters = house.server.local_parameters("localhost")
            assert {candidate.transport for candidate in parameters.candidates} == {"udp"}


async def test_what_the_kernel_does_not_take_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_house() as house:
        peer, answer = await _session(house)
        async with connect(peer, candidates(answer)[0]):
            await until(lambda: house.viewer.link is not None)
            viewer = house.viewer.link
            assert viewer is not None
            before = house.server.unsent

            class Full:
                family = socket.AF_INET

                def sendmsg(self, *_: object) -> int:
                    raise BlockingIOError

            real = house.server._udp
            monkeypatch.setattr(house.server, "_udp", Full())
            viewer.send_protected([b"one", b"two"])
            monkeypatch.setattr(house.server, "_udp", real)
            assert house.server.unsent == before + 2
            assert house.viewer.reasons == []
