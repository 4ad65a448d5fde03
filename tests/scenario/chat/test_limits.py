"""Floods, silence, too many connections, clocks that are set: what one person can do to the others."""

import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.support.chat import Chat, FakeConnection, Page, open_chat

from ghostlive.chat.errors import TooManyConnectionsError, UnavailableError, UnknownStreamError
from ghostlive.core.websocket import Opening


async def _settle(chat: Chat, page: Page) -> int:
    """Wait until everything that this page sent was answered; how many were acknowledged."""
    await chat.until(lambda: page.texts() is not None and len(page.acks) + len(page.errors()) == page.sent)
    return len(page.acks)


async def test_one_guest_may_write_five_at_once_and_then_one_every_one_and_a_half_seconds(tmp_path: Path) -> None:
    async with open_chat(tmp_path, burst=5) as chat:
        ann, bob = await chat.enter("Ann"), await chat.enter("Bob", address="192.0.2.2")
        for _ in range(20):
            ann.say("flood")
        assert await _settle(chat, ann) == 5
        assert set(ann.errors()) == {"too_fast"}
        error = next(message for message in ann.got if message["type"] == "error")
        assert error["txn"] == "t6"
        assert 0 < error["retry_after"] <= 1.6
        await bob.post("others are not disturbed")
        chat.clock.advance(error["retry_after"])
        await ann.post("again")
        second = chat.page(address="192.0.2.9")  # the same guest elsewhere
        second.token = ann.token
        await second.open()
        await second.hello()
        second.say("more", txn="other")
        assert (await second.next("error"))["code"] == "too_fast"
        await bob.post("all that waited is stored")
        chat.clock.advance(60)
        for _ in range(10):
            ann.say("flood")
        assert await _settle(chat, ann) == 11


async def test_one_address_with_many_guests(tmp_path: Path) -> None:
    async with open_chat(tmp_path, address_burst=20, burst=5) as chat:
        pages = []
        for number in range(12):
            pages.append(await chat.enter(f"Guest {number}", address="2001:db8::" + hex(number)[2:]))
            chat.clock.advance(1)
        chat.clock.advance(60)
        for page in pages:
            for _ in range(5):
                page.say("flood")
        assert sum([await _settle(chat, page) for page in pages]) == 20
        await (await chat.enter("Else", address="2001:db8:0:1::1")).post("from elsewhere")
        chat.clock.advance(0.3)
        await pages[-1].post("and slowly from here")


async def test_new_guests_from_one_address_are_limited(tmp_path: Path) -> None:
    async with open_chat(tmp_path, guests_per_address=3) as chat:
        for number in range(3):
            await chat.enter(f"Guest {number}")
        page = await chat.enter()
        error = await page.join("Guest 3")
        assert error["code"] == "too_fast"
        assert error["retry_after"] == pytest.approx(5, abs=0.2)
        chat.clock.advance(error["retry_after"])
        assert (await page.join("Guest 3"))["type"] == "joined"


async def test_deleting_is_limited_by_address(tmp_path: Path) -> None:
    async with open_chat(tmp_path, address_burst=20) as chat:
        pages = [await chat.enter(f"Guest {number}") for number in range(2)]
        bob = await chat.enter("Bob", address="192.0.2.2")
        stranger = await chat.enter()
        chat.clock.advance(60)
        own = await pages[0].post("mine")
        for page in pages:
            for number in range(15):
                page.send({"type": "delete", "id": number})
        await chat.until(lambda: len(pages[0].errors()) + len(pages[1].errors()) == 30)
        errors = [*pages[0].errors(), *pages[1].errors()]
        assert sorted(set(errors)) == ["not_found", "too_fast"]
        assert errors.count("not_found") == 20
        pages[0].send({"type": "delete", "id": own})
        assert (await pages[0].next("error"))["retry_after"] <= 0.3
        stranger.send({"type": "delete", "id": own})
        assert (await stranger.next("error"))["code"] == "not_allowed"
        bob.send({"type": "delete", "id": own})
        assert (await bob.next("error"))["code"] == "not_allowed"
        chat.clock.advance(0.3)
        pages[0].send({"type": "delete", "id": own})
        assert (await bob.next("deleted"))["ids"] == [own]


async def test_sending_again_what_is_stored_costs_nothing(tmp_path: Path) -> None:
    async with open_chat(tmp_path, burst=2, interval=100.0) as chat:
        ann = await chat.enter("Ann")
        for number in range(2):
            await ann.post(f"m{number}", txn=f"x{number}")
        await ann.back()
        for number in range(2):
            ann.say(f"m{number}", txn=f"x{number}")
        await chat.until(lambda: ann.texts() and len([m for m in ann.got if m["type"] == "ack"]) == 4)
        assert ann.errors() == []


async def test_clocks_that_are_set_change_neither_order_nor_limits(tmp_path: Path) -> None:
    async with open_chat(tmp_path, burst=2, interval=10.0) as chat:
        ann, bob = await chat.enter("Ann"), await chat.enter("Bob", address="192.0.2.2")
        expected = []
        for turn, jump in enumerate([0, 7200, -14400, 3600, -86400, 100000]):
            chat.clock.jump(jump)
            for page in (ann, bob):
                await page.post(f"turn {turn}")
                expected.append(f"turn {turn}")
            ann.say("one more")
            if turn == 0:
                await ann.sees(lambda page: "one more" in page.texts())
                expected.append("one more")
            else:
                await ann.next("error")
            chat.clock.advance(10)
        assert ann.texts() == expected
        assert set(ann.errors()) == {"too_fast"}
        await chat.restart()
        await bob.back()
        assert bob.texts() == expected
        assert (await chat.enter()).texts() == expected


async def test_whoever_floods_with_nonsense_is_put_out(chat: Chat) -> None:
    for nonsense in (
        "",
        "{",
        "[" * 8000,
        '{"type":"post"}',
        '{"type":"nothing"}',
        "7",
        '{"type":"hello"}',
        "\x00" * 8192,
    ):
        page = await chat.enter()
        for _ in range(9):
            page.send(nonsense)
        assert page.errors() == ["bad_message"] * 9
        assert not page.closed()
        page.send(nonsense)
        assert page.errors() == ["bad_message"] * 10
        assert page.closed() == (1008, "too many bad messages")
        page.send(nonsense)
        page.leave()
    page = await chat.page().open()
    for _ in range(10):
        page.send({"type": "join", "name": "x"})
    assert page.errors() == ["hello_first"] * 10
    assert page.closed() == (1008, "too many bad messages")


async def test_whoever_sends_too_much_is_put_out(chat: Chat) -> None:
    page = await chat.enter()
    for _ in range(299):
        page.send({"type": "ping"})
    assert not page.closed()
    for _ in range(2):
        page.send({"type": "ping"})
    assert page.closed() == (1008, "too many messages")
    page = await chat.enter()
    for _ in range(100):
        page.send({"type": "post", "txn": "x", "text": "no name"})
    assert page.errors() == ["name_needed"] * 61
    assert page.closed() == (1008, "too many messages")
    page = await chat.enter()
    page.send({"type": "join", "name": "Ann"})
    for _ in range(100):  # while the name is being stored
        page.say("x")
    assert page.closed() == (1008, "too many messages")


async def test_what_comes_while_a_name_is_stored_waits_for_it(chat: Chat) -> None:
    page = await chat.page().open()
    page.send({"type": "hello"})
    page.send({"type": "join", "name": "Ann"})
    page.say("first")
    page.send({"type": "join", "name": "Anna"})
    page.say("second")
    page.send({"type": "ping"})
    await page.sees(lambda page: page.texts() == ["first", "second"])
    assert [said["author"]["name"] for said in page.shown.values()] == ["Ann", "Anna"]
    assert page.errors() == []


async def test_who_does_not_say_hello_or_falls_silent_is_put_out(chat: Chat) -> None:
    mute, quiet, lively = await chat.page().open(), await chat.enter("Quiet"), await chat.enter()
    chat.clock.advance(9)
    assert not mute.closed()
    chat.clock.advance(3)
    assert mute.closed() == (1008, "no hello")
    for _ in range(3):
        chat.clock.advance(25)
        lively.send({"type": "ping"})
        await lively.next("pong")
    assert quiet.closed() == (1008, "silence")
    assert not lively.closed()


async def test_connections_from_one_address_are_limited(tmp_path: Path) -> None:
    async with open_chat(tmp_path, connections_per_address=3) as chat:
        pages = [await chat.page(address=f"2001:db8::{number}").open() for number in range(1, 4)]
        more = await chat.page(address="2001:db8::9").open()
        assert more.closed() == (1013, "too many connections from this address")
        more.send({"type": "hello"})
        more.leave()
        assert not (await chat.page(address="2001:db8:0:1::9").open()).closed()
        pages[0].leave()
        again = await chat.page(address="2001:db8::10").open()
        assert not again.closed()
        assert (await again.hello())["type"] == "welcome"


async def test_connections_to_the_server_are_limited(tmp_path: Path) -> None:
    async with open_chat(tmp_path, connections=2) as chat:
        pages = [await chat.page().open() for _ in range(2)]
        with pytest.raises(TooManyConnectionsError) as caught:
            await chat.page().open()
        assert caught.value.status == 503
        pages[0].leave()
        await chat.page().open()


@pytest.mark.parametrize(
    "path", ["/api/v1/streams/none/chat", "/api/v1/streams/demo/chat/", "/api/v1/streams/../chat", "/"]
)
async def test_there_is_no_chat_elsewhere(chat: Chat, path: str) -> None:
    with pytest.raises(UnknownStreamError):
        await chat.gateway.open(Opening(f"/api/v1/{path}", "", "192.0.2.1"), FakeConnection())
    assert len(chat.gateway) == 0


async def test_a_chat_that_is_off(tmp_path: Path) -> None:
    async with open_chat(tmp_path, enabled=False) as chat:
        with pytest.raises(UnknownStreamError):
            await chat.page().open()


async def test_a_database_that_cannot_be_read(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await chat.enter("Ann")
    ann.leave()
    chat.clock.advance(120)  # the room is forgotten

    async def fail(*_: object, **__: object) -> None:
        raise OSError("no disk")

    monkeypatch.setattr(chat.repository, "recent", fail)
    with capture_logs() as lines, pytest.raises(UnavailableError):
        await chat.page().open()
    assert [line["log_level"] for line in lines if line["log_level"] != "debug"] == ["warning"]
    monkeypatch.undo()
    monkeypatch.setattr(chat.repository, "guest_by_token", fail)
    welcome = await ann.back()
    assert welcome["you"] is None
    assert ann.errors() == ["busy"]
    monkeypatch.undo()
    await ann.back()
    assert ann.you is not None


async def test_who_leaves_in_the_middle_of_something_leaves_nothing_behind(chat: Chat) -> None:
    for stage in range(6):
        page = await chat.page().open()
        if stage >= 1:
            page.send({"type": "hello"})
        if stage >= 2:
            await page.next("welcome")
        if stage >= 3:
            page.send({"type": "join", "name": f"Ann {stage}"})
        if stage >= 4:
            await page.next("joined")
        if stage >= 5:
            page.say("bye")
        page.leave()
    watcher = await chat.enter()
    await watcher.sees(lambda page: page.texts() == ["bye"])
    watcher.send({"type": "people"})
    assert (await watcher.next("people")) == {"type": "people", "people": 1, "names": []}
    for stage in range(6):
        assert (await (await chat.enter()).join(f"Ann {stage}"))["type"] == "joined"
    assert len(chat.gateway) == 7


async def test_who_does_not_read_is_dropped_and_others_are_served(chat: Chat) -> None:
    ann, slow = await chat.enter("Ann"), await chat.enter("Slow")
    slow.connection.waiting = 2 * 256 * 1024
    for number in range(80):
        ann.say("x" * 400 + str(number))
    await ann.sees(lambda page: len(page.shown) == 80)
    await chat.until(slow.closed)
    assert slow.closed() == (1008, "too slow to read")
    slow.leave()
    await slow.back()
    assert len(slow.shown) == 80
    # Who asks and does not read the answers, too.
    slow.connection.waiting = 2 * 256 * 1024
    slow.send({"type": "ping"})
    assert slow.closed() == (1008, "too slow to read")


async def test_a_long_history_drops_nobody(tmp_path: Path) -> None:
    class Slow(FakeConnection):
        """Its peer has read nothing yet."""

        def write(self, frames: bytes) -> None:
            super().write(frames)
            self.waiting += len(frames)

    async with open_chat(tmp_path, waiting_bytes=20_000) as chat:
        ann = await chat.enter("Ann")
        for number in range(100):
            ann.say("x" * 400 + str(number))
        await ann.sees(lambda page: len(page.shown) == 100)
        slow = Slow()
        peer = await chat.gateway.open(Opening("/api/v1/streams/demo/chat", "", "192.0.2.2"), slow)
        peer.text('{"type":"hello"}')
        await chat.until(lambda: slow.waiting > 40_000)
        await ann.post("more")
        await chat.until(lambda: b"more" in slow.written[-1])
        for _ in range(2):
            chat.clock.advance(5)
            for number in range(100):
                ann.say("y" * 400 + str(number))
            await ann.sees(lambda page: len(page.acks) == page.sent)
        await chat.until(lambda: slow.closed == (1008, "too slow to read"))
        peer.gone()


@pytest.mark.limit(300)
async def test_ten_thousand_viewers_are_served_in_short_turns(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    ann = await chat.enter("Ann")
    connections = []
    for number in range(10_000):
        connection = FakeConnection()
        opening = Opening("/api/v1/streams/demo/chat", "", f"10.1.{number >> 8}.{number & 255}")
        peer = await chat.gateway.open(opening, connection)
        peer.text('{"type":"hello"}')
        connections.append(connection)
    await chat.until(lambda: all(connection.written for connection in connections))
    chat.clock.advance(3)
    await ann.next("count")
    for connection in connections:
        connection.written.clear()
    turns, longest = 0, 0.0
    call_later = chat.clock.call_later

    def measured(delay: float, callback):  # type: ignore[no-untyped-def]
        def call() -> None:
            nonlocal turns, longest
            begin = time.thread_time()
            callback()
            turns, longest = turns + 1, max(longest, time.thread_time() - begin)

        return call_later(delay, call)

    monkeypatch.setattr(chat.clock, "call_later", measured)
    for number in range(3):
        ann.say(f"m{number}")
    await chat.until(lambda: all(connection.written for connection in connections))
    assert all(len(connection.texts()) == 3 for connection in connections)
    assert turns >= 10_000 / 256
    assert longest < 0.02  # 4 ms on an idle machine, whatever the number of viewers
