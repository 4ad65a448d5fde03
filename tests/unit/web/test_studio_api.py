"""What people who manage streams do over the API: who may, what it does, and what it says when it cannot."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from sqlalchemy.exc import OperationalError
from tests.support.clock import FakeClock

from ghostlive.access.authorizer import Authorizer
from ghostlive.access.decision import AccessRequest, Action, Identity
from ghostlive.access.sessions import COOKIE
from ghostlive.core.events import StreamRecordChanged
from ghostlive.core.frame import Frame
from ghostlive.core.track import Codec, Track
from ghostlive.db.config import DatabaseConfig
from ghostlive.db.engine import FILE_NAME, Database
from ghostlive.db.streams import StreamRepository
from ghostlive.db.users import Role, UserRepository
from ghostlive.hub.derived import Offer
from ghostlive.hub.hub import Hub
from ghostlive.hub.live import LiveStream, Publication, Source
from ghostlive.transcode.config import RenditionSetting, TranscodeConfig
from ghostlive.transcode.ladder import plan_ladder
from ghostlive.transcode.ladders import StreamLadders
from ghostlive.transcode.plan import Mode, VideoPlan
from ghostlive.transcode.report import (
    LeftOut,
    MachineReport,
    RenditionReport,
    RenditionState,
    StreamReport,
    TranscodeWarning,
)
from ghostlive.web.application import WebApplication
from ghostlive.web.audience import Audience
from ghostlive.web.config import HttpConfig
from ghostlive.web.directory import StreamDirectory
from ghostlive.web.guard import Guard
from ghostlive.web.livefeed import LiveFeed
from ghostlive.web.media import MediaApp
from ghostlive.web.parts import IngestAddresses, RestParts, TranscodeParts
from ghostlive.web.watcher import RecordWatcher

VIDEO = Track("v0", Codec.H264, 90_000, b"", "avc1.64001f", width=1280, height=720, has_b_frames=True)
AUDIO = Track("a0", Codec.AAC, 48_000, b"", "mp4a.40.2", sample_rate=48_000, channels=2)
ROLES = {
    "owner": Role.OWNER, "admin": Role.ADMIN, "sam": Role.STREAMER, "tom": Role.STREAMER, "mod": Role.MODERATOR,
}  # fmt: skip
"""Everybody's name is also their session's token. The stream `show` is Sam's."""
EVERYBODY = [None, *ROLES]


MACHINE = MachineReport(cores=4, cores_used=1.5, memory=8 << 30, memory_used=1 << 30, workers=1)


class Pool:
    """The part of the transcoding pool that the API uses, and the hub's deriver: it offers what the settings say."""

    def __init__(self) -> None:
        self.reports: dict[str, StreamReport] = {}
        self.settings_of: Callable[[str], Sequence[RenditionSetting] | None] = lambda stream: None

    def report(self, stream: str) -> StreamReport | None:
        return self.reports.get(stream)

    def machine(self) -> MachineReport:
        return MACHINE

    def plan(self, live: LiveStream) -> Sequence[Offer]:
        plans = plan_ladder(live.tracks, self.settings_of(live.name)).plans
        return [
            Offer(
                Track(plan.id, plan.codec, 90_000, b"", plan.codec_string),
                plan.bitrate,
                realtime=isinstance(plan, VideoPlan) and plan.realtime,
            )
            for plan in plans
        ]

    def demand(self, live: LiveStream, track: str) -> None: ...
    def rest(self, live: LiveStream, track: str) -> None: ...

    def want_keyframe(self, live: LiveStream, track: str) -> bool:
        return False


class Studio:
    """The application on a real database, and people with sessions."""

    def __init__(self, database: Database, static: Path) -> None:
        self.database = database
        self.records = StreamRepository(database)
        self.clock = FakeClock()
        self.hub = Hub(clock=self.clock)
        self.authorizer = Authorizer(self.records, self.clock)
        self.people: dict[str, Identity] = {}
        self.pool = Pool()
        self.ladders = StreamLadders(self.records, self.hub)
        self.pool.settings_of = self.ladders.settings_of
        self.hub.deriver = self.pool
        self.audience = Audience(self.clock, self.hub.emit)
        directory = StreamDirectory(self.records, self.hub, self.audience)
        self.parts = RestParts(
            config=HttpConfig(),
            hub=self.hub,
            records=self.records,
            directory=directory,
            audience=self.audience,
            feed=LiveFeed(directory=directory, hub=self.hub, clock=self.clock, max_listeners=10),
            sessions=cast("Any", self),
            guard=Guard(self, self.authorizer.decide),
            setup=None,
            addresses=IngestAddresses("localhost", (("rtmp", 1935), ("rtmps", 1936))),
            health=dict,
            transcode=TranscodeParts(self.pool, self.ladders, TranscodeConfig()),
            static=static,
        )
        self.app = WebApplication(media=cast("MediaApp", None), parts=self.parts)

    async def identify(self, token: str | None) -> Identity | None:
        return self.people.get(token or "")

    async def meet(self) -> None:
        self.people = {
            user.name: Identity(user.id, user.name, user.role) for user in await UserRepository(self.database).list()
        }

    async def ask(
        self, who: str | None, method: str, path: str, body: object = None, *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        transport = httpx.ASGITransport(cast("Any", self.app))
        cookies = {COOKIE: who} if who else {}
        async with httpx.AsyncClient(transport=transport, base_url="http://live.example", cookies=cookies) as client:
            content = None if body is None else json.dumps(body)
            kind = {} if body is None else {"content-type": "application/json"}
            return await client.request(method, f"/api/v1{path}", content=content, headers={**kind, **(headers or {})})

    def go_live(self, taken: list[str] | None = None) -> Publication:
        told = [] if taken is None else taken
        publication = self.hub.publish("show", Source("rtmp", "192.0.2.1", "obs-studio"), told.append)
        publication.announce((VIDEO, AUDIO))
        return publication

    async def may_publish(self, key: str) -> bool:
        request = AccessRequest(Action.PUBLISH, "rtmp", "192.0.2.1", key=key)
        return (await self.authorizer.decide(request)).allowed


async def fill(folder: Path) -> None:
    async with Database(DatabaseConfig(), folder) as database:
        users = UserRepository(database)
        ids = {name: (await users.add(name, role=role, password_hash="none")).id for name, role in ROLES.items()}
        await StreamRepository(database).add("show", title="The Show", owner_id=ids["sam"])
        await StreamRepository(database).add("old")  # made by the command: nobody's


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with people and streams, made once."""
    folder = tmp_path_factory.mktemp("filled")
    asyncio.run(fill(folder))
    return folder / FILE_NAME


@pytest.fixture
async def studio(tmp_path: Path, filled: Path) -> AsyncIterator[Studio]:
    shutil.copy(filled, tmp_path)
    database = Database(DatabaseConfig(), tmp_path)
    await database.start(upgrade=False)
    studio = Studio(database, tmp_path / "static")
    await studio.meet()
    yield studio
    studio.audience.close()
    await database.stop()


def problem(answer: httpx.Response, status: int) -> str:
    """The sentence of a problem document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == status
    detail: str = document["detail"]
    assert detail
    return detail


async def events_of(studio: Studio, *asks: tuple[str | None, str, str, object]) -> list[tuple[type, str]]:
    mailbox = studio.hub.listen()
    for ask in asks:
        await studio.ask(*ask)
    studio.hub.unlisten(mailbox)
    return [(type(event), event.stream) async for event in mailbox]


MANAGE = {"owner": 0, "admin": 0, "sam": 0, None: 401, "tom": 403, "mod": 403}
"""Who may manage Sam's stream; what others hear."""


@pytest.mark.parametrize(
    ("call", "good", "allowed"),
    [
        (("POST", "/streams", {"name": "new"}), 201, {**MANAGE, "tom": 0}),
        (("PATCH", "/streams/show", {"title": "x"}), 200, MANAGE),
        (("DELETE", "/streams/show", None), 204, MANAGE),
        (("GET", "/streams/show/keys", None), 200, MANAGE),
        (("POST", "/streams/show/keys", {"revoke_others": False}), 201, MANAGE),
        (("DELETE", "/streams/show/keys/1", None), 204, MANAGE),
        (("POST", "/streams/show/end", None), 204, MANAGE),
        (("GET", "/streams/show/ingest", None), 200, MANAGE),
        (("GET", "/streams/show/renditions", None), 200, MANAGE),
        (("GET", "/streams/show/ladder", None), 200, MANAGE),
        (("PUT", "/streams/show/ladder", {"renditions": None}), 200, MANAGE),
    ],
)
async def test_who_may_do_what(
    studio: Studio, call: tuple[str, str, object], good: int, allowed: dict[str | None, int]
) -> None:
    method, path, _ = call
    await studio.ask("sam", "POST", "/streams/show/keys", {})
    studio.go_live()
    refused = [who for who in EVERYBODY if allowed[who]]
    for who in refused:
        problem(await studio.ask(who, *call), allowed[who])
    assert await studio.records.get("new") is None
    live = studio.hub.get("show")
    assert live is not None
    assert live.publication is not None
    assert (await studio.records.list_keys("show"))[0].active
    for who in sorted(set(EVERYBODY) - set(refused), key=str):
        answer = await studio.ask(who, *call)
        assert answer.status_code == good, answer.text
        if method in ("DELETE", "POST") and path != "/streams/show/keys":
            break  # it can be done once


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/streams/none", {"title": "x"}),
        ("DELETE", "/streams/none", None),
        ("GET", "/streams/none/keys", None),
        ("POST", "/streams/none/keys", {}),
        ("DELETE", "/streams/none/keys/1", None),
        ("POST", "/streams/none/end", None),
        ("GET", "/streams/none/ingest", None),
        ("GET", "/streams/none/renditions", None),
        ("GET", "/streams/none/ladder", None),
        ("PUT", "/streams/none/ladder", {"renditions": []}),
        ("GET", "/streams/none/viewers", None),
        ("GET", "/streams/none", None),
        ("DELETE", "/streams/show/keys/99", None),
    ],
)
async def test_what_is_not_there_is_not_found(studio: Studio, method: str, path: str, body: object) -> None:
    problem(await studio.ask("owner", method, path, body), 404)


async def test_everybody_sees_the_streams_that_they_manage(studio: Studio) -> None:
    problem(await studio.ask(None, "GET", "/studio/streams"), 401)
    seen = {}
    for who in ROLES:
        answer = await studio.ask(who, "GET", "/studio/streams")
        assert answer.headers["cache-control"] == "no-store"
        seen[who] = [stream["name"] for stream in answer.json()["streams"]]
    assert seen == {"owner": ["old", "show"], "admin": ["old", "show"], "sam": ["show"], "tom": [], "mod": []}


async def test_who_makes_a_stream_owns_it_and_hears_its_key_once(studio: Studio) -> None:
    answer = await studio.ask("tom", "POST", "/streams", {"name": "toms", "title": "Tom's", "description": "a\nb"})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/v1/streams/toms"
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    assert (made["stream"]["title"], made["stream"]["description"], made["stream"]["viewers"]) == ("Tom's", "a\nb", 0)
    secret = made["key"]["secret"]
    assert secret.endswith(made["key"]["hint"])
    assert await studio.may_publish(secret)
    listed = await studio.ask("tom", "GET", "/streams/toms/keys")
    assert secret not in listed.text
    assert [key["id"] for key in listed.json()["keys"]] == [made["key"]["id"]]
    assert (await studio.ask("tom", "GET", "/studio/streams")).json()["streams"][0]["name"] == "toms"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "app"},
        {"name": ""},
        {"name": "a/b"},
        {"name": "a" * 65},
        {"name": "ｗｉｄｅ"},
        {"title": "no name"},
        {"name": "x", "title": "t" * 121},
        {"name": "x", "description": "d" * 2001},
        {"name": "x", "title": 5},
        {"name": "x", "title": "\ud800"},
        {"name": ["x"]},
        ["x"],
        None,
    ],
)
async def test_what_cannot_be_a_stream_is_refused_with_a_reason(studio: Studio, body: object) -> None:
    problem(await studio.ask("owner", "POST", "/streams", body), 422)
    assert [record.name for record in await studio.records.list()] == ["old", "show"]


async def test_a_name_that_is_taken_is_a_conflict_and_stays_its_owners(studio: Studio) -> None:
    problem(await studio.ask("tom", "POST", "/streams", {"name": "show"}), 409)
    record = await studio.records.get("show")
    assert record is not None
    assert record.owner_id == studio.people["sam"].id


async def test_titles_and_descriptions_are_harmless(studio: Studio) -> None:
    tricky = "  Live\u202eEVIL\u202c\u200b\u0000 \n show\ufeff "
    answer = await studio.ask("sam", "PATCH", "/streams/show", {"title": tricky, "description": f"{tricky}\n\n\n\nend"})
    info = answer.json()
    assert info["title"] == "LiveEVIL show"
    assert info["description"] == "LiveEVIL\nshow\n\nend"
    hidden = await studio.ask("sam", "PATCH", "/streams/show", {"title": "\u200b\u2060"})
    assert hidden.json()["title"] == "show"  # its name, as for every stream without a title
    assert hidden.json()["description"] == "LiveEVIL\nshow\n\nend"
    made = await studio.ask("tom", "POST", "/streams", {"name": "other", "title": "\u202edesrever"})
    assert made.json()["stream"]["title"] == "desrever"
    key = await studio.ask("sam", "POST", "/streams/show/keys", {"label": "\u202elabel\n"})
    assert key.json()["label"] == "label"


async def test_a_change_of_nothing_changes_nothing(studio: Studio) -> None:
    answer = await studio.ask("sam", "PATCH", "/streams/show", {})
    assert (answer.status_code, answer.json()["title"]) == (200, "The Show")


async def test_pages_are_told_of_changes_at_once(studio: Studio) -> None:
    told = await events_of(
        studio,
        ("tom", "POST", "/streams", {"name": "new"}),
        ("tom", "PATCH", "/streams/new", {"title": "x"}),
        ("tom", "DELETE", "/streams/new", None),
        ("tom", "DELETE", "/streams/new", None),
        ("tom", "POST", "/streams", {"name": "show"}),
    )
    assert told == [(StreamRecordChanged, "new")] * 3


async def test_removing_a_stream_ends_its_broadcast_and_its_keys(studio: Studio) -> None:
    secret = (await studio.ask("sam", "POST", "/streams/show/keys", {})).json()["secret"]
    taken: list[str] = []
    studio.go_live(taken)
    assert (await studio.ask("sam", "DELETE", "/streams/show")).status_code == 204
    assert taken == ["the stream was removed"]
    assert studio.hub.get("show") is None
    assert not await studio.may_publish(secret)
    problem(await studio.ask("sam", "GET", "/streams/show/ingest"), 404)


async def test_a_new_key_leaves_the_others_or_takes_their_place(studio: Studio) -> None:
    first = (await studio.ask("sam", "POST", "/streams/show/keys", {"label": "OBS"})).json()
    second = (await studio.ask("sam", "POST", "/streams/show/keys", {"revoke_others": False})).json()
    assert (first["label"], second["label"]) == ("OBS", "")
    assert await studio.may_publish(first["secret"])
    assert await studio.may_publish(second["secret"])
    third = (await studio.ask("sam", "POST", "/streams/show/keys", {"revoke_others": True})).json()
    assert [await studio.may_publish(key["secret"]) for key in (first, second, third)] == [False, False, True]
    keys = (await studio.ask("sam", "GET", "/streams/show/keys")).json()["keys"]
    assert [set(key) for key in keys] == [{"id", "hint", "label", "created_at", "last_used_at"}]
    assert keys[0]["last_used_at"] is not None


async def test_a_revoked_key_is_useless_at_once(studio: Studio) -> None:
    key = (await studio.ask("sam", "POST", "/streams/show/keys", {})).json()
    for _ in range(2):
        assert (await studio.ask("sam", "DELETE", f"/streams/show/keys/{key['id']}")).status_code == 204
        assert not await studio.may_publish(key["secret"])
    assert (await studio.ask("sam", "GET", "/streams/show/keys")).json() == {"keys": []}


async def test_a_key_of_another_stream_cannot_be_revoked_through_ones_own(studio: Studio) -> None:
    key = (await studio.ask("sam", "POST", "/streams/show/keys", {})).json()
    await studio.ask("tom", "POST", "/streams", {"name": "toms"})
    problem(await studio.ask("tom", "DELETE", f"/streams/toms/keys/{key['id']}"), 404)
    assert await studio.may_publish(key["secret"])


async def test_ending_a_broadcast_that_does_not_run_is_a_conflict(studio: Studio) -> None:
    problem(await studio.ask("sam", "POST", "/streams/show/end"), 409)
    taken: list[str] = []
    studio.go_live(taken)
    assert (await studio.ask("sam", "POST", "/streams/show/end")).status_code == 204
    assert taken == ["the broadcast was ended in the studio"]
    problem(await studio.ask("sam", "POST", "/streams/show/end"), 409)


async def test_a_lost_publisher_is_not_waited_for_after_the_end(studio: Studio) -> None:
    studio.go_live().lose("reset")
    info = (await studio.ask("sam", "GET", "/streams/show/ingest")).json()
    assert (info["publisher"], info["tracks"], info["advice"]) == (None, [], [])
    assert (await studio.ask("sam", "POST", "/streams/show/end")).status_code == 204
    assert studio.hub.get("show") is None


@pytest.mark.parametrize(
    ("public", "host", "expected"),
    [
        ("localhost", "live.example", "live.example"),
        ("localhost", "192.0.2.7:8080", "192.0.2.7"),
        ("localhost", "[2001:db8::1]:8080", "[2001:db8::1]"),
        ("localhost", "evil.example/x?", "localhost"),
        ("localhost", "a b", "localhost"),
        ("localhost", "", "localhost"),
        ("stream.example", "internal:8080", "stream.example"),
        ("2001:db8::2", "internal", "[2001:db8::2]"),
    ],
)
async def test_the_address_for_encoders_is_the_one_that_reaches_the_server(
    studio: Studio, public: str, host: str, expected: str
) -> None:
    addresses = IngestAddresses(public, (("rtmp", 1935), ("rtmps", 443)))
    parts = {name: getattr(studio.parts, name) for name in RestParts.__slots__}
    studio.app = WebApplication(media=cast("MediaApp", None), parts=RestParts(**{**parts, "addresses": addresses}))
    answer = await studio.ask("sam", "GET", "/streams/show/ingest", headers={"host": host})
    assert answer.json()["addresses"] == [
        {"protocol": "rtmp", "url": f"rtmp://{expected}:1935/app"},
        {"protocol": "rtmps", "url": f"rtmps://{expected}:443/app"},
    ]


async def test_what_the_encoder_sends_is_shown_with_advice(studio: Studio) -> None:
    publication = studio.go_live()
    for n in range(900):
        ticks = n * 3000
        publication.write(Frame("v0", ticks, ticks, n % 250 == 0, bytes(10_000)))
        for packet in range(n * 47 // 30, (n + 1) * 47 // 30):
            publication.write(Frame("a0", packet * 1024, packet * 1024, True, bytes(300)))
        studio.clock.advance(1 / 30)
    info = (await studio.ask("sam", "GET", "/streams/show/ingest")).json()
    assert {key: info["publisher"][key] for key in ("protocol", "agent", "address")} == {
        "protocol": "rtmp", "agent": "obs-studio", "address": "192.0.2.1",
    }  # fmt: skip
    assert info["publisher"]["since"].endswith("Z")
    video, audio = info["tracks"]
    assert video["measured_frame_rate"] == pytest.approx(30, abs=0.1)
    assert video["measured_bitrate"] == pytest.approx(2_400_000, rel=0.01)
    assert video["keyframe_interval"] == pytest.approx(8.333)
    assert (audio["measured_frame_rate"], audio["keyframe_interval"]) == (None, None)
    assert [(advice["code"], advice["severity"]) for advice in info["advice"]] == [
        ("keyframes_rare", "problem"),
        ("b_frames", "hint"),
    ]
    assert info["advice"][0]["values"] == {"interval": 8.3}


async def test_a_publisher_is_shown_before_its_tracks_are_known(studio: Studio) -> None:
    studio.hub.publish("show", Source("rtmp", "192.0.2.1"), print)
    info = (await studio.ask("sam", "GET", "/streams/show/ingest")).json()
    assert info["publisher"]["address"] == "192.0.2.1"
    assert (info["tracks"], info["advice"]) == ([], [])


async def test_viewers_are_counted_for_everybody(studio: Studio) -> None:
    studio.audience.enter("show", "a")
    studio.audience.seen("show", "b")
    assert (await studio.ask(None, "GET", "/streams/show/viewers")).json() == {"viewers": 2}
    assert (await studio.ask(None, "GET", "/streams/show")).json()["viewers"] == 2


async def test_pages_of_other_sites_change_nothing(studio: Studio) -> None:
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        problem(await studio.ask("sam", "DELETE", "/streams/show", headers=headers), 403)
    form = {"content-type": "application/x-www-form-urlencoded"}
    problem(await studio.ask("sam", "POST", "/streams", {"name": "x"}, headers=form), 415)
    problem(await studio.ask("sam", "POST", "/streams", {"name": "x" * 70_000}), 413)
    assert await studio.records.get("show") is not None


@pytest.mark.parametrize("number", ["0", "-1", "x", "99999999999999999999999"])
async def test_numbers_that_cannot_be_are_refused(studio: Studio, number: str) -> None:
    answer = await studio.ask("owner", "DELETE", f"/streams/show/keys/{number}")
    assert answer.status_code in (404, 422), answer.text


async def test_two_who_make_the_same_stream_at_once_do_not_both(studio: Studio) -> None:
    answers = await asyncio.gather(*(studio.ask(who, "POST", "/streams", {"name": "new"}) for who in ("sam", "tom")))
    assert sorted(answer.status_code for answer in answers) == [201, 409]


async def test_a_database_that_does_not_answer_and_a_fault_are_problems_too(studio: Studio) -> None:
    async def locked(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("database is locked"))

    async def broken(*_: object) -> None:
        raise RuntimeError("inner words")

    transport = httpx.ASGITransport(cast("Any", studio.app), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        studio.records.get = locked  # type: ignore[method-assign, assignment]
        answer = await client.get("/api/v1/streams/show")
        assert "database" in problem(answer, 503)
        assert answer.headers["retry-after"] == "5"
        studio.records.get = broken  # type: ignore[method-assign, assignment]
        assert "inner words" not in problem(await client.get("/api/v1/streams/show"), 500)


async def test_the_description_tells_requests_answers_and_problems(studio: Studio) -> None:
    transport = httpx.ASGITransport(cast("Any", studio.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        description = (await client.get("/api/openapi.json")).json()
    paths, schemas = description["paths"], description["components"]["schemas"]
    expected = {
        "/api/v1/streams": {"get": {"200"}, "post": {"201", "401", "403", "409", "422"}},
        "/api/v1/streams/{name}": {
            "get": {"200", "404"}, "patch": {"200", "401", "403", "404", "422"}, "delete": {"204", "401", "403", "404"},
        },
        "/api/v1/studio/streams": {"get": {"200", "401"}},
        "/api/v1/streams/{name}/keys": {
            "get": {"200", "401", "403", "404"}, "post": {"201", "401", "403", "404", "422"},
        },
        "/api/v1/streams/{name}/keys/{number}": {"delete": {"204", "401", "403", "404"}},
        "/api/v1/streams/{name}/end": {"post": {"204", "401", "403", "404", "409"}},
        "/api/v1/streams/{name}/ingest": {"get": {"200", "401", "403", "404"}},
        "/api/v1/streams/{name}/viewers": {"get": {"200", "404"}},
        "/api/v1/events": {"get": {"200", "503"}},
        "/api/v1/session": {"get": {"200"}, "post": {"200", "401", "429"}, "delete": {"204"}},
        "/api/v1/setup": {"post": {"201", "403", "422"}},
        "/api/v1/password": {"post": {"204", "403", "422", "429"}},
    }  # fmt: skip
    for path, methods in expected.items():
        for method, statuses in methods.items():
            operation = paths[path][method]
            assert statuses <= set(operation["responses"]), (path, method)
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], (path, method, status)
            if method in ("post", "patch") and not path.endswith("/end"):
                assert "requestBody" in operation, (path, method)
                assert {"403", "413", "415", "422"} <= set(operation["responses"])
            assert operation["description"]
    assert {"StreamInfo", "IngestInfo", "CreatedStream", "IssuedKeyInfo", "Problem"} <= set(schemas)
    assert "HTTPValidationError" not in schemas
    assert "HTTPValidationError" not in json.dumps(description)


def offered(studio: Studio) -> list[str]:
    """The renditions that viewers of the show can have."""
    live = studio.hub.get("show")
    assert live is not None
    return [offer.track.id for offer in live.offers if not offer.realtime]


DEFAULT = ["v0-720p30", "v0-480p30", "v0-360p30", "a0-opus"]
"""What is offered of the show, whose encoder does not tell its frame rate."""
OWN = [
    {"height": 480, "frame_rate": 30.0, "bitrate": 900000, "codec": "h264", "mode": "always", "name": "small"},
    {"height": 240, "frame_rate": 0.0, "bitrate": 0, "codec": "av1", "mode": "demand", "name": ""},
]


async def test_what_is_made_of_a_stream(studio: Studio) -> None:
    answer = await studio.ask("sam", "GET", "/streams/show/renditions")
    machine = {"cores": 4, "cores_used": 1.5, "memory": 8 << 30, "memory_used": 1 << 30, "workers": 1}
    assert answer.json() == {"live": False, "renditions": [], "left_out": [], "warnings": [], "machine": machine}
    studio.go_live()
    source = RenditionReport(
        "v0", "720p", "video", "h264", 1280, 720, None, 3_000_000, None, RenditionState.SOURCE
    )  # fmt: skip
    made = RenditionReport(
        "v0-480p30", "480p30", "video", "h264", 854, 480, 30.0, 1_400_000, Mode.DEMAND, RenditionState.RUNNING,
        encoder="libx264", speed=4.5, cpu=0.3, frames_dropped=2,
    )  # fmt: skip
    warning = TranscodeWarning("too_slow", {"rendition": "480p30", "speed": 0.8})
    studio.pool.reports["show"] = StreamReport((source, made), (LeftOut("1080p60", "too large"),), (warning,))
    studio.audience.seen("show", "somebody", "v0-480p30")
    found = (await studio.ask("sam", "GET", "/streams/show/renditions")).json()
    assert found["live"]
    assert [(item["id"], item["state"], item["mode"], item["viewers"]) for item in found["renditions"]] == [
        ("v0", "source", None, 0),
        ("v0-480p30", "running", "demand", 1),
    ]
    assert found["renditions"][1] == {
        "id": "v0-480p30", "name": "480p30", "kind": "video", "codec": "h264", "width": 854, "height": 480,
        "frame_rate": 30.0, "bitrate": 1_400_000, "mode": "demand", "state": "running", "encoder": "libx264",
        "hardware": False, "speed": 4.5, "cpu": 0.3, "frames_dropped": 2, "reason": "", "viewers": 1,
        "realtime": False,
    }  # fmt: skip
    assert found["left_out"] == [{"name": "1080p60", "reason": "too large"}]
    assert found["warnings"] == [{"code": "too_slow", "values": {"rendition": "480p30", "speed": 0.8}}]


async def test_a_stream_gets_its_own_renditions_and_the_servers_again(studio: Studio) -> None:
    found = (await studio.ask("sam", "GET", "/streams/show/ladder")).json()
    assert found["renditions"] is None
    assert [(row["height"], row["frame_rate"]) for row in found["default"]][-3:] == [(720, 30), (480, 30), (360, 30)]
    studio.go_live()
    assert offered(studio) == DEFAULT
    found = (await studio.ask("sam", "GET", "/streams/show/ladder")).json()
    assert [(row["height"], row["frame_rate"]) for row in found["default"]] == [(720, 30), (480, 30), (360, 30)]
    changed = await studio.ask("sam", "PUT", "/streams/show/ladder", {"renditions": OWN})
    assert changed.status_code == 200
    assert changed.json()["renditions"] == OWN
    assert offered(studio) == ["v0-480p30", "v0-240p-av1", "a0-opus"]
    assert (await studio.ask("sam", "GET", "/streams/show/ladder")).json() == changed.json()
    again = StreamLadders(studio.records, studio.hub)  # as after a restart
    await again.load()
    assert [setting.height for setting in again.settings_of("show") or ()] == [480, 240]
    await studio.ask("sam", "PUT", "/streams/show/ladder", {"renditions": []})
    assert offered(studio) == ["a0-opus"]
    await studio.ask("sam", "PUT", "/streams/show/ladder", {"renditions": None})
    assert offered(studio) == DEFAULT


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"renditions": [OWN[0], {**OWN[1], "height": 5}]}, "renditions.1.height: 5 is not accepted; it is a number"),
        ({"renditions": [{"height": 720, "bitrate": 3}]}, "renditions.0.bitrate: 3 is not accepted"),
        ({"renditions": [{"height": "tall"}]}, "renditions.0.height: Input should be a valid integer"),
        ({"renditions": [{"heigth": 720}]}, "renditions.0.heigth: Extra inputs are not permitted"),
        ({"renditions": [{"height": 720, "codec": "h265"}]}, "renditions.0.codec: Input should be 'h264', 'av1'"),
        ({"renditions": [{"height": 720}] * 33}, "renditions: List should have at most 32 items"),
        ({"renditions": 3}, "renditions"),
        ({}, "renditions: Field required"),
    ],
)
async def test_renditions_that_cannot_be(studio: Studio, body: object, detail: str) -> None:
    assert detail in problem(await studio.ask("sam", "PUT", "/streams/show/ladder", body), 422)
    record = await studio.records.get("show")
    assert record is not None
    assert record.ladder is None


async def test_renditions_that_another_process_changes_hold_at_once(studio: Studio) -> None:
    watcher = RecordWatcher(studio.records, studio.hub, studio.ladders)
    studio.go_live()
    await studio.records.set_ladder("show", '[{"height": 480}]')
    await watcher.look()
    assert offered(studio) == ["v0-480p", "a0-opus"]
    # Something that a newer version wrote, or a hand: the server's renditions hold.
    for text in ("no JSON", "3", "[3]", '[{"height": 1}]', "[" * 5000):
        await studio.records.set_ladder("show", text)
        await watcher.look()
        assert offered(studio) == DEFAULT
    await studio.records.set_ladder("show", '[{"height": 360}]')
    await watcher.look()
    assert offered(studio) == ["v0-360p", "a0-opus"]
    await studio.records.remove("show")
    await watcher.look()
    assert studio.ladders.settings_of("show") is None


async def test_what_was_read_before_a_change_does_not_undo_it(studio: Studio) -> None:
    mark, old = studio.ladders.mark(), await studio.records.list()
    await studio.ladders.change("show", [RenditionSetting(480)])
    studio.ladders.refresh(old, mark)
    assert studio.ladders.settings_of("show") == (RenditionSetting(480),)
