"""WHEP and WHIP with a server on loopback and a test peer: from POST to media, and the ways in which it ends."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from tests.support.clock import FakeClock
from tests.support.webrtc.client import TestPeer, candidates, connect, offer
from tests.support.webrtc.house import AUDIO, House, open_house
from tests.support.webrtc.waiting import until

from ghostlive.access.browser import COOKIE as BROWSER
from ghostlive.core.stream import StreamState
from ghostlive.formats.rtp.packet import RtpPacket
from ghostlive.hub.live import Source
from ghostlive.protocols.webrtc import resource
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.web.config import HttpConfig
from ghostlive.web.server import HttpServer

SDP = {"content-type": "application/sdp"}
FRAGMENT = "application/trickle-ice-sdpfrag"
KEY = {**SDP, "authorization": "Bearer sesame"}


def _peer() -> TestPeer:
    return TestPeer(now=asyncio.get_running_loop().time())


async def _post(client: httpx.AsyncClient, peer: TestPeer, path: str = "/app/demo/whep") -> httpx.Response:
    answer = await client.post(path, content=offer(peer), headers=SDP)
    assert answer.status_code == 201, answer.text
    peer.take_description(answer.text)
    return answer


def _rtp(number: int) -> bytes:
    return RtpPacket(payload_type=96, sequence_number=number, timestamp=0, ssrc=77, payload=b"x" * 20).to_bytes()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_media_goes_both_ways(transport: str) -> None:
    async with open_house() as house, house.client() as client:
        peer = _peer()
        answer = await _post(client, peer)
        assert answer.headers["content-type"] == "application/sdp"
        assert re.fullmatch(r"/app/demo/whep/[A-Za-z0-9_-]{20,}", answer.headers["location"])
        assert re.fullmatch(r'"[0-9a-f]+"', answer.headers["etag"])
        assert "a=ice-lite" in answer.text
        address = candidates(answer.text, transport)[0]  # type: ignore[arg-type]
        assert address == ("127.0.0.1", house.server.port)
        packets: list[bytes] = []
        peer.on_rtp = packets.append
        async with connect(peer, address, transport=transport) as link:  # type: ignore[arg-type]
            await until(lambda: house.viewer.link is not None)
            to_viewer = house.viewer.link
            assert to_viewer is not None
            assert to_viewer.path.transport == transport
            assert (to_viewer.address is None) == (transport == "tcp")
            peer.send_rtp(_rtp(1))
            link.flush()
            await until(lambda: len(house.viewer.received) == 1)
            assert RtpPacket.parse(house.viewer.received[0]).payload == b"x" * 20
            to_viewer.send_rtp(_rtp(9))
            await link.wait(lambda: len(packets) == 1)
            assert RtpPacket.parse(packets[0]).sequence_number == 9
        await until(lambda: bool(house.viewer.reasons))
        assert len(house.viewer.reasons) == 1
        await until(lambda: not len(house.server))


async def test_delete_ends_the_session() -> None:
    async with open_house() as house, house.client() as client:
        peer = _peer()
        answer = await _post(client, peer)
        async with connect(peer, candidates(answer.text)[0]) as link:
            location = answer.headers["location"]
            assert (await client.get(location)).status_code == 204
            assert (await client.delete(location)).status_code == 200
            assert house.viewer.reasons == ["the client ended the session"]
            await link.wait(lambda: bool(peer.closed))
            gone = await client.delete(location)
            assert (gone.status_code, gone.headers["content-type"]) == (404, "application/problem+json")
        assert len(house.viewer.reasons) == 1


async def test_a_session_is_only_at_its_own_stream() -> None:
    async with open_house() as house, house.client() as client:
        location = (await _post(client, _peer())).headers["location"]
        assert (await client.delete(location.replace("demo", "quiet"))).status_code == 404
        assert (await client.delete(location.replace("whep", "whip"))).status_code == 404
        assert (await client.delete(location)).status_code == 200


async def test_candidates_and_restart() -> None:
    async with open_house() as house, house.client() as client:
        peer = _peer()
        answer = await _post(client, peer)
        location, etag = answer.headers["location"], answer.headers["etag"]
        body = f"a=ice-ufrag:{peer.ufrag}\r\na=ice-pwd:{peer.pwd}\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
        body += "a=candidate:1 1 udp 1 192.0.2.7 5000 typ host\r\n"
        fields = {"content-type": FRAGMENT, "if-match": etag}
        trickled = await client.patch(location, content=body, headers=fields)
        assert (trickled.status_code, trickled.content, "etag" in trickled.headers) == (204, b"", False)
        async with connect(peer, candidates(answer.text)[0]) as link:
            before = house.viewer.link
            assert before is not None
            now = asyncio.get_running_loop().time()
            peer.restart(now)
            body = f"a=ice-ufrag:{peer.ufrag}\r\na=ice-pwd:{peer.pwd}\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
            restarted = await client.patch(location, content=body, headers={**fields, "if-match": "*"})
            assert (restarted.status_code, restarted.headers["content-type"]) == (200, FRAGMENT)
            assert restarted.headers["etag"] != etag
            ufrag = re.search(r"a=ice-ufrag:(\S+)", restarted.text)
            pwd = re.search(r"a=ice-pwd:(\S+)", restarted.text)
            assert ufrag is not None
            assert pwd is not None
            peer.set_remote(ufrag[1], pwd[1], ())
            peer.connected = False
            link.flush()
            await link.wait(lambda: peer.connected)
            packets: list[bytes] = []
            peer.on_rtp = packets.append
            before.send_rtp(_rtp(3))
            await link.wait(lambda: len(packets) == 1)
            outdated = await client.patch(location, content=body, headers=fields)
            assert outdated.status_code == 412


@pytest.mark.parametrize(
    ("fields", "body", "status"),
    [
        ({"content-type": FRAGMENT}, "a=ice-ufrag:abcd\r\n", 428),
        ({"content-type": FRAGMENT, "if-match": '"other"'}, "a=ice-ufrag:abcd\r\n", 412),
        ({"content-type": "text/plain", "if-match": "*"}, "x", 415),
        ({"content-type": FRAGMENT, "if-match": "*"}, "nothing of the kind", 400),
        ({"content-type": FRAGMENT, "if-match": "*"}, "", 400),
    ],
)
async def test_patches_that_are_refused_leave_the_session_alone(fields: dict[str, str], body: str, status: int) -> None:
    async with open_house() as house, house.client() as client:
        peer = _peer()
        answer = await _post(client, peer)
        refused = await client.patch(answer.headers["location"], content=body, headers=fields)
        assert refused.status_code == status
        assert refused.json()["detail"]
        async with connect(peer, candidates(answer.text)[0]):
            assert house.viewer.reasons == []


@pytest.mark.parametrize(
    ("path", "content", "fields", "status"),
    [
        ("/app/demo/whep", b"v=0", {"content-type": "text/plain"}, 415),
        ("/app/demo/whep", b"v=0", {}, 415),
        ("/app/demo/whep", b"{}", SDP, 400),
        ("/app/demo/whep", b"v=\xff", SDP, 400),
        ("/app/demo/whep", b"v=0\r\n" + b"a=x\r\n" * 60_000, SDP, 413),
        ("/app/demo/whep", b"v=0\r\nfoo", SDP, 406),
        ("/app/quiet/whep", b"v=0\r\n", SDP, 404),
        ("/app/nobody/whep", b"v=0\r\n", SDP, 404),
    ],
)
async def test_offers_that_are_refused(path: str, content: bytes, fields: dict[str, str], status: int) -> None:
    async with open_house() as house, house.client() as client:
        answer = await client.post(path, content=content, headers=fields)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.json()["detail"]
        assert len(house.server) == 0


@contextlib.asynccontextmanager
async def _listening(house: House) -> AsyncIterator[int]:
    """The real HTTP server before a house, on this port."""
    nothing: Any = SimpleNamespace(ready=lambda path: None)
    config = HttpConfig(host="127.0.0.1", port=0)
    server = HttpServer(config=config, app=house._app, packager=nothing, seen=lambda *_: None)
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop()


def _exchange(port: int, *pieces: bytes) -> bytes:
    """Send everything, and only then look for an answer, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        for piece in pieces:
            client.sendall(piece)
        answer = b""
        while data := client.recv(65536):
            answer += data
        return answer


def _head(*fields: str) -> bytes:
    lines = ["POST /app/demo/whep HTTP/1.1", "Host: test", "Content-Type: application/sdp", *fields, "", ""]
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("chunked", [False, True])
async def test_who_sends_too_much_gets_the_answer_and_no_reset(chunked: bool) -> None:
    body = b"v=0\r\n" + bytes(900_000)
    pieces = [_head(f"Content-Length: {len(body)}"), body]
    if chunked:
        pieces = [_head("Transfer-Encoding: chunked"), b"%x\r\n" % len(body), body, b"\r\n0\r\n\r\n"]
    async with open_house() as house, _listening(house) as port:
        answer = await asyncio.to_thread(_exchange, port, *pieces)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"256 KiB" in answer
        assert answer.count(b"HTTP/1.1") == 1


async def test_a_body_without_end_is_not_read_for_ever() -> None:
    async with open_house() as house, _listening(house) as port:
        with pytest.raises(ConnectionError):
            await asyncio.to_thread(_exchange, port, _head("Content-Length: 99999999"), *[bytes(1 << 20)] * 90)


@pytest.mark.parametrize("fields", [("Content-Length: 999999",), ("Content-Length: 999999", "Expect: 100-continue")])
async def test_who_sends_nothing_more_is_not_waited_for(
    fields: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = len(fields) == 1
    # Who waits to be told to go on is answered at once.
    monkeypatch.setattr(resource, "_DISCARD_FOR", 0.1 if waits else 3600.0)
    async with open_house() as house, _listening(house) as port:
        answer = await asyncio.to_thread(_exchange, port, _head(*fields), b"v=0" if waits else b"")
        assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_stream_that_is_not_live_may_be_asked_for_again_soon() -> None:
    async with open_house() as house, house.client() as client:
        answer = await client.post("/app/quiet/whep", content=offer(_peer()), headers=SDP)
        assert (answer.status_code, answer.headers["retry-after"]) == (404, "5")
        house.viewers.live.add("quiet")
        await _post(client, _peer(), "/app/quiet/whep")


@pytest.mark.parametrize("path", ["/app/demo/whep", "/app/demo/whip", "/app/demo/whep/x", "/app/demo?direction=whip"])
async def test_pages_of_other_sites_may_do_it_with_any_header(path: str) -> None:
    async with open_house() as house, house.client() as client:
        fields = {
            "origin": "https://other.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, oven-capabilities, content-type",
            "access-control-request-private-network": "true",
        }
        answer = await client.options(path, headers=fields)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-headers"] == fields["access-control-request-headers"]
        assert {"POST", "PATCH", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
        assert answer.headers["access-control-allow-private-network"] == "true"
        assert answer.headers["accept-post"] == "application/sdp"
        exposed = answer.headers["access-control-expose-headers"]
        assert {"Location", "Link", "ETag"} <= set(exposed.split(", "))


async def test_methods_that_mean_nothing() -> None:
    async with open_house() as house, house.client() as client:
        assert (await client.get("/app/demo/whep")).status_code == 204
        for method, path in (("PUT", "/app/demo/whep"), ("DELETE", "/app/demo/whep")):
            answer = await client.request(method, path)
            assert answer.status_code == 405
            assert "POST" in answer.headers["allow"]
        location = (await _post(client, _peer())).headers["location"]
        answer = await client.post(location, content="v=0", headers=SDP)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, PATCH, DELETE, OPTIONS")
        assert len(house.server) == 1


async def test_turn_servers_are_told_with_a_name_that_expires() -> None:
    config = WebRtcConfig(
        port=0,
        host="127.0.0.1",
        turn_urls=("turn:turn.example.org:3478", "turns:turn.example.org:5349?transport=tcp"),
        turn_secret="shared",
    )
    async with open_house(config) as house, house.client() as client:
        answer = await _post(client, _peer())
        links = answer.headers.get_list("link")
        assert len(links) == 2
        found = re.fullmatch(
            r'<turn:turn\.example\.org:3478>; rel="ice-server"; username="(\d+):[0-9a-f]{8}"; '
            r'credential="[A-Za-z0-9+/=]+"; credential-type="password"',
            links[0],
        )
        assert found is not None
        assert abs(int(found[1]) - house.clock.wall_ns() / 1e9 - 86400) < 60
        assert links[1].startswith("<turns:turn.example.org:5349?transport=tcp>; ")


async def test_one_address_may_not_take_everything() -> None:
    config = WebRtcConfig(port=0, host="127.0.0.1", max_peers_per_address=2, max_peers=3)
    async with open_house(config) as house, house.client("192.0.2.1") as one, house.client("192.0.2.2") as other:
        kept = await _post(one, _peer())
        await _post(one, _peer())
        refused = await one.post("/app/demo/whep", content=offer(_peer()), headers=SDP)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "60")
        assert "webrtc.max_peers_per_address" in refused.json()["detail"]
        await _post(other, _peer())
        refused = await other.post("/app/demo/whep", content=offer(_peer()), headers=SDP)
        assert "webrtc.max_peers)" in refused.json()["detail"]
        await one.delete(kept.headers["location"])
        await _post(one, _peer())
        assert len(house.server) == 3


async def test_a_session_that_ends_while_its_patch_comes_is_gone() -> None:
    async with open_house() as house, house.client() as client:
        answer = await _post(client, _peer())

        async def fragment() -> AsyncIterator[bytes]:
            next(iter(house.server.sessions)).close("over")
            yield b"a=ice-ufrag:other\r\na=ice-pwd:" + b"x" * 24 + b"\r\n"

        fields = {"content-type": FRAGMENT, "if-match": "*"}
        patched = await client.patch(answer.headers["location"], content=fragment(), headers=fields)
        assert patched.status_code == 404


async def test_a_broadcaster_that_cannot_be_received_gives_the_stream_back() -> None:
    async with open_house() as house, house.client() as client:
        peer = _peer()
        answer = await client.post("/app/demo/whip", content=offer(peer, direction="sendonly"), headers=KEY)
        assert answer.status_code == 201, answer.text
        peer.take_description(answer.text)
        session = next(iter(house.server.sessions))
        object.__setattr__(session.negotiation, "streams", ())
        with capture_logs() as logs:
            async with connect(peer, candidates(answer.text)[0]):
                await until(lambda: not len(house.server))
        assert "a WebRTC handler failed" in [entry["event"] for entry in logs]
        house.hub.check_free("demo")
        live = house.hub.get("demo")
        assert live is None or live.publication is None


async def test_sessions_are_not_opened_too_fast() -> None:
    clock = FakeClock()
    config = WebRtcConfig(port=0, host="127.0.0.1", sessions_per_minute=3)
    async with open_house(config, clock=clock) as house, house.client() as client:
        for _ in range(3):
            await _post(client, _peer())
        refused = await client.post("/app/demo/whep", content=offer(_peer()), headers=SDP)
        assert "webrtc.sessions_per_minute" in refused.json()["detail"]
        clock.advance(20.5)
        await _post(client, _peer())
        assert len(house.viewers.opened) == 4


async def test_sessions_that_nobody_comes_for_are_forgotten() -> None:
    clock = FakeClock()
    config = WebRtcConfig(port=0, host="127.0.0.1", sessions_per_minute=0, max_peers_per_address=0)
    async with open_house(config, clock=clock) as house, house.client() as client:
        for _ in range(200):
            await _post(client, _peer())
        assert len(house.server) == 200
        clock.advance(29)
        assert len(house.server) == 200
        clock.advance(2)
        assert len(house.server) == 0
        assert all(len(viewer.reasons) == 1 for viewer in house.viewers.opened)
        assert not house.server._ufrags
        assert not house.server._due
        assert not house.server._owners
        clock.advance(10)
        assert not house.whep._open


async def test_who_watches_is_told_while_they_do() -> None:
    clock = FakeClock()
    async with open_house(clock=clock) as house, house.client() as client:
        peers = [_peer() for _ in range(3)]
        answers = [await _post(client, peer) for peer in peers]
        who = ("demo", "127.0.0.1", "python-httpx/" + httpx.__version__)
        async with connect(peers[0], candidates(answers[0].text)[0]):
            await until(lambda: house.viewers.opened[0].link is not None)
            clock.advance(0.6)
            assert house.watched == [(*who, "v0")]
            async with connect(peers[1], candidates(answers[1].text)[0]):
                await until(lambda: house.viewers.opened[1].link is not None)
                house.viewers.opened[1].current = "audio"
                clock.advance(0.5)
                assert house.watched == [(*who, "v0"), (*who, "a0")]
                clock.advance(5.0)
                assert sorted(house.watched) == [(*who, "a0")] * 2 + [(*who, "v0")] * 2
        await until(lambda: len(house.server) == 1)
        clock.advance(15)
        assert len(house.watched) == 4
        assert [id(one.viewer()) for one in house.players._watching] == [id(one) for one in house.viewers.opened[2:]]


async def test_who_is_banned_from_watching_is_put_out() -> None:
    async with open_house() as house, house.client() as client, house.client("198.51.100.7") as elsewhere:
        for asking, cookies in ((client, "a=b"), (client, f"{BROWSER}=mine; c=d"), (elsewhere, "a=b")):
            asking.headers["cookie"] = cookies
            assert (await _post(asking, _peer())).status_code == 201
        assert [request.browser for request in house.asked] == [None, "mine", None]
        put_out = house.players.put_out(
            lambda stream, address, browser: (stream, address) == ("demo", "198.51.100.7") or browser == "mine"
        )
        assert put_out == 2
        await until(lambda: len(house.server) == 1)
        assert [viewer.reasons for viewer in house.viewers.opened] == [[], ["banned"], ["banned"]]
        assert house.players.put_out(lambda stream, address, browser: browser == "mine") == 0


async def test_a_handler_that_fails_ends_its_own_session_only() -> None:
    async with open_house() as house, house.client() as client:
        broken, fine = _peer(), _peer()
        address = candidates((await _post(client, broken)).text)[0]
        first = house.viewer
        await _post(client, fine)
        async with connect(broken, address) as link, connect(fine, address) as other:
            first.broken = True
            with capture_logs() as logs:
                broken.send_rtp(_rtp(1))
                link.flush()
                await link.wait(lambda: bool(broken.closed))
            assert [line["event"] for line in logs] == ["a WebRTC handler failed"]
            assert first.reasons == ["the server made an error; it is in its log"]
            fine.send_rtp(_rtp(1))
            other.flush()
            await until(lambda: len(house.viewer.received) == 1)


async def test_the_end_of_the_server_is_told() -> None:
    async with open_house() as house, house.client() as client:
        peer = _peer()
        answer = await _post(client, peer)
        async with connect(peer, candidates(answer.text)[0]) as link:
            await house.server.stop()
            await link.wait(lambda: bool(peer.closed))
            assert house.viewer.reasons == ["the server is stopping"]
        refused = await client.post("/app/demo/whep", content=offer(_peer()), headers=SDP)
        assert refused.status_code == 503


# -- publishing


async def _publish(house: House, client: httpx.AsyncClient, path: str = "/app/demo/whip") -> tuple[TestPeer, str, str]:
    peer = _peer()
    answer = await client.post(path, content=offer(peer, direction="sendonly"), headers=KEY)
    assert answer.status_code == 201, answer.text
    peer.take_description(answer.text)
    assert "a=recvonly" in answer.text
    return peer, answer.headers["location"], answer.text


async def test_a_broadcast_begins_with_the_connection_and_ends_with_delete() -> None:
    async with open_house() as house, house.client() as client:
        peer, location, answer = await _publish(house, client)
        assert house.hub.get("demo") is None
        async with connect(peer, candidates(answer)[0]) as link:
            await until(lambda: house.hub.get("demo") is not None)
            live = house.hub.get("demo")
            assert live is not None
            assert live.publication is not None
            assert live.publication.source.protocol == "whip"
            assert (await client.delete(location)).status_code == 200
            assert house.hub.get("demo") is None
            await link.wait(lambda: bool(peer.closed))


async def test_a_goodbye_that_comes_after_the_end_of_the_connection_ends_the_stream() -> None:
    async with open_house() as house, house.client() as client:
        peer, location, answer = await _publish(house, client)
        async with connect(peer, candidates(answer)[0]) as link:
            await until(lambda: house.hub.get("demo") is not None)
            live = house.hub.get("demo")
            assert live is not None
            assert live.publication is not None
            live.publication.announce([AUDIO])
            peer.close()
            link.flush()
            await until(lambda: live.state is StreamState.INTERRUPTED)
            assert (await client.get(location)).status_code == 404
            assert (await client.delete(location)).status_code == 200
            assert live.state is StreamState.OFFLINE
            assert (await client.delete(location)).status_code == 404


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/app/demo?direction=whip", "/app/demo/whip/"),
        ("/app/demo/whip", "/app/demo/whip/"),
        ("/app/demo?direction=whip&key=sesame", "/app/demo/whip/"),
    ],
)
async def test_addresses_of_broadcasts(path: str, location: str) -> None:
    async with open_house() as house, house.client() as client:
        _, found, _ = await _publish(house, client, path)
        assert found.startswith(location)
        assert house.asked[-1].stream == "demo"
        as_ome = f"/app/demo/{found.rpartition('/')[2]}?direction=whip"
        assert (await client.delete(as_ome)).status_code == 200


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/app/demo/whip", SDP, 401),
        ("/app/demo/whip", {**SDP, "authorization": "Bearer wrong"}, 401),
        ("/app/demo/whip?key=wrong", SDP, 401),
        ("/app/quiet/whip", KEY, 403),
    ],
)
async def test_who_may_not_publish(path: str, fields: dict[str, str], status: int) -> None:
    async with open_house() as house, house.client() as client:
        answer = await client.post(path, content=offer(_peer(), direction="sendonly"), headers=fields)
        assert answer.status_code == status
        assert ("www-authenticate" in answer.headers) == (status == 401)
        assert "sesame" not in answer.text
        assert len(house.server) == 0


async def test_who_asks_takes_nobody_off_the_air() -> None:
    async with open_house() as house, house.client() as client:
        taken: list[str] = []
        publication = house.hub.publish("demo", Source("rtmp", "192.0.2.9"), taken.append)
        refused = await client.post("/app/demo/whip", content=offer(_peer(), direction="sendonly"), headers=KEY)
        assert (refused.status_code, refused.headers["retry-after"]) == (409, "5")
        assert "rtmp" in refused.json()["detail"]
        publication.end("done")
        peer, _, answer = await _publish(house, client)
        publication = house.hub.publish("demo", Source("rtmp", "192.0.2.9"), taken.append)
        # Meanwhile somebody else came: the one who connects now is told by the end of its session.
        with contextlib.suppress(ConnectionError):  # the end may come before the handshake is seen to be done
            async with connect(peer, candidates(answer)[0]) as link:
                await link.wait(lambda: bool(peer.closed))
        assert peer.closed
        assert len(house.server) == 0
        assert taken == []
        assert not publication.closed


async def test_broadcasters_are_limited_apart() -> None:
    config = WebRtcConfig(port=0, host="127.0.0.1", max_publishers=1)
    async with open_house(config) as house, house.client() as client:
        _, location, _ = await _publish(house, client)
        refused = await client.post("/app/demo/whip", content=offer(_peer(), direction="sendonly"), headers=KEY)
        assert refused.status_code == 503
        assert "webrtc.max_publishers" in refused.json()["detail"]
        await _post(client, _peer())
        await client.delete(location)
        await _publish(house, client)
