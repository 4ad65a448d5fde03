"""The chat's tables."""

from datetime import UTC, datetime, timedelta

import pytest

from ghostlive.db.bans import BanRepository, NewBan, add_ban
from ghostlive.db.chat import ChatRepository, GuestRecord, MediaRecord, NewMessage, ReactionRecord
from ghostlive.db.engine import Database
from ghostlive.db.streams import StreamRepository

NOW = datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=UTC)


@pytest.fixture
async def chat(database: Database) -> ChatRepository:
    for name in ("one", "two"):
        await StreamRepository(database).add(name)
    return ChatRepository(database)


def _message(number: int, *, stream_id: int = 1, txn: str = "", reply_to: int | None = None) -> NewMessage:
    txn = txn or f"t{number}"
    return NewMessage(number, stream_id, "g_ann", txn, "Ann", "guest", f"m{number}", reply_to, NOW + timedelta(number))


async def _add(chat: ChatRepository, *messages: NewMessage) -> set[int]:
    async with chat.transaction() as transaction:
        return await transaction.add_messages(messages)


async def test_messages_come_back_as_they_were(chat: ChatRepository) -> None:
    assert await _add(chat, _message(1), _message(2, reply_to=1), _message(3, stream_id=2, reply_to=1)) == {1, 2, 3}
    first, second = await chat.recent(1, 10)
    assert (first.id, first.author, first.txn, first.name, first.role, first.text) == (
        1, "g_ann", "t1", "Ann", "guest", "m1",
    )  # fmt: skip
    assert first.sent_at == NOW + timedelta(1)
    assert (second.reply_to, second.reply_name, second.reply_text) == (1, "Ann", "m1")
    [third] = await chat.recent(2, 10)
    assert (third.reply_to, third.reply_name) == (1, None)  # of another stream
    assert [message.id for message in await chat.recent(1, 1)] == [2]
    assert await chat.newest() == 3


async def test_a_txn_counts_once_for_each_author_and_stream(chat: ChatRepository) -> None:
    assert await _add(chat, _message(1, txn="x"), _message(2, txn="x"), _message(3, txn="x", stream_id=2)) == {1, 3}
    assert await _add(chat, _message(4, txn="x"), _message(5)) == {5}
    assert await _add(chat, _message(5, txn="other")) == set()  # the number is taken
    async with chat.transaction() as transaction:
        assert await transaction.find_txn(1, "g_ann", "x") == 1
        assert await transaction.find_txn(1, "g_ann", "other") is None
        assert await transaction.find_txn(1, "g_bob", "x") is None


async def test_a_thousand_messages_in_one_transaction(chat: ChatRepository) -> None:
    assert len(await _add(chat, *[_message(number) for number in range(1, 2001)])) == 2000
    async with chat.transaction() as transaction:
        assert len(await transaction.messages(1, range(1, 3000))) == 2000
        assert await transaction.messages(2, [1]) == {}
        assert await transaction.messages_of(1, "g_ann") == list(range(1, 2001))
        await transaction.delete_messages(range(1, 2001), seq=2001, by="mo")
    assert await chat.recent(1, 5000) == []


async def test_deleted_messages_leave_only_that_they_were_there(chat: ChatRepository) -> None:
    await _add(chat, _message(1), _message(2), _message(3, reply_to=1))
    async with chat.transaction() as transaction:
        await transaction.delete_messages([1, 2], seq=4, by="mo")
        await transaction.delete_messages([1], seq=5, by="again")
    [left] = await chat.recent(1, 10)
    assert (left.reply_to, left.reply_name, left.reply_text) == (1, "Ann", None)
    assert await chat.deletions(1, after=0, limit=10) == [(4, 1), (4, 2)]
    assert await chat.deletions(1, after=0, limit=1) == [(4, 2)]
    assert await chat.deletions(1, after=4, limit=10) == []
    assert await chat.newest() == 4


async def test_guests(chat: ChatRepository) -> None:
    guest = GuestRecord("g_1", "hash", "Ann", "addr", NOW, NOW)
    async with chat.transaction() as transaction:
        await transaction.add_guest(guest)
        await transaction.add_guest(guest)  # tried again
    assert await chat.guest_by_token("hash") == guest
    assert await chat.guest_by_token("other") is None
    assert "hash" not in repr(guest)
    later = NOW + timedelta(1)
    async with chat.transaction() as transaction:
        await transaction.see_guest("g_1", name="Anna", address_hash="b", at=later)
        assert await transaction.guest("g_1") == GuestRecord("g_1", "hash", "Anna", "b", NOW, later)
        assert await transaction.guest("g_2") is None


async def test_what_is_old_goes_but_the_highest_number_stays(chat: ChatRepository) -> None:
    await _add(chat, *[_message(number) for number in range(1, 11)])
    before = NOW + timedelta(100)
    assert await chat.purge_messages(before=NOW + timedelta(4), limit=2) == 2
    assert await chat.purge_messages(before=NOW + timedelta(4), limit=2) == 1
    assert await chat.purge_messages(before=NOW + timedelta(4), limit=2) == 0
    assert await chat.purge_messages(before=before, limit=100) == 6
    assert await chat.purge_messages(before=before, limit=100) == 0
    assert [message.id for message in await chat.recent(1, 10)] == [10]
    async with chat.transaction() as transaction:
        await transaction.add_guest(GuestRecord("g_1", "x", "Ann", "", NOW, NOW))
        await transaction.add_guest(GuestRecord("g_2", "y", "Bob", "", NOW, before))
        await add_ban(transaction.connection, NewBan(1, "Ann", "mo", NOW, NOW))
        await add_ban(transaction.connection, NewBan(1, "Bob", "mo", NOW))
    assert await chat.purge_people(before=before) == 1
    assert len(await BanRepository(chat.database).bans(1, now=NOW - timedelta(1))) == 1


async def test_a_stream_takes_its_chat_along(chat: ChatRepository, database: Database) -> None:
    await _add(chat, _message(1), _message(2, stream_id=2))
    key = await chat.stream("one")
    assert key is not None
    assert key.id == 1
    await StreamRepository(database).remove("one")
    assert await chat.stream("one") is None
    assert await chat.recent(1, 10) == []
    assert await chat.newest() == 2


async def test_what_messages_have_beside_their_text(chat: ChatRepository) -> None:
    plain, rich = _message(1), _message(2)._replace(kind="image", mxid="@a:b", html="<b>x</b>", extra='{"media":{}}')
    await _add(chat, plain, rich)
    first, second = await chat.recent(1, 10)
    assert (first.kind, first.mxid, first.html, first.extra) == ("text", None, None, None)
    assert (second.kind, second.mxid, second.html, second.extra) == ("image", "@a:b", "<b>x</b>", '{"media":{}}')
    async with chat.transaction() as transaction:
        await transaction.edit_message(1, seq=3, text="new", html=None, extra=None, at=NOW)
    edited = (await chat.messages(1, [1]))[1]
    assert (edited.text, edited.edited_at, edited.changed_seq) == ("new", NOW, 3)
    assert await chat.newest() == 3
    assert await chat.newest_change(1, before=2) == 3
    assert await chat.newest_change(1, before=1) == 0
    last = await chat.last_of(1, "g_ann")
    assert last is not None
    assert last.id == 2


async def test_reactions_count_once_and_go_with_their_message(chat: ChatRepository) -> None:
    await _add(chat, _message(1), _message(2))
    ann, bob = ReactionRecord(1, "g_ann", "x"), ReactionRecord(1, "g_bob", "x")
    async with chat.transaction() as transaction:
        assert await transaction.add_reaction(ann, seq=3)
        assert not await transaction.add_reaction(ann, seq=4)
        assert await transaction.add_reaction(bob, seq=5)
        assert await transaction.add_reaction(ReactionRecord(2, "g_bob", "y"), seq=6)
        assert await transaction.reaction_keys(1) == ["x"]
    assert await chat.reactions([1, 2]) == [ann, bob, ReactionRecord(2, "g_bob", "y")]
    async with chat.transaction() as transaction:
        assert await transaction.remove_reaction(ann, seq=7)
        assert not await transaction.remove_reaction(ann, seq=8)
        await transaction.delete_messages([2], seq=9, by="mo")
    assert await chat.reactions([1, 2]) == [bob]
    assert (await chat.messages(1, [1]))[1].changed_seq == 7


async def test_events_belong_to_one_message_and_are_forgotten_with_it(chat: ChatRepository) -> None:
    await _add(chat, _message(1), _message(2), _message(3))
    reaction = ReactionRecord(1, "m_x", "👍")
    async with chat.transaction() as transaction:
        assert await transaction.add_event(1, "$one", 1, "message")
        assert not await transaction.add_event(1, "$one", 2, "message")
        assert await transaction.add_event(1, "$re", 1, "reaction", author="m_x", key="👍")
        assert await transaction.events_of([1, 2]) == {1: "$one"}
        assert await transaction.reaction_event(reaction) == "$re"
    assert await chat.message_of(1, "$one") == 1
    assert await chat.message_of(2, "$one") is None  # the event of another room
    found = await chat.event(1, "$re")
    assert found is not None
    assert (found.kind, found.author, found.key) == ("reaction", "m_x", "👍")
    assert await chat.events_of([1], "reaction") == {1: "$re"}
    async with chat.transaction() as transaction:
        await transaction.remove_event("$re")
    assert await chat.reaction_event(reaction) is None
    assert await chat.purge_messages(before=NOW + timedelta(2), limit=10) == 1
    assert await chat.message_of(1, "$one") is None


async def test_pictures_go_with_their_message_and_stickers_stay(chat: ChatRepository) -> None:
    extra = '{{"media":{{"url":"/api/v1/chat/media/{}?w=640"}}}}'
    await _add(
        chat,
        _message(1)._replace(kind="image", extra=extra.format("pic")),
        _message(2)._replace(kind="sticker", extra=extra.format("sticker")),
        _message(3)._replace(kind="image", extra=None),
    )
    some = [MediaRecord("pic", "mxc://a/pic", "image/png"), MediaRecord("sticker", "mxc://a/st", "image/png")]
    face = MediaRecord("face", "mxc://a/face", "")
    async with chat.transaction() as transaction:
        await transaction.add_media([*some, face], at=NOW)
        await transaction.add_media(some, at=NOW)
    assert await chat.media("pic") == some[0]
    async with chat.transaction() as transaction:
        await transaction.delete_messages([1, 2, 3], seq=4, by="mo")
    assert await chat.media("pic") is None
    assert await chat.media("sticker") == some[1]
    assert await chat.purge_media(before=NOW) == 0
    assert await chat.purge_media(before=NOW + timedelta(1)) == 1
    assert await chat.media("face") == face
