"""Policy lists: what counts as a rule, whom rules keep out, and that strangers cannot break them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.database import prepare

from ghostlive.chat.errors import BannedError, UnavailableError
from ghostlive.chat.matrix.policy import KINDS, Policies, check_list, parse_rule
from ghostlive.chat.matrix.rulebook import MOST_PATTERNS, MOST_RULES, RuleBook
from ghostlive.db.bans import BanRepository, PolicyRecord, RuleRecord
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.streams import StreamRepository

NOW = datetime(2027, 1, 1, tzinfo=UTC)


def rule(
    entity: Any, *, kind: str = "m.policy.rule.user", key: str = "k", recommendation: Any = "m.ban", **more: Any
) -> dict[str, Any]:
    content = {"entity": entity, "recommendation": recommendation, "reason": "spam", **more}
    return {"type": kind, "state_key": key, "content": content, "sender": "@list:x"}


class Rooms:
    """See `PolicyRooms`."""

    def __init__(self) -> None:
        self.state: dict[str, list[Mapping[str, Any]]] = {}
        self.opened: list[str] = []
        self.on_its_way: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)
        """Awaited when a list was read and before that is answered."""

    async def open(self, room: str) -> tuple[str, Sequence[Mapping[str, Any]]]:
        self.opened.append(room)
        if room not in self.state:
            raise UnavailableError("nobody answers")
        state = list(self.state[room])
        await self.on_its_way()
        return f"!{room[1:].partition(':')[0]}", state


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    prepare(tmp_path)
    async with Database(DatabaseConfig(), tmp_path) as database:
        for name in ("demo", "other"):
            await StreamRepository(database).add(name)
        yield database


@pytest.fixture
def policies(database: Database) -> Policies:
    policies = Policies(BanRepository(database), lambda: NOW)
    policies.rooms = Rooms()
    return policies


def rooms_of(policies: Policies) -> Rooms:
    assert isinstance(policies.rooms, Rooms)
    return policies.rooms


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("recommendation", ["m.ban", "org.matrix.mjolnir.ban"])
def test_rules_under_all_their_names(kind: str, recommendation: str) -> None:
    found = parse_rule("!a", rule("@a:b", kind=kind, recommendation=recommendation))
    assert found == RuleRecord("!a", KINDS[kind], "k", "@a:b", "spam")
    assert len(KINDS[kind]) <= 8


@pytest.mark.parametrize(
    "event",
    [
        rule("@a:b", recommendation="m.takedown"),
        rule("@a:b", recommendation=["m.ban"]),
        rule(""),
        rule(None),
        rule(7),
        rule("x" * 256),
        rule("@half\ud800:x"),
        rule("@nul\0:x"),
        rule("@a:b") | {"content": {}},
        rule("@a:b") | {"content": None},
        rule("@a:b") | {"content": "m.ban"},
    ],
)
def test_what_keeps_nobody_out(event: dict[str, Any]) -> None:
    found = parse_rule("!a", event)
    assert found is not None
    assert found.entity == ""


@pytest.mark.parametrize(
    "event",
    [
        {},
        rule("@a:b", kind="m.room.message"),
        rule("@a:b", kind="m.policy.rule.room"),
        {"type": "m.policy.rule.user", "content": {}},
        rule("@a:b", key="k" * 256),
        rule("@a:b", key="\udfff"),
        {"type": ["m.policy.rule.user"], "state_key": ""},
    ],
)
def test_what_is_no_rule(event: dict[str, Any]) -> None:
    assert parse_rule("!a", event) is None


def test_reasons_are_cut_and_may_be_missing() -> None:
    found = parse_rule("!a", rule("@a:b", reason="x" * 1000))
    assert found is not None
    assert len(found.reason) == 300
    nothing = parse_rule("!a", rule("@a:b", reason={"a": 1}))
    assert nothing is not None
    assert nothing.reason == ""
    half = parse_rule("!a", rule("@a:b", reason="\ud800"))
    assert half is not None
    assert half.reason == ""


async def test_rules_count_where_the_list_is_subscribed(policies: Policies) -> None:
    rooms_of(policies).state = {
        "#users:x": [
            rule("@bad:a.example", key="1"),
            rule("@spam?:*", key="2"),
            rule("evil.example", kind="m.policy.rule.server", key="1"),
            rule("*.worse.example", kind="org.matrix.mjolnir.rule.server", key="2"),
            {"type": "m.room.name", "state_key": "", "content": {"name": "list"}},
        ]
    }
    await policies.load()
    await policies.subscribe("demo", 1, ["#users:x"])
    for mxid in ("@bad:a.example", "@spam1:any.example", "@x:evil.example", "@x:a.worse.example"):
        assert policies.find("demo", mxid) is not None, mxid
        with pytest.raises(BannedError):
            policies.check("demo", mxid)
        assert policies.find("other", mxid) is None
    for mxid in ("@bad:b.example", "@spam:any.example", "@spam12:x", "@x:notevil.example", "@x:worse.example", "bad"):
        assert policies.find("demo", mxid) is None, mxid
        policies.check("demo", mxid)
    [(record, rules)] = policies.subscribed("demo")
    assert (record.room, record.room_id, rules, policies.trouble(record)) == ("#users:x", "!users", 4, "")
    await policies.subscribe(None, None, ["#users:x"])
    assert policies.find("other", "@bad:a.example") is not None
    await policies.subscribe("demo", 1, [])
    assert policies.find("demo", "@bad:a.example") is not None  # of the site
    await policies.subscribe(None, None, [])
    assert policies.find("demo", "@bad:a.example") is None


async def test_rules_change_while_one_looks(policies: Policies, database: Database) -> None:
    told = []
    policies.changed = lambda: told.append(1)
    rooms_of(policies).state = {"#users:x": []}
    await policies.load()
    await policies.subscribe("demo", 1, ["#users:x"])
    assert policies.follows("!users")
    assert policies.find("demo", "@bad:x") is None
    assert await policies.receive("!users", rule("@bad:x"))
    assert policies.find("demo", "@bad:x") is not None
    assert await policies.receive("!users", rule("@other:x"))  # the same state key: another entity
    assert policies.find("demo", "@bad:x") is None
    assert policies.find("demo", "@other:x") is not None
    assert not await policies.receive("!elsewhere", rule("@bad:x"))
    assert not await policies.receive("!users", {"type": "m.room.topic", "state_key": "", "content": {}})
    again = Policies(BanRepository(database), lambda: NOW)  # after a restart, with the homeserver away
    await again.load()
    assert again.find("demo", "@other:x") is not None
    assert await policies.receive("!users", rule("@other:x") | {"content": {}})
    assert policies.find("demo", "@other:x") is None
    await again.load()
    assert again.find("demo", "@other:x") is None
    assert len(told) == 4  # the subscription, and three rules


async def test_a_list_that_cannot_be_read_leaves_what_is_known(policies: Policies) -> None:
    rooms = rooms_of(policies)
    rooms.state = {"#users:x": [rule("@bad:x", key="1"), rule("@worse:x", key="2")]}
    await policies.load()
    await policies.subscribe("demo", 1, ["#users:x", "#gone:x"])
    [(_, _), (gone, none)] = policies.subscribed("demo")
    assert (none, policies.trouble(gone)) == (0, "nobody answers")
    rooms.state.clear()
    assert await policies.refresh() == ["#users:x", "#gone:x"]
    assert policies.find("demo", "@bad:x") is not None
    rooms.state = {"#users:x": [rule("@worse:x", key="2")], "#gone:x": []}
    assert await policies.refresh() == []
    assert policies.find("demo", "@bad:x") is None
    assert policies.find("demo", "@worse:x") is not None
    policies.rooms = None
    assert await policies.refresh() == []


_COUNT = 100_000


def hostile() -> list[Mapping[str, Any]]:
    """A list whose keeper means harm: as long as that, a third of it patterns, some of the worst kind."""
    entities = [f"@user{number}:s{number % 700}.example" for number in range(_COUNT)]
    entities[::3] = [f"*{number}*a*{number}*" for number in range(0, _COUNT, 3)]
    entities[0], entities[3] = "*a" * 60 + "*b", "?" * 250
    return [rule(entity, key=str(number)) for number, entity in enumerate(entities)]


async def test_a_hostile_list_is_cut_and_keeps_nobody_waiting(policies: Policies) -> None:
    rooms = rooms_of(policies)
    rooms.state = {"#evil:x": hostile(), "#good:x": [rule("@bad:x")]}
    await policies.load()
    turns, done = 0, False

    async def others() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.ensure_future(others())
    await policies.subscribe("demo", 1, ["#good:x", "#evil:x"])
    done = True
    await waiting
    assert turns >= _COUNT // 100, "others had their turn after each hundred rules"
    [(good, one), (evil, count)] = policies.subscribed("demo")
    assert (one, policies.trouble(good)) == (1, "")
    assert count == MOST_RULES
    assert "Only 20,000 rules of this list count" in policies.trouble(evil)
    assert policies.find("demo", "@user1:s1.example") is not None
    assert policies.find("demo", "@alice:example.org") is None
    assert policies.find("demo", f"@user{_COUNT - 1}:s{(_COUNT - 1) % 700}.example") is None
    patterns = policies._lists["!evil"]._people
    assert len(patterns) == MOST_PATTERNS, "each is compared with everybody who is new"

    # More of it comes, one by one, and nothing becomes of it; what is taken back makes room.
    assert await policies.receive("!evil", rule("@new:x", key="new"))
    assert policies.find("demo", "@new:x") is None
    assert await policies.receive("!evil", rule("", key="1"))
    assert policies.find("demo", "@user1:s1.example") is None
    assert await policies.receive("!evil", rule("@new:x", key="new"))
    assert policies.find("demo", "@new:x") is not None

    again = Policies(policies._stored, lambda: NOW)  # after a restart, with the homeserver away
    await again.load()
    assert [number for _, number in again.subscribed("demo")] == [1, MOST_RULES]
    assert again.find("demo", "@new:x") is not None
    await policies.subscribe("demo", 1, ["#good:x"])
    assert policies.find("demo", "@new:x") is None
    assert policies.find("demo", "@bad:x") is not None


async def test_what_changes_while_a_list_is_read_is_not_lost(policies: Policies) -> None:
    rooms = rooms_of(policies)
    rooms.state = {"#users:x": [rule(f"@u{number}:x", key=str(number)) for number in range(500)]}
    await policies.load()
    await policies.subscribe("demo", 1, ["#users:x"])
    reading = asyncio.ensure_future(policies.refresh())
    while len(rooms.opened) < 2:
        await asyncio.sleep(0)
    assert await policies.receive("!users", rule("", key="7"))
    assert await policies.receive("!users", rule("@new:x", key="new"))
    assert await reading == []
    assert policies.find("demo", "@u7:x") is None
    assert policies.find("demo", "@u8:x") is not None
    assert policies.find("demo", "@new:x") is not None


async def test_what_changes_while_a_list_is_on_its_way_is_not_undone_by_it(
    policies: Policies, database: Database
) -> None:
    rooms = rooms_of(policies)
    rooms.state = {"#users:x": [rule("@old:x", key="1"), rule("@kept:x", key="2")]}
    await policies.load()
    await policies.subscribe("demo", 1, ["#users:x"])

    async def change() -> None:
        assert await policies.receive("!users", rule("", key="1"))
        assert await policies.receive("!users", rule("@new:x", key="3"))

    rooms.on_its_way = change
    assert await policies.refresh() == []
    again = Policies(BanRepository(database), lambda: NOW)
    await again.load()
    for known in (policies, again):
        names = [known.find("demo", f"@{name}:x") is not None for name in ("old", "kept", "new")]
        assert names == [False, True, True]


async def test_a_list_that_is_read_twice_at_once_or_could_not_be_stored_is_whole(
    policies: Policies, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = rooms_of(policies)
    rooms.state = {"#users:x": []}
    await policies.load()
    await policies.subscribe("demo", 1, ["#users:x"])
    rooms.state = {"#users:x": [rule(f"@u{number}:x", key=str(number)) for number in range(250)]}
    store = policies._stored.set_rules
    calls = 0

    async def fail_once(*some: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError("the disk is full")
        await store(*some)

    monkeypatch.setattr(policies._stored, "set_rules", fail_once)
    with pytest.raises(OSError, match="full"):
        await policies.refresh()
    assert [*await asyncio.gather(policies.refresh(), policies.refresh())] == [[], []]
    again = Policies(policies._stored, lambda: NOW)
    await again.load()
    for known in (policies, again):
        assert [number for _, number in known.subscribed("demo")] == [250]


def test_all_lists_together_have_an_end(database: Database) -> None:
    policies = Policies(BanRepository(database), lambda: NOW)
    for name in ("a", "b", "c"):
        book = policies._book(f"!{name}")
        for number in range(MOST_RULES):
            book.put(RuleRecord(f"!{name}", "user", str(number), f"@{name}{number}:x", ""))
    assert [len(policies._book(f"!{name}")) for name in ("a", "b", "c")] == [20_000, 20_000, 10_000]
    record = PolicyRecord("demo", "#c:x", "!c")
    assert "all lists of this server together may have 50,000" in policies.trouble(record)


@pytest.mark.parametrize(
    ("entity", "named", "spared"),
    [
        ("@spam*:evil.example", "@spam1:evil.example", "@spam1:evil.example.org"),
        ("@spam*:evil.example:8448", "@spam1:evil.example:8448", "@spam1:evil.example"),
        ("@*:8448", "@x:any.example:8448", "@x:any.example:8449"),
        ("@a?:x", "@ab:x", "@abc:x"),
        ("*evil*", "@evil:x", "@good:x"),
        ("@x:*", "@x:y", "@xx:y"),
    ],
)
def test_patterns_are_found_wherever_they_stand(entity: str, named: str, spared: str) -> None:
    book = RuleBook()
    assert book.put(RuleRecord("!a", "user", "1", entity, ""))
    assert book.find(named) is not None
    assert book.find(spared) is None
    assert book.put(RuleRecord("!a", "user", "1", "@other:x", ""))  # it says something else now
    assert book.find(named) is None
    assert book.find("@other:x") is not None
    assert book.put(RuleRecord("!a", "user.1", "1", "@other:x", ""))
    assert book.remove(("user", "1"))
    assert book.find("@other:x") is not None, "another rule still names them"
    assert book.remove(("user.1", "1"))
    assert book.find("@other:x") is None
    assert not book.remove(("user", "1"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#bans:matrix.example", True),
        ("#bans:matrix.example:8448", True),
        ("#bans:[::1]:80", True),
        ("!abc:matrix.example", True),
        ("!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM", True),
        ("#bans", False),
        ("bans:matrix.example", False),
        ("!", False),
        ("!a b", False),
        ("!a\ud800", False),
        ("!a\0", False),
        ("#a b:c", False),
        ("", False),
        ("!" + "a" * 300, False),
    ],
)
def test_what_may_be_a_list(text: str, expected: bool) -> None:
    assert check_list(text) is expected
