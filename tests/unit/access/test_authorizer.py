"""Who may publish and play."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs
from tests.support.database import prepare

from ghostlive.access.authorizer import Authorizer
from ghostlive.access.decision import AccessRequest, Action, Decision, Identity, Verdict
from ghostlive.access.keys import IssuedKey, add_key, rotate_key
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import Database
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import Role


class _Clock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def wall_ns(self) -> int:
        return 0

    def call_later(self, delay: float, callback: Callable[[], None]) -> "_Clock":
        raise NotImplementedError

    def cancel(self) -> None:
        raise NotImplementedError


@pytest.fixture
async def streams(tmp_path: Path) -> AsyncIterator[StreamRepository]:
    prepare(tmp_path)
    async with Database(DatabaseConfig(), tmp_path) as database:
        yield StreamRepository(database)


@pytest.fixture
async def key(streams: StreamRepository) -> IssuedKey:
    await streams.add("demo")
    return await add_key(streams, "demo")


def _publish(key: str | None, stream: str | None = None) -> AccessRequest:
    return AccessRequest(Action.PUBLISH, protocol="rtmp", address="192.0.2.1", stream=stream, key=key)


def _play(stream: str | None) -> AccessRequest:
    return AccessRequest(Action.PLAY, protocol="llhls", address="192.0.2.1", stream=stream)


@pytest.mark.parametrize("stream", [None, "demo"])
async def test_the_key_of_a_stream_opens_it(streams: StreamRepository, key: IssuedKey, stream: str | None) -> None:
    assert await Authorizer(streams).decide(_publish(key.secret, stream)) == Decision(Verdict.ALLOWED, "demo")
    [record] = await streams.list_keys("demo")
    assert record.last_used_at is not None


@pytest.mark.parametrize("secret", ["gl_" + "a" * 32, "demo", "' OR 1=1 --", "ü" * 5000])
async def test_unknown_keys_are_refused(streams: StreamRepository, key: IssuedKey, secret: str) -> None:
    decision = await Authorizer(streams).decide(_publish(secret))
    assert decision.verdict is Verdict.KEY_UNKNOWN
    assert decision.stream is None
    assert "not known" in decision.reason


@pytest.mark.parametrize("secret", [None, ""])
async def test_no_key_is_refused(streams: StreamRepository, key: IssuedKey, secret: str | None) -> None:
    decision = await Authorizer(streams).decide(_publish(secret, "demo"))
    assert decision.verdict is Verdict.KEY_MISSING
    assert "Stream Key field" in decision.reason


@pytest.mark.parametrize("other", ["other", "none"])
async def test_the_key_of_another_stream_is_refused(streams: StreamRepository, key: IssuedKey, other: str) -> None:
    await streams.add("other")
    decision = await Authorizer(streams).decide(_publish(key.secret, other))
    assert decision.verdict is Verdict.KEY_OF_OTHER_STREAM
    assert "demo" not in decision.reason


async def test_revoked_keys_are_refused_at_once(streams: StreamRepository, key: IssuedKey) -> None:
    authorizer = Authorizer(streams)
    assert (await authorizer.decide(_publish(key.secret))).allowed
    new = await rotate_key(streams, "demo")
    decision = await authorizer.decide(_publish(key.secret))
    assert decision.verdict is Verdict.KEY_UNKNOWN
    assert "revoked" in decision.reason
    assert (await authorizer.decide(_publish(new.secret))).allowed


async def test_everybody_may_play_a_stream_that_exists(streams: StreamRepository, key: IssuedKey) -> None:
    authorizer = Authorizer(streams)
    assert (await authorizer.decide(_play("demo"))).allowed
    for name in ("none", None, "../demo", ""):
        assert (await authorizer.decide(_play(name))).verdict is Verdict.STREAM_UNKNOWN


async def test_streams_that_come_and_go_are_seen_within_a_second(streams: StreamRepository) -> None:
    clock = _Clock()
    authorizer = Authorizer(streams, clock)
    assert not (await authorizer.decide(_play("late"))).allowed
    await streams.add("late")
    clock.time += 1
    assert (await authorizer.decide(_play("late"))).allowed
    await streams.remove("late")
    assert (await authorizer.decide(_play("late"))).allowed
    clock.time += 1
    assert not (await authorizer.decide(_play("late"))).allowed


async def test_names_that_strangers_ask_for_do_not_pile_up(
    streams: StreamRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(name: str) -> None:
        return None

    monkeypatch.setattr(streams, "get", nobody)
    authorizer = Authorizer(streams)
    for number in range(4200):
        await authorizer._exists(str(number))
    assert len(authorizer._known) <= 4096


async def test_a_busy_database_keeps_nobody_out(
    streams: StreamRepository, key: IssuedKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def locked(key_id: int) -> None:
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    monkeypatch.setattr(streams, "touch_key", locked)
    with capture_logs() as lines:
        assert (await Authorizer(streams).decide(_publish(key.secret))).allowed
    assert [line["log_level"] for line in lines] == ["warning", "info"]


async def test_each_decision_is_one_line_without_the_key(streams: StreamRepository, key: IssuedKey) -> None:
    authorizer = Authorizer(streams)
    with capture_logs() as lines:
        await authorizer.decide(_publish(key.secret))
        await authorizer.decide(_publish("wrong", "demo"))
        await authorizer.decide(_play("demo"))
    assert [(line["event"], line["verdict"], line["stream"], line["log_level"]) for line in lines] == [
        ("publish", "allowed", "demo", "info"),
        ("publish", "key_unknown", "demo", "info"),
        ("play", "allowed", "demo", "debug"),
    ]
    assert key.secret not in str(lines)
    assert key.secret not in repr(_publish(key.secret)) + repr(key)


async def test_refused_viewers_cannot_fill_the_log(streams: StreamRepository) -> None:
    clock = _Clock()
    authorizer = Authorizer(streams, clock)
    mod = Identity(1, "mo", Role.MODERATOR)
    await streams.add("demo")
    with capture_logs() as lines:
        for number in range(100):
            await authorizer.decide(_play(f"nope-{number}"))
        await authorizer.decide(AccessRequest(Action.MANAGE, "web", "192.0.2.1", "demo", user=mod))
        clock.time += 1
        await authorizer.decide(_play("other"))
        for _ in range(3):
            await authorizer.decide(_publish("wrong"))
    assert [(line["event"], line["stream"], line.get("unsaid"), line.get("user")) for line in lines] == [
        ("play", "nope-0", None, None),
        ("manage", "demo", None, "mo"),
        ("play", "other", 99, None),
        *[("publish", None, None, None)] * 3,
    ]
