"""People in Matrix clients and on pages, with all of the server between them: moderation and pictures both ways."""

import struct
import zlib
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.chat_client import ChatClient, guest
from tests.support.matrix_house import MatrixHouse
from tests.support.program import get, wait_for
from websockets.exceptions import ConnectionClosedError


def png() -> bytes:
    """A picture of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")), chunk(b"IEND", b""))
    )


def test_a_ban_in_a_matrix_client_holds_on_the_page(house: MatrixHouse) -> None:
    chat = house.add_stream("banned")
    ann = chat.moderator()
    with guest(chat.url, "troll") as page:
        page.post("nonsense", "1")
        [event] = wait_for("the message in the room", lambda: chat.said("nonsense"))
        chat.act(ann, "ban", user_id=event["sender"], reason="spam")
        code, _ = page.closed()
        assert code == 4003
    with pytest.raises(ConnectionClosedError) as refused:
        ChatClient(chat.url).open()  # another browser, the same address
    assert refused.value.rcvd is not None
    assert refused.value.rcvd.code == 4003


def test_what_a_moderator_takes_away_in_a_matrix_client_is_gone_on_the_page(house: MatrixHouse) -> None:
    chat = house.add_stream("redacted")
    ann = chat.moderator()
    with guest(chat.url, "bob") as page:
        page.post("take this away", "1")
        [event] = wait_for("the message in the room", lambda: chat.said("take this away"))
        chat.redact(ann, event["event_id"], "no")
        page.wait(lambda: page.messages == [], "the message to go")


def test_a_picture_from_a_matrix_client_is_shown_on_the_page(house: MatrixHouse) -> None:
    chat = house.add_stream("pictures")
    ann = chat.person()
    uploaded = house.synapse.upload(ann, png(), "image/png")
    with ChatClient(chat.url) as page:
        chat.say(ann, "a.png", msgtype="m.image", url=uploaded, info={"mimetype": "image/png", "w": 1, "h": 1})
        page.wait(lambda: len(page.messages) == 1, "the picture")
        [message] = page.messages
        assert message["kind"] == "image"
        assert message["author"]["matrix"] == ann.mxid
        picture = get(f"{house.url}{message['media']['url']}", timeout=60)
        assert picture.status_code == 200, picture.text
        assert picture.content == png()
        assert picture.headers["content-type"] == "image/png"


def test_a_picture_that_waits_is_seen_by_who_moderates_until_it_is_decided(house: MatrixHouse) -> None:
    chat, synapse = house.add_stream("waiting"), house.synapse
    ann = synapse.person()
    face, cat = synapse.upload(ann, png(), "image/png"), synapse.upload(ann, png(), "image/png")
    path = f"/_matrix/client/v3/profile/{quote(ann.mxid)}/avatar_url"
    synapse.call("PUT", path, {"avatar_url": face}, by=ann)
    synapse.join(ann, chat.room)
    api = "/api/v1/streams/waiting/chat"
    house.owner.patch(f"{api}/rules", json={"approve": True}).raise_for_status()
    chat.say(ann, "a.png", msgtype="m.image", url=cat, info={"mimetype": "image/png", "w": 1, "h": 1})

    def held() -> list[Any]:
        found: list[Any] = house.owner.get(f"{api}/held").raise_for_status().json()["held"]
        return found

    [message] = wait_for("it to wait", held)
    pictures = [message["media"]["url"], message["author"]["avatar"]]
    for picture in pictures:
        seen = house.owner.get(picture)
        assert (seen.status_code, seen.headers["content-type"]) == (200, "image/png")
        assert "no-store" in seen.headers["cache-control"]
        assert get(f"{house.url}{picture}").status_code == 401
    with ChatClient(chat.url) as page:
        house.owner.post(f"{api}/held/{message['id']}", json={"allow": True}).raise_for_status()
        page.wait(lambda: len(page.messages) == 1, "the picture")
        assert get(f"{house.url}{page.messages[0]['media']['url']}", timeout=60).content == png()
    assert [house.owner.get(picture).status_code for picture in pictures] == [404, 404]
