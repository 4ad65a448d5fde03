"""What is acknowledged is stored: commits that fail or take long, a locked database, restarts, old messages."""

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import DatabaseError, OperationalError
from tests.support.chat import PATIENCE, Chat, JumpingClock, Page, open_chat

from ghostlive.chat import writer
from ghostlive.db.chat import ChatRepository, ChatTransaction, NewMessage
from ghostlive.db.engine import Database
from ghostlive.db.tables import chat_guests, chat_messages


class _Repository(ChatRepository):
    """Commits when it may, or fails."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.fail_before: list[Exception] = []
        self.fail_after: list[Exception] = []
        self.transactions = 0
        self.holding = 0
        """Transactions that wait for `may_commit`."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ChatTransaction]:
        self.transactions += 1
        async with super().transaction() as transaction:
            yield transaction
            self.holding += 1
            await self.may_commit.wait()
            self.holding -= 1
            if self.fail_before:
                raise self.fail_before.pop(0)
        if self.fail_after:
            raise self.fail_after.pop(0)


def _locked() -> OperationalError:
    return OperationalError("COMMIT", {}, sqlite3.OperationalError("database is locked"))


async def _stored(chat: Chat) -> list[str]:
    async with chat.database.read() as connection:
        return list(await connection.scalars(select(chat_messages.c.text).order_by(chat_messages.c.id)))


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[tuple[Chat, _Repository]]:
    """A chat whose commits a test controls."""
    async with open_chat(tmp_path, repository=_Repository) as chat:
        assert isinstance(chat.repository, _Repository)
        yield chat, chat.repository


async def test_nothing_is_told_before_it_is_stored(held: tuple[Chat, _Repository]) -> None:
    chat, repository = held
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    repository.may_commit.clear()
    ann.say("wait for it")
    ann.say("and this")
    await chat.until(lambda: repository.holding, "the transaction")
    chat.clock.advance(20)
    assert ann.acks == {}
    assert ann.texts() == bob.texts() == await _stored(chat) == []
    newcomer = await chat.enter()
    assert newcomer.texts() == []
    repository.may_commit.set()
    for page in (ann, bob, newcomer):
        await page.sees(lambda page: page.texts() == ["wait for it", "and this"])
    assert list(ann.acks.values()) == ann.order
    assert await _stored(chat) == ["wait for it", "and this"]


async def test_what_waits_during_a_commit_goes_into_one_transaction(held: tuple[Chat, _Repository]) -> None:
    chat, repository = held
    pages = [await chat.enter(f"Guest {number}") for number in range(10)]
    repository.may_commit.clear()
    before = repository.transactions
    pages[0].say("first")
    await chat.until(lambda: repository.holding, "the transaction")
    for page in pages:
        for number in range(10):
            page.say(f"m{number}")
    repository.may_commit.set()
    await pages[0].sees(lambda page: len(page.shown) == 101)
    assert repository.transactions == before + 2


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_commit_that_fails_is_tried_again_and_counts_once(held: tuple[Chat, _Repository], when: str) -> None:
    """A database may also say that it failed although it did not."""
    chat, repository = held
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    (repository.fail_before if when == "before" else repository.fail_after).extend([_locked(), _locked()])
    ann.say("once")
    ann.say("twice")
    await bob.sees(lambda page: page.texts() == ["once", "twice"])
    await ann.sees(lambda page: list(page.acks.values()) == page.order)
    assert await _stored(chat) == ["once", "twice"]
    assert ann.errors() == []


async def test_a_database_that_stays_locked_makes_the_chat_busy(held: tuple[Chat, _Repository]) -> None:
    chat, repository = held
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    repository.fail_before.extend([_locked()] * 1000)
    txn = ann.say("hello")
    await chat.until(lambda: len(repository.fail_before) < 1000, "the first failure")
    assert ann.errors() == []
    chat.clock.advance(31)
    error = await ann.next("error")
    assert (error["code"], error["txn"], error["retry_after"]) == ("busy", txn, 5.0)
    assert bob.texts() == await _stored(chat) == []
    repository.fail_before.clear()
    ann.say("hello", txn=txn)
    await bob.sees(lambda page: page.texts() == ["hello"])


async def test_a_full_disk_makes_the_chat_busy_and_loses_nothing(chat: Chat) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    await ann.post("before")
    full = "PRAGMA max_page_count = 1"  # SQLite takes the size that the file has

    def no_growth(connection: Any, _record: object) -> None:
        connection.execute(full).close()

    engine = chat.database.engine
    event.listen(engine.sync_engine, "connect", no_growth)
    await engine.dispose()
    texts = [f"{number} {'漢' * 490}" for number in range(12)]
    txns = {}
    for text in texts:
        chat.clock.advance(2)
        txns[text] = ann.say(text)

    def refused() -> bool:
        chat.clock.advance(0.01)
        return len(ann.errors()) == len(txns)

    await chat.until(refused, "every refusal")
    assert set(ann.errors()) == {"busy"}
    assert bob.texts() == await _stored(chat)
    assert not set(txns.values()) & set(ann.acks)
    event.remove(engine.sync_engine, "connect", no_growth)
    await engine.dispose()
    for text in texts:
        chat.clock.advance(2)
        ann.say(text, txn=txns[text])
    await ann.sees(lambda page: page.texts() == ["before", *texts])
    assert await _stored(chat) == ["before", *texts]


async def test_a_disk_that_hangs_makes_the_chat_busy(held: tuple[Chat, _Repository]) -> None:
    chat, repository = held
    ann = await chat.enter("Ann")
    repository.may_commit.clear()
    ann.say("one")
    await chat.until(lambda: repository.holding, "the transaction")
    chat.clock.advance(31)
    ann.say("two")
    assert ann.errors() == ["busy"]
    repository.may_commit.set()
    await ann.sees(lambda page: page.texts() == ["one"])


async def test_the_queue_is_bounded(held: tuple[Chat, _Repository], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_WAITING", 100)
    chat, repository = held
    pages = [await chat.enter(f"Guest {number}") for number in range(5)]
    repository.may_commit.clear()
    pages[0].say("on its way")
    await chat.until(lambda: repository.holding, "the transaction")
    for number in range(30):
        for page in pages:
            page.say(f"m{number}")
    assert [len(page.errors()) for page in pages] == [10] * 5
    assert set(pages[0].errors()) == {"busy"}
    repository.may_commit.set()
    for page in pages:
        await page.sees(lambda page: len(page.shown) == 101)
    assert len(await _stored(chat)) == 101


async def test_one_message_that_the_database_refuses_does_not_keep_others_out(held: tuple[Chat, _Repository]) -> None:
    chat, repository = held
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    repository.may_commit.clear()
    bob.say("first")
    await chat.until(lambda: repository.holding, "the transaction")
    add_messages = ChatTransaction.add_messages

    async def refuse(self: ChatTransaction, new: list[NewMessage]) -> set[int]:
        if any(message.text == "poison" for message in new):
            raise DatabaseError("INSERT", {}, Exception("no"))
        return await add_messages(self, new)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChatTransaction, "add_messages", refuse)
        for text in ("a", "poison", "b"):
            ann.say(text)
        repository.may_commit.set()
        await bob.sees(lambda page: page.texts() == ["first", "a", "b"])
        assert ann.errors() == ["busy"]
        assert not ann.closed()


@pytest.mark.parametrize("seconds", [1.0, pytest.param(6.5, id="longer than SQLite waits by itself")])
async def test_a_database_locked_by_another_program(tmp_path: Path, seconds: float) -> None:
    async with open_chat(tmp_path) as chat:
        ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
        lock = _Lock(tmp_path / "ghostlive.db", seconds)
        await asyncio.to_thread(lock.take)
        for number in range(50):
            ann.say(f"a{number}")
            bob.say(f"b{number}")
            await asyncio.sleep(0.01)
        newcomer = await chat.enter()  # reading goes on
        assert newcomer.texts() == []
        lock.release()
        for page in (ann, bob, newcomer):
            await page.sees(lambda page: len(page.shown) == 100)
        assert lock.over
        await asyncio.to_thread(lock.wait)
        assert ann.order == bob.order == newcomer.order
        assert sorted([*ann.acks.values(), *bob.acks.values()]) == ann.order
        assert sorted(await _stored(chat)) == sorted(ann.texts())
        assert ann.errors() == bob.errors() == []


class _Lock:
    """Another program that writes for some time, and until it is released."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self.over = False
        """Nobody could write before."""
        self._taken = threading.Event()
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._hold, daemon=True)

    def take(self) -> None:
        self._thread.start()
        assert self._taken.wait(10)

    def release(self) -> None:
        self._released.set()

    def wait(self) -> None:
        self._thread.join()

    def _hold(self) -> None:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            self._taken.set()
            time.sleep(self._seconds)
            self._released.wait(60)
            self.over = True
            connection.execute("ROLLBACK")


async def test_the_same_txn_is_stored_once(chat: Chat) -> None:
    ann, bob = await chat.enter("Ann"), await chat.enter("Bob")
    ann.say("hello", txn="x")
    ann.say("hello", txn="x")
    bob.say("mine", txn="x")  # of somebody else
    await bob.sees(lambda page: len(page.shown) == 2)
    first = ann.acks["x"] if ann.texts() else 0
    ann.say("hello", txn="x")
    await chat.until(lambda: ann.texts() and sum(message["type"] == "ack" for message in ann.got) == 3)
    await chat.restart()
    await ann.back()
    ann.say("hello", txn="x")
    await ann.sees(lambda page: sum(message["type"] == "ack" for message in page.got) == 4)
    assert ann.acks["x"] == first
    assert sorted(await _stored(chat)) == ["hello", "mine"]


async def test_a_txn_that_only_the_database_knows(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    first = await ann.post("hello", txn="x")
    for number in range(400):
        ann.say(f"m{number}")
        chat.clock.advance(0.01)
    await ann.sees(lambda page: len(page.acks) == 401)
    ann.acks.clear()
    ann.say("hello", txn="x")
    await ann.sees(lambda page: page.acks == {"x": first})
    assert len(await _stored(chat)) == 401


async def test_numbers_go_on_after_a_restart_and_after_everything_is_gone(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    first = await ann.post("one")
    ann.send({"type": "delete", "id": first})
    await ann.sees(lambda page: not page.shown)
    newest = ann.seq
    assert newest is not None
    await chat.restart()
    await ann.back()
    second = await ann.post("two")
    assert second > newest
    await chat.streams.remove("demo")
    await chat.streams.add("demo")
    chat.clock.advance(60)
    await chat.restart()
    ann.seq = None
    await ann.back()
    ann.acks.clear()
    await ann.join("Ann")
    assert await ann.post("three") > second


async def test_another_process_that_writes_messages_does_not_lose_any(chat: Chat) -> None:
    ann = await chat.enter("Ann")
    first = await ann.post("one")
    async with chat.repository.transaction() as transaction:
        other = [
            NewMessage(first + 1 + number, 1, "g_other", f"t{number}", "O", "guest", "theirs", None, chat.service.now())
            for number in range(5)
        ]
        assert len(await transaction.add_messages(other)) == 5
    assert await ann.post("two") == first + 6
    assert sorted(await _stored(chat)) == ["one", "theirs", "theirs", "theirs", "theirs", "theirs", "two"]


async def test_old_messages_and_guests_are_deleted(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with open_chat(tmp_path, clock, keep_days=3) as chat:
        ann = await chat.enter("Ann")
        for number in range(5):
            await ann.post(f"old {number}")
        ann.leave()
        clock.advance(2 * 86400)
        bob = await chat.enter("Bob")
        await bob.post("newer")
        assert await chat.service.retention.purge() == 0
        clock.advance(1.5 * 86400)
        assert await chat.service.retention.purge() == 6  # and Ann
        assert await _stored(chat) == ["newer"]
        cat = await chat.enter("Cat")
        assert cat.texts() == ["newer"]
        await chat.restart()
        await ann.back()
        assert ann.you is None
        assert (await chat.enter()).texts() == ["newer"]
        async with chat.database.read() as connection:
            assert await connection.scalar(select(func.count()).select_from(chat_guests)) == 2


async def test_without_a_limit_nothing_is_deleted(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with open_chat(tmp_path, clock, keep_days=0) as chat:
        ann = await chat.enter("Ann")
        await ann.post("for ever")
        ann.leave()
        clock.advance(5000 * 86400)
        assert await chat.service.retention.purge() == 0
        assert await _stored(chat) == ["for ever"]


async def _noted(chat: Chat) -> None:
    """Wait until it is stored that the one guest is here now, which nobody is told."""
    async with asyncio.timeout(60):
        while True:
            async with chat.database.read() as connection:
                seen = await connection.scalar(select(chat_guests.c.last_seen_at))
            if seen is not None and chat.service.now() - seen < timedelta(days=1):
                return


async def test_a_guest_who_comes_again_is_kept(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with open_chat(tmp_path, clock, keep_days=3) as chat:
        ann = await chat.enter("Ann")
        for _ in range(4):
            ann.leave()
            clock.advance(2 * 86400)
            await ann.back()
            await _noted(chat)
            await chat.service.retention.purge()
        assert ann.you is not None


@pytest.mark.parametrize("seed", range(4))
async def test_nobody_misses_or_doubles_anything_over_random_breaks(chat: Chat, seed: int) -> None:
    """Pages come and go while others talk and delete; each knows at the end what the database knows."""
    dice = random.Random(seed)
    pages = [await chat.enter(f"Guest {number}") for number in range(6)]
    waiting: dict[Page, list[tuple[str, str]]] = {page: [] for page in pages}
    for turn in range(150):
        page = dice.choice(pages)
        match dice.randrange(10):
            case 0:
                page.leave()
            case 1:
                # What was not acknowledged is sent again, as pages do.
                await page.back()
                for txn, text in waiting[page]:
                    page.say(text, txn=txn)
            case 2 if page.peer is not None and page.texts():
                own = [key for key, said in page.shown.items() if said["author"]["id"] == (page.you or {}).get("id")]
                if own:
                    page.send({"type": "delete", "id": dice.choice(own)})
            case 3:
                chat.clock.advance(dice.random())
            case _ if page.peer is not None:
                text = f"turn {turn}"
                waiting[page].append((page.say(text), text))
        if dice.random() < 0.3:
            await asyncio.sleep(dice.random() * 0.01)
        for page in pages:
            page.texts()
            waiting[page] = [(txn, text) for txn, text in waiting[page] if txn not in page.acks]
    for page in pages:
        await page.back()
        for txn, text in waiting[page]:
            page.say(text, txn=txn)
    await chat.until(lambda: all(page.texts() is not None and not _unacknowledged(page, waiting) for page in pages))
    alive = select(chat_messages.c.text).where(chat_messages.c.deleted_seq.is_(None)).order_by(chat_messages.c.id)

    async def agreed() -> list[str]:
        """What is stored, once all pages show it: a deletion may be under way still."""
        async with asyncio.timeout(PATIENCE):
            while True:
                async with chat.database.read() as connection:
                    stored = list(await connection.scalars(alive))
                chat.clock.advance(0)
                # A page that was away for long was reset, and has the last hundred.
                if all(page.texts() == stored[-len(page.texts()) :] for page in pages):
                    return stored
                await asyncio.sleep(0.01)

    stored = await agreed()
    assert len(stored) == len(set(stored))
    for page in pages:
        assert page.texts()[-50:] == stored[-50:]
    async with chat.database.read() as connection:
        every = await connection.scalar(select(func.count()).select_from(chat_messages))
    assert every == sum(len(page.acks) for page in pages)


def _unacknowledged(page: Page, waiting: dict[Page, list[tuple[str, str]]]) -> list[Any]:
    return [txn for txn, _ in waiting[page] if txn not in page.acks]


async def test_a_name_that_could_not_be_stored_is_free_again(held: tuple[Chat, _Repository]) -> None:
    chat, repository = held
    ann = await chat.enter("Ann")
    repository.fail_before.extend([_locked()] * 1000)
    ann.send({"type": "join", "name": "Zed"})
    await chat.until(lambda: len(repository.fail_before) < 1000, "the first failure")
    chat.clock.advance(31)
    assert (await ann.next("error"))["code"] == "busy"
    repository.fail_before.clear()
    ann.send({"type": "people"})
    assert [author["name"] for author in (await ann.next("people"))["names"]] == ["Ann"]
    await chat.enter("Zed")
    assert (await (await chat.enter()).join("Ann"))["code"] == "name_taken"
    await ann.post("still Ann")
    await ann.sees(lambda page: [said["author"]["name"] for said in page.shown.values()] == ["Ann"])
