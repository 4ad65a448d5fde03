"""OvenMediaEngine's signalling with a server on loopback and a test peer; the WebSocket is a list."""

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.clock import FakeClock
from tests.support.webrtc.client import TestPeer, candidates, connect
from tests.support.webrtc.house import AUDIO, FakeConnection, House, open_house, opening
from tests.support.webrtc.ome import answer_to, messages
from tests.support.webrtc.waiting import until

from ghostlive.access.decision import AccessRequest, Decision
from ghostlive.core.stream import StreamState
from ghostlive.core.websocket import Peer
from ghostlive.hub.live import Source
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.protocols.webrtc.egress.model import Ended, RenditionChanged


class Socket:
    """One WebSocket to the gateway."""

    def __init__(self, connection: FakeConnection, peer: Peer) -> None:
        self.connection = connection
        self.peer = peer

    @property
    def messages(self) -> list[Any]:
        return messages(self.connection)

    def say(self, **message: Any) -> None:
        self.peer.text(json.dumps(message))

    async def hear(self, count: int = 1) -> Any:
        """The message of that number, once it is there."""
        await until(lambda: len(self.messages) >= count)
        return self.messages[count - 1]


async def _open(house: House, path: str = "/app/demo", query: str = "") -> Socket:
    connection = FakeConnection()
    return Socket(connection, await house.gateway.open(opening(path, query), connection))


async def _offered(house: House, path: str = "/app/demo", query: str = "") -> tuple[Socket, Any]:
    socket = await _open(house, path, query)
    socket.say(command="request_offer")
    offer = await socket.hear()
    assert offer.get("command") == "offer", offer
    return socket, offer


def _peer() -> TestPeer:
    return TestPeer(now=asyncio.get_running_loop().time())


async def test_offers_that_wait_take_no_more_room_than_there_is() -> None:
    async with open_house(WebRtcConfig(port=0, host="127.0.0.1", max_peers=1)) as house:
        (one, first), (other, second) = await _offered(house), await _offered(house)
        one.say(**answer_to(first, _peer()))
        other.say(**answer_to(second, _peer()))
        refused = await other.hear(2)
        assert refused["code"] == 503
        assert "webrtc.max_peers" in refused["error"]
        assert len(house.server) == 1
        assert [len(viewer.reasons) for viewer in house.viewers.opened] == [0, 1]


async def test_the_stream_key_is_in_no_log() -> None:
    async with open_house() as house:

        async def fail(request: AccessRequest) -> Decision:
            raise RuntimeError("a bug")

        house.gateway.authorize = fail
        with capture_logs() as logs:
            socket = await _open(house, "/app/sesame", "direction=send")
            socket.say(command="request_offer")
            await socket.hear()
        assert [entry["event"] for entry in logs] == ["an offer could not be made"]
        assert "sesame" not in str([{**entry, "exc_info": ""} for entry in logs])


async def test_a_viewer_from_offer_to_leaving() -> None:
    async with open_house() as house:
        socket, offer = await _offered(house, "/app/demo/master")
        assert offer["peer_id"] == 0
        assert offer["code"] == 200
        assert 1 <= offer["id"] <= 2**31 - 1
        assert offer["sdp"]["type"] == "offer"
        assert "iceServers" not in offer
        assert "ice_servers" not in offer
        first = offer["candidates"][0]
        assert first["sdpMLineIndex"] == 0
        assert first["candidate"].split()[:8:2] == ["candidate:1", "udp", "127.0.0.1", "typ"]
        assert offer["candidates"][-1]["candidate"].endswith("tcptype passive")
        peer = _peer()
        socket.say(**answer_to(offer, peer))
        playlist = await socket.hear(2)
        assert (playlist["command"], playlist["type"]) == ("notification", "playlist")
        assert playlist["message"]["name"] == "demo"
        assert playlist["message"]["file_name"] == "master"
        assert playlist["message"]["auto"] is True
        assert [each["name"] for each in playlist["message"]["renditions"]] == ["720p30", "audio"]
        assert playlist["message"]["renditions"][0]["video_track"]["video"]["width"] == 1280
        assert playlist["message"]["renditions"][1]["audio_track"]["bitrate"] == "128000"
        socket.say(
            command="candidate",
            id=offer["id"],
            peer_id=0,
            candidates=[{"candidate": "candidate:1 1 udp 1 x.local 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}],
        )
        async with connect(peer, candidates(offer["sdp"]["sdp"])[0]) as link:
            await until(lambda: house.viewer.link is not None)
            socket.peer.gone()
            await link.wait(lambda: bool(peer.closed))
        assert house.viewer.reasons == ["the viewer left"]
        assert len(house.gateway) == 0
        assert socket.connection.closings == []


async def test_renditions_are_chosen_and_told() -> None:
    async with open_house() as house:
        socket, offer = await _offered(house)
        socket.say(**answer_to(offer, _peer()))
        await socket.hear(2)
        house.viewer.on_event(RenditionChanged("720p30", auto=True))
        changed = await socket.hear(3)
        assert changed == {
            "command": "notification",
            "type": "rendition_changed",
            "message": {"rendition_name": "720p30", "auto": True},
            "auto": True,
        }
        socket.say(command="change_rendition", id=offer["id"], rendition_name="audio", auto=False)
        assert (house.viewer.current, house.viewer.auto) == ("audio", False)
        socket.say(command="change_rendition", id=offer["id"], auto=True)
        assert house.viewer.auto
        socket.say(command="change_rendition", id=offer["id"], auto=False)
        assert (house.viewer.current, house.viewer.auto) == ("audio", False)
        socket.say(command="change_rendition", id=offer["id"], rendition_name="4320p")
        said = await socket.hear(4)
        assert said["message"] == {"rendition_name": "audio", "auto": False}
        assert socket.connection.closings == []


async def test_wishes_for_renditions_are_limited_for_each_viewer() -> None:
    clock = FakeClock()
    async with open_house(clock=clock) as house:
        (greedy, first), (other, second) = await _offered(house), await _offered(house)
        greedy.say(**answer_to(first, _peer()))
        other.say(**answer_to(second, _peer()))
        await greedy.hear(2)
        one, two = house.viewers.opened
        for auto in [True, False] * 10:
            greedy.say(command="change_rendition", id=first["id"], auto=auto)
        assert greedy.connection.closings == []
        clock.advance(1)
        greedy.say(command="change_rendition", id=first["id"], rendition_name="audio")
        assert one.current == "audio"
        greedy.say(command="change_rendition", id=first["id"], rendition_name="720p30")
        assert one.current == "audio"
        assert greedy.messages[-1]["code"] == 429
        assert "rendition" in greedy.messages[-1]["error"]
        assert greedy.messages[-1]["id"] == first["id"]
        assert len(greedy.connection.closings) == 1
        greedy.peer.gone()
        assert one.reasons == ["the viewer left"]
        other.say(command="change_rendition", id=second["id"], rendition_name="audio")
        assert two.current == "audio"
        assert other.connection.closings == []


async def test_the_end_of_the_session_closes_the_socket() -> None:
    async with open_house() as house:
        socket, offer = await _offered(house)
        peer = _peer()
        socket.say(**answer_to(offer, peer))
        async with connect(peer, candidates(offer["sdp"]["sdp"])[0]):
            await until(lambda: house.viewer.link is not None)
            house.viewer.on_event(Ended("the stream has ended"))
            assert house.viewer.link is not None
            house.viewer.link.close("the stream has ended")
            assert socket.connection.closings == [(1000, "the stream has ended")]
            assert not any("error" in message for message in socket.messages)
        socket.peer.gone()
        assert house.viewer.reasons == ["the stream has ended"]


async def test_a_player_that_stops_may_ask_again() -> None:
    async with open_house() as house:
        socket, offer = await _offered(house)
        socket.say(**answer_to(offer, _peer()))
        await socket.hear(2)
        socket.say(command="stop", id=offer["id"])
        assert house.viewer.reasons == ["the peer stopped"]
        socket.say(command="request_offer")
        again = await socket.hear(3)
        assert again["id"] == offer["id"]
        assert again["sdp"]["sdp"] != offer["sdp"]["sdp"]
        socket.say(**answer_to(again, _peer()))
        assert len(house.viewers.opened) == 2
        # Players add what a playlist says to what they know, so that there is no second one.
        assert len(socket.messages) == 3
        assert socket.connection.closings == []


@pytest.mark.parametrize(
    ("transport", "kinds", "relays"),
    [
        ("", {"udp", "tcp"}, False),
        ("udp", {"udp"}, False),
        ("tcp", {"tcp"}, False),
        ("udptcp", {"udp", "tcp"}, False),
        ("relay", {"udp", "tcp"}, True),
        ("all", {"udp", "tcp"}, True),
    ],
)
async def test_transports(transport: str, kinds: set[str], relays: bool) -> None:
    config = WebRtcConfig(port=0, host="127.0.0.1", turn_urls=("turn:192.0.2.3:3478",), turn_secret="x")
    async with open_house(config) as house:
        _, offer = await _offered(house, query=f"transport={transport}" if transport else "")
        assert {each["candidate"].split()[2] for each in offer["candidates"]} == kinds
        assert ("iceServers" in offer) == ("ice_servers" in offer) == relays
        if relays:
            (ours,), (other,) = offer["iceServers"], offer["ice_servers"]
            assert ours["urls"] == other["urls"] == ["turn:192.0.2.3:3478"]
            assert ours["username"] == other["user_name"]
            assert ours["credential"] == other["credential"]


@pytest.mark.parametrize(
    ("path", "query", "code", "word"),
    [
        ("/app/nobody", "", 404, "Cannot create offer"),
        ("/app/quiet", "", 404, "not live"),
        ("/app/demo", "direction=send", 401, "key=…"),
        ("/app/demo", "direction=send&key=wrong", 401, "not known"),
        ("/app/quiet", "direction=send&key=sesame", 403, "another stream"),
    ],
)
async def test_who_is_kept_out_is_told(path: str, query: str, code: int, word: str) -> None:
    async with open_house() as house:
        socket = await _open(house, path, query)
        socket.say(command="request_offer")
        error = await socket.hear()
        assert error["code"] == code
        assert word in error["error"]
        assert socket.connection.closings[0][0] == 1000
        assert len(house.server) == 0


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ("{", "JSON"),
        ("[" * 5000, "JSON"),
        ("[]", "object"),
        ('{"command": "dance"}', "dance"),
        ("{}", "None"),
        ('{"command": "answer", "id": 0, "sdp": {"type": "answer", "sdp": "v=0"}}', "Invalid ID"),
        ('{"command": "answer", "id": true, "sdp": {"type": "answer", "sdp": "v=0"}}', "Invalid ID"),
        ('{"command": "answer", "id": $}', "no SDP"),
        ('{"command": "answer", "id": $, "sdp": {"type": "offer", "sdp": "v=0"}}', "Invalid SDP type"),
        ('{"command": "answer", "id": $, "sdp": {"type": "answer", "sdp": "v=0"}}', ""),
        ('{"command": "change_rendition", "id": $, "rendition_name": 7}', "rendition_name"),
        ('{"command": "change_rendition", "id": $, "auto": 7}', "auto"),
        ('{"command": "candidate"}', "Invalid ID"),
    ],
)
async def test_messages_that_are_none(message: str, word: str) -> None:
    async with open_house() as house:
        socket, offer = await _offered(house)
        socket.peer.text(message.replace("$", str(offer["id"])))
        error = socket.messages[1]
        assert error["code"] in (400, 406)
        assert word in error["error"]
        assert len(socket.connection.closings) == 1
        socket.say(command="request_offer")  # nothing is heard any more
        assert len(socket.messages) == 2
        assert len(house.server) == 0


async def test_an_answer_needs_an_offer() -> None:
    async with open_house() as house:
        socket, offer = await _offered(house)
        answer = answer_to(offer, _peer())
        socket.say(**answer)
        await socket.hear(2)
        socket.say(**answer)
        assert socket.messages[-1]["code"] == 400
        await until(lambda: len(socket.connection.closings) == 1)


async def test_pong_and_impatience_do_no_harm() -> None:
    async with open_house() as house:
        socket = await _open(house)
        socket.say(command="pong")
        socket.say(command="request_offer")
        socket.say(command="request_offer")
        await socket.hear()
        await asyncio.sleep(0)
        assert len(socket.messages) == 1
        assert socket.connection.closings == []


async def test_who_says_nothing_is_sent_away_and_who_plays_is_pinged() -> None:
    clock = FakeClock()
    async with open_house(clock=clock) as house:
        silent = await _open(house)
        agreed, offer = await _offered(house)
        agreed.say(**answer_to(offer, _peer()))
        clock.advance(20)
        assert agreed.connection.frames[-1] == b"\x89\x00"
        clock.advance(9.5)  # sessions without a peer end after 30 s, too
        assert silent.connection.closings == []
        clock.advance(1)
        assert silent.messages[-1]["code"] == 408
        assert len(silent.connection.closings) == 1
        assert agreed.connection.closings[0][0] == 1000
        assert "error" not in agreed.messages[-1]


@pytest.mark.parametrize("again", ["request_offer", "stop"])
async def test_offers_that_are_asked_for_again_and_again_win_no_time(again: str) -> None:
    clock = FakeClock()
    async with open_house(clock=clock) as house:
        socket, offer = await _offered(house)
        for count in range(2, 5):
            clock.advance(9)
            socket.say(command=again, id=offer["id"])
            if again == "stop":
                socket.say(command="request_offer")
            await socket.hear(count)
        assert socket.connection.closings == []
        clock.advance(4)
        assert socket.messages[-1]["code"] == 408
        assert len(socket.connection.closings) == 1


async def test_a_player_that_stopped_has_its_time_anew() -> None:
    clock = FakeClock()
    async with open_house(clock=clock) as house:
        socket, offer = await _offered(house)
        clock.advance(20)
        socket.say(**answer_to(offer, _peer()))
        await socket.hear(2)
        clock.advance(9)
        socket.say(command="stop", id=offer["id"])
        clock.advance(29)
        assert socket.connection.closings == []
        clock.advance(2)
        assert socket.messages[-1]["code"] == 408
        assert len(socket.connection.closings) == 1


async def test_who_does_not_read_is_sent_away() -> None:
    async with open_house() as house:
        socket, offer = await _offered(house)
        socket.say(**answer_to(offer, _peer()))
        await socket.hear(2)
        socket.connection.waiting = 1024 * 1024
        house.viewer.on_event(RenditionChanged("720p30", auto=True))
        assert socket.connection.closings == [(1008, "too slow to read")]


async def test_what_was_shown_before_the_playlist_is_told_after_it() -> None:
    async with open_house() as house:
        viewers = house.viewers
        opened = viewers.open

        def early(stream: str, negotiation: Any, *, on_event: Any) -> Any:
            viewer = opened(stream, negotiation, on_event=on_event)
            on_event(RenditionChanged("720p30", auto=True))
            return viewer

        viewers.open = early  # type: ignore[method-assign]
        socket, offer = await _offered(house)
        socket.say(**answer_to(offer, _peer()))
        assert [message.get("type") for message in socket.messages] == [None, "playlist", "rendition_changed"]


async def test_an_error_of_ours_is_told_and_logged() -> None:
    async with open_house() as house:

        async def broken(request: object) -> Any:
            raise OSError("the database is gone")

        house.gateway.authorize = broken
        socket = await _open(house)
        with capture_logs() as logs:
            socket.say(command="request_offer")
            error = await socket.hear()
        assert error["code"] == 500
        assert "database" not in error["error"]
        assert [line["event"] for line in logs] == ["an offer could not be made"]


# -- publishing


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/app/demo", "direction=send&key=sesame"),
        ("/app/sesame", "direction=send"),
        ("/app/demo", "key=sesame&direction=send&transport=tcp"),
    ],
)
async def test_a_broadcast_ends_with_its_socket(path: str, query: str) -> None:
    async with open_house() as house:
        socket, offer = await _offered(house, path, query)
        assert "a=recvonly" in offer["sdp"]["sdp"]
        peer = _peer()
        socket.say(**answer_to(offer, peer))
        transport = "tcp" if "tcp" in query else "udp"
        address = candidates(offer["sdp"]["sdp"], transport)  # type: ignore[arg-type]
        async with connect(peer, address[0], transport=transport) as link:  # type: ignore[arg-type]
            await until(lambda: house.hub.get("demo") is not None)
            live = house.hub.get("demo")
            assert live is not None
            assert live.publication is not None
            assert live.publication.source == Source("ome", "127.0.0.1", "player")
            assert [message.get("type") for message in socket.messages] == [None]
            socket.connection.closed_with = 1005
            socket.peer.gone()
            assert house.hub.get("demo") is None
            await link.wait(lambda: bool(peer.closed))


@pytest.mark.parametrize(
    ("closed_with", "state"), [(1005, "offline"), (1000, "offline"), (1001, "interrupted"), (None, "interrupted")]
)
@pytest.mark.parametrize("first", ["socket", "media"])
async def test_only_who_means_it_ends_the_stream(closed_with: int | None, state: str, first: str) -> None:
    async with open_house() as house:
        socket, offer = await _offered(house, query="direction=send&key=sesame")
        peer = _peer()
        socket.say(**answer_to(offer, peer))
        async with connect(peer, candidates(offer["sdp"]["sdp"])[0]) as link:
            await until(lambda: house.hub.get("demo") is not None)
            live = house.hub.get("demo")
            assert live is not None
            assert live.publication is not None
            live.publication.announce([AUDIO])
            if first == "media":
                peer.close()
                link.flush()
                await until(lambda: live.state is StreamState.INTERRUPTED)
                assert socket.connection.closings == []
            socket.connection.closed_with = closed_with
            socket.peer.gone()
            assert live.state.value == state
            live.end("the test is over")


async def test_a_stream_that_is_taken_closes_the_socket_of_who_had_it() -> None:
    async with open_house() as house:
        socket, offer = await _offered(house, query="direction=send&key=sesame")
        peer = _peer()
        socket.say(**answer_to(offer, peer))
        async with connect(peer, candidates(offer["sdp"]["sdp"])[0]) as link:
            await until(lambda: house.hub.get("demo") is not None)
            other = await _open(house, query="direction=send&key=sesame")
            other.say(command="request_offer")
            assert (await other.hear())["code"] == 409
            live = house.hub.get("demo")
            assert live is not None
            live.end("the broadcast was ended in the studio")
            await link.wait(lambda: bool(peer.closed))
            await until(lambda: bool(socket.connection.closings))
            assert socket.connection.closings == [(1000, "the broadcast was ended in the studio")]


async def test_the_end_of_the_server_closes_sockets() -> None:
    async with open_house() as house:
        socket, offer = await _offered(house)
        socket.say(**answer_to(offer, _peer()))
        await house.gateway.stop()
        assert socket.connection.closings == [(1001, "the server stops")]
