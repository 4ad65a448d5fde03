"""Policy lists: what counts as a rule, whom rules keep out, and that strangers cannot break them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.database import prepare

from ghostlive.chat.errors import BannedError, UnavailableError
from ghostlive.chat.matrix.policy import KINDS, Policies, check_list, parse_rule
from ghostlive.db.bans import BanRepository, RuleRecord
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

    async def open(self, room: str) -> tuple[str, Sequence[Mapping[str, Any]]]:
        self.opened.append(room)
        if room not in self.state:
            raise UnavailableError("nobody answers")
        return f"!{room[1:].partition(':')[0]}", self.state[room]


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
