"""The chat of the running program, over its real sockets."""

import json
import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.channel import Channel
from tests.support.chat_client import ChatClient, chat_url, guest
from tests.support.encoder import publishing
from tests.support.playlist import MediaPlaylist, parse_media
from tests.support.program import Program, get, running, wait_for
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

pytestmark = pytest.mark.interop

ROOMY = {
    "GHOSTLIVE_CHAT__BURST": "0",
    "GHOSTLIVE_CHAT__ADDRESS_BURST": "0",
    "GHOSTLIVE_CHAT__CONNECTIONS_PER_ADDRESS": "0",
    "GHOSTLIVE_CHAT__GUESTS_PER_ADDRESS": "0",
    "GHOSTLIVE_LOG__LEVEL": "info",
}
_numbers = count(1)


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server that lets one address do what many people would."""
    with running(tmp_path_factory.mktemp("chat"), ROOMY) as program:
        yield program


@pytest.fixture(scope="module")
def owner(roomy: Program) -> Iterator[httpx.Client]:
    """The owner of that server."""
    with roomy.own() as client:
        yield client


@pytest.fixture
def url(roomy: Program, owner: httpx.Client) -> str:
    """The chat of a new stream."""
    name = f"stream{next(_numbers)}"
    owner.post("/api/v1/streams", json={"name": name}).raise_for_status()
    return chat_url(roomy.url, name)


def test_two_people_see_the_same_in_the_same_order(url: str) -> None:
    with guest(url, "Ann") as ann, guest(url, "Bob") as bob:
        for number in range(50):
            for client in (ann, bob):
                client.send(type="post", txn=f"t{number}", text=f"{number} by {client.you}")
        for client in (ann, bob):
            client.wait_shown(100)
            assert len(client.acks) == 50
        assert ann.messages == bob.messages
        assert ann.shown == sorted(set(ann.shown))
        assert {message["author"]["name"] for message in ann.messages} == {"Ann", "Bob"}


def test_a_reload_and_a_second_tab_are_the_same_guest(url: str) -> None:
    with guest(url, "Ann") as ann:
        ann.post("hello", "one")
        first = ann.you
    with (
        ChatClient(url, token=ann.token) as reloaded,
        ChatClient(url, token=ann.token) as second,
        ChatClient(url) as other,
    ):
        assert first is not None
        for tab in (reloaded, second):
            assert tab.you is not None
            assert tab.you["id"] == first["id"]
            assert tab.you["hue"] == first["hue"]
            assert tab.texts == ["hello"]
        assert other.you is None
        reloaded.post("from one tab", "two")
        second.wait(lambda: len(second.shown) == 2, "what the other tab said")
        assert second.messages[1]["author"]["id"] == first["id"]
        assert second.post("hello", "one") == reloaded.messages[0]["id"]  # sent again, stored once


def test_who_comes_back_misses_nothing_and_sees_nothing_twice(url: str) -> None:
    with guest(url, "Ann") as ann, guest(url, "Bob") as bob:
        ann.post("before", "t0")
        bob.wait(lambda: bob.texts == ["before"], "the first message")
        for life in range(3):
            bob.close()
            for number in range(20):
                ann.post(f"{life}.{number}", f"t{life}-{number}")
            welcome = bob.open()
            assert not welcome["reset"]
            assert len(welcome["messages"]) == 20
        assert bob.messages == ann.messages
        assert len(set(bob.shown)) == len(bob.shown) == 61


def test_what_is_no_message_is_answered_or_ends_the_socket(url: str) -> None:
    with guest(url, "Watcher") as watcher:
        for data, code in (
            (b"\x00\x01", 1003),
            ("x" * 9000, 1009),
            ("é" * 4097, 1009),
        ):
            with ChatClient(url) as client:
                client.send_raw(data)
                assert client.closed()[0] == code
        with ChatClient(url) as client:
            for bad in ("", "{", "[]", '{"type":"fly"}', '{"type":"post"}', "null", "[" * 8000, '{"type":["post"]}'):
                client.send_raw(bad)
                assert client.error()["code"] in ("bad_message", "name_needed")
            with suppress(ConnectionClosed):
                for _ in range(10):
                    client.send_raw("{")
            assert client.closed()[0] == 1008
        watcher.post("still here", "t1")
        assert watcher.texts == ["still here"]


def test_rubbish_on_the_port(roomy: Program, url: str) -> None:
    parts = urlsplit(url)
    head = (
        f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    with guest(url, "Watcher") as watcher:
        for rubbish in (
            b"\0" * 2000,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            head.encode(),  # never ends
            head.encode() + b"\r\n" + bytes(range(256)) * 20,
            head.encode() + b"\r\n" + b"\x81\x05hello",  # not masked
            head.encode() + b"X: " + b"y" * 100_000,
        ):
            with socket.create_connection((parts.hostname, parts.port), timeout=10) as raw:
                raw.sendall(rubbish)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(65536):
                    pass
        watcher.post("still here", "t1")
        assert get(f"{roomy.url}/healthz").status_code == 200


def test_who_may_not_open_it_is_told_why(roomy: Program, url: str) -> None:
    for target, headers, status in (
        (chat_url(roomy.url, "nobody"), {}, 404),
        (chat_url(roomy.url, "..%2fx"), {}, 404),
        (url, {"Origin": "https://evil.example"}, 403),
    ):
        with pytest.raises(InvalidStatus) as caught:
            ChatClient(target, headers=headers).open()
        response = caught.value.response
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert json.loads(response.body)["detail"].endswith(".")
    with ChatClient(url, headers={"Origin": roomy.url}) as ours:
        assert ours.you is None


def test_tricks_with_characters_do_not_come_through(url: str) -> None:
    with guest(url, "Ann\u200b") as ann, ChatClient(url) as imposter:
        assert ann.you is not None
        assert ann.you["name"] == "Ann"
        imposter.send(type="join", name="A\u200dnn")
        assert imposter.error()["code"] in ("name_taken", "name_refused")
        ann.post("\u202eevil\u202c <b>&amp;</b> \x07ok", "t1")
        assert ann.texts == ["evil <b>&amp;</b> ok"]


def test_a_locked_database_delays_and_loses_nothing(roomy: Program, url: str) -> None:
    with guest(url, "Ann") as ann, guest(url, "Bob") as bob:
        database = sqlite3.connect(roomy.data / "ghostlive.db", isolation_level=None, check_same_thread=False)
        try:
            database.execute("BEGIN IMMEDIATE")
            for number in range(5):
                ann.send(type="post", txn=f"t{number}", text=f"patience {number}")
            bob.send(type="ping")
            bob.until("pong")
            assert get(f"{roomy.url}/healthz").status_code == 200
            assert not ann.acks
            # For as long as the server waits for a database, and longer.
            release = threading.Timer(5.0, database.rollback)
            release.start()
            ann.wait(lambda: len(ann.acks) == 5, "what waited")
            release.join()
        finally:
            database.close()
        bob.wait(lambda: len(bob.texts) == 5, "the messages")
        assert bob.texts == [f"patience {number}" for number in range(5)]


def test_the_streamer_is_marked_and_keeps_order(roomy: Program, owner: httpx.Client, url: str) -> None:
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in owner.cookies.items()), "Origin": roomy.url}
    with ChatClient(url, headers=headers) as streamer, guest(url, "Troll") as troll:
        assert streamer.you is not None
        assert streamer.you["role"] == "streamer"
        first = troll.post("first", "t1")
        troll.post("second", "t2")
        streamer.wait(lambda: len(streamer.texts) == 2, "what the guest said")
        troll.send(type="delete", id=streamer.post("mine", "o1"))
        assert troll.error()["code"] == "not_allowed"
        streamer.send(type="delete", id=first)
        troll.wait(lambda: troll.texts == ["second", "mine"], "the deletion")
        streamer.send(type="ban", id=troll.messages[0]["id"], reason="enough", messages=True)
        assert troll.until("banned")["reason"] == "enough"
        assert troll.closed()[0] == 4003
        streamer.wait(lambda: streamer.texts == ["mine"], "all that was said to go")
    for token in (troll.token, None):
        with pytest.raises(ConnectionClosedError) as refused:
            ChatClient(url, token=token).open()
        assert refused.value.rcvd is not None
        assert refused.value.rcvd.code == 4003


def test_a_ban_from_watching_is_one_for_players_too(roomy: Program, owner: httpx.Client, url: str) -> None:
    name = url.split("/")[-2]
    playlist = f"{roomy.url}/app/{name}/master.m3u8"
    with guest(url, "Troll") as troll:
        said = troll.post("first", "t1")
        assert httpx.get(playlist).status_code != 403
        made = owner.post(f"/api/v1/streams/{name}/chat/bans", json={"message": said, "watching": True})
        assert made.status_code == 201, made.text
        assert httpx.get(playlist).status_code == 403
        assert httpx.get(f"{roomy.url}/app/{name}/any/v0/1.m4s").status_code == 403
        assert troll.closed()[0] == 4003
        response = troll._socket.response
        assert response is not None
        assert re.fullmatch(r"ghostlive_chat=[^;]{45}; .*HttpOnly; SameSite=Lax", response.headers["set-cookie"])
    owner.delete(f"/api/v1/streams/{name}/chat/bans/{made.json()['id']}").raise_for_status()
    assert httpx.get(playlist).status_code != 403


def test_only_who_is_sent_the_stream_has_watched(roomy: Program, owner: httpx.Client) -> None:
    channel = Channel.add(roomy, "watched")
    owner.patch(f"/api/v1/streams/{channel.name}/chat/rules", json={"followers": 1}).raise_for_status()
    url, player = chat_url(roomy.url, channel.name), {"User-Agent": "Player/1.0"}
    with publishing(channel.publish_url), ChatClient(url, headers=player) as ann, guest(url, "Liar") as liar:
        channel.wait_until("live")
        file = channel.renditions()["video"]
        ann.join("Ann")
        for client in (ann, liar):
            client.send(type="alive", playing=True)

        def playlist() -> MediaPlaylist:
            answer = channel.get(file, headers=player)
            assert answer.status_code == 200, answer.text
            return parse_media(answer.text)

        # Some seconds of it, for which the player asks all the time, as players do.
        first = len(playlist().segments)
        wait_for("three more segments", lambda: len(playlist().segments) >= first + 3, 60)
        missing = {}
        for client in (ann, liar):
            client.send(type="post", txn="t1", text="hello")
            error = client.error()
            assert error["code"] == "watch_longer"
            missing[client] = error["retry_after"]
        assert missing[liar] == 60, "its page says that it plays, and nothing was sent to it"
        assert missing[ann] < 60


def test_a_flood_is_held_back_and_others_are_not(tmp_path: Path) -> None:
    with running(tmp_path / "data", {"GHOSTLIVE_CHAT__ADDRESS_BURST": "0"}) as program:
        program.add_stream("flood")
        url = chat_url(program.url, "flood")
        with guest(url, "Flood") as flood, guest(url, "Calm") as calm:
            for number in range(50):  # after 60 refusals the socket is closed
                flood.send(type="post", txn=f"t{number}", text="buy")
            calm.post("hello", "c1")
            error = flood.error()
            assert error["code"] == "too_fast"
            assert error["retry_after"] > 0
            calm.wait(lambda: "hello" in calm.texts, "one's own message")
            assert calm.texts.count("buy") <= 10


def test_many_connections_from_one_address_are_refused(tmp_path: Path) -> None:
    with running(tmp_path / "data", {"GHOSTLIVE_CHAT__CONNECTIONS_PER_ADDRESS": "3"}) as program:
        program.add_stream("full")
        url = chat_url(program.url, "full")
        clients = [ChatClient(url) for _ in range(3)]
        for client in clients:
            client.open()
        late = ChatClient(url)
        with pytest.raises(ConnectionClosed):
            late.open()
        assert late.closed()[0] == 1013
        clients[0].close()
        wait_for("a place", lambda: _opens(url))
        for client in clients[1:]:
            client.close()


def _opens(url: str) -> bool:
    try:
        with ChatClient(url):
            return True
    except ConnectionClosed:
        return False


def test_everybody_is_told_that_the_server_stops(tmp_path: Path) -> None:
    with running(tmp_path / "data") as program:
        program.add_stream("end")
        with guest(chat_url(program.url, "end"), "Ann") as ann:
            stopping = threading.Thread(target=program.stop)
            stopping.start()
            assert ann.closed() == (1001, "the server stops")
            stopping.join()
