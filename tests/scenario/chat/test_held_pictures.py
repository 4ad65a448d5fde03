"""Pictures of messages that wait: for who moderates, for as long as they wait, and as safe as any other."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from tests.support.chat import Accounts, Chat
from tests.support.pictures import PNG, FakeSource

from ghostlive.access.authorizer import Authorizer
from ghostlive.access.sessions import COOKIE
from ghostlive.chat.matrix.media import path_of, record_of
from ghostlive.chat.matrix.mediastore import MediaStore
from ghostlive.chat.message import Kind
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.moderation.desk import ModerationDesk
from ghostlive.chat.people import Author, matrix_author_id
from ghostlive.chat.people import Role as Mark
from ghostlive.db.chat import MediaRecord
from ghostlive.db.moderation import ModerationRepository
from ghostlive.db.users import Role
from ghostlive.web.api.heldmedia import held_media_routes
from ghostlive.web.chatmedia import ChatMedia
from ghostlive.web.guard import Guard
from ghostlive.web.problems import ProblemError
from ghostlive.web.rest import problem_answer

MO = Actor(Author("u_999", "mo", Mark.MODERATOR), "page")
EVE = "@eve:example.org"


@dataclass
class House:
    """A chat in which each message waits, a homeserver with files, and both ways to them by HTTP."""

    chat: Chat
    source: FakeSource
    store: MediaStore
    client: httpx.AsyncClient

    async def hold(self, name: str, data: bytes | None = PNG, kind: Kind = Kind.IMAGE) -> tuple[int, str]:
        """A picture comes from Matrix and waits; its number, and its path for moderators."""
        room = await self.chat.service.enter("demo")
        file = record(name)
        if data is not None:
            self.source.files[name] = data
        outcome = await self.chat.post_matrix(
            room,
            Author(matrix_author_id(EVE), "Eve", mxid=EVE),
            event_id=f"${name}",
            kind=kind,
            text=name,
            media={"url": path_of(file), "thumb": path_of(file, 640), "alt": name},
            files=[file],
            at=self.chat.service.now(),
        )
        assert outcome.held
        newest = self.chat.moderation.held_json(room)[-1]
        self.chat.service.leave(room)
        return newest["id"], newest["media"]["url"]

    async def decide(self, held: int, *, allow: bool) -> None:
        room = await self.chat.service.enter("demo")
        await self.chat.moderation.decide(room, MO, [held], allow=allow)
        self.chat.service.leave(room)

    async def get(self, path: str, user: str | None = "mo") -> httpx.Response:
        return await self.client.get(path, headers={} if user is None else {"cookie": f"{COOKIE}={user}"})


def record(name: str) -> MediaRecord:
    made = record_of(f"mxc://example.org/{name}", "image/png")
    assert made is not None
    return made


@pytest.fixture
async def house(chat: Chat, tmp_path: Path) -> AsyncIterator[House]:
    desk = ModerationDesk(chat.service, chat.moderation, ModerationRepository(chat.database))
    store = MediaStore(repository=chat.repository, folder=tmp_path / "media", clock=chat.clock, limit=10_000, most=1000)
    store.source = source = FakeSource()
    app = FastAPI()
    guard = Guard(Accounts(chat), Authorizer(chat.streams, chat.clock).decide)
    app.include_router(held_media_routes(desk, guard, store), prefix="/api/v1")
    app.add_exception_handler(ProblemError, problem_answer)
    app.mount("/", ChatMedia(store))
    for name, role in (("olga", Role.OWNER), ("mo", Role.MODERATOR), ("sam", Role.STREAMER)):
        await chat.account(name, role)
    room = await chat.service.enter("demo")
    await chat.moderation.actions.set_rules(room, MO, {"approve": True})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield House(chat, source, store, client)
    await store.stop()
    chat.service.leave(room)


@pytest.mark.parametrize("kind", [Kind.IMAGE, Kind.STICKER])
async def test_a_moderator_sees_what_waits_and_nobody_else(house: House, kind: Kind) -> None:
    _, path = await house.hold("cat", kind=kind)
    for user, status in ((None, 401), ("nobody", 401), ("sam", 403)):
        assert (await house.get(path, user)).status_code == status
    assert (await house.get(path_of(record("cat")))).status_code == 404, "pages do not get it, whoever looks at them"
    assert house.source.asked == []
    for user in ("mo", "olga"):
        answer = await house.get(path, user)
        assert (answer.status_code, answer.content) == (200, PNG)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; sandbox")
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    house.source.thumbs["cat"] = b"\xff\xd8\xff\xe0thumb"
    small = await house.get(f"{path}?w=640")
    assert (small.headers["content-type"], small.content) == ("image/jpeg", house.source.thumbs["cat"])
    assert (await house.get(path_of(record("cat")))).status_code == 404, "nor once a moderator has looked"


async def test_who_was_named_for_this_chat_sees_it(house: House) -> None:
    _, path = await house.hold("cat")
    room = await house.chat.service.enter("demo")
    owner = Actor(Author("u_998", "olga", Mark.STREAMER), "page")
    await house.chat.moderation.actions.moderator(room, owner, mxid="@sam:example.org", on=True)
    assert (await house.get(path, "sam")).status_code == 403, "nobody knows yet whose Matrix ID that is"
    house.chat.service.banning.links = {f"u_{house.chat.accounts['sam'].id}": "@sam:example.org"}
    assert (await house.get(path, "sam")).content == PNG
    await house.chat.moderation.actions.moderator(room, owner, mxid="@sam:example.org", on=False)
    assert (await house.get(path, "sam")).status_code == 403
    house.chat.service.leave(room)


async def test_only_files_of_that_message_are_given_out(house: House) -> None:
    first, cat = await house.hold("cat")
    second, dog = await house.hold("dog")
    house.source.files["secret"] = PNG
    for path in (
        cat.replace(f"/{first}/", f"/{second}/"),
        dog.replace(record("dog").id, record("secret").id),
        dog.replace(record("dog").id, "x"),
        dog.replace(f"/{second}/", "/999999/"),
        dog.replace("/demo/", "/none/"),
    ):
        answer = await house.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["detail"]
    assert house.source.asked == []


async def test_it_ends_when_it_is_decided(house: House) -> None:
    refused, cat = await house.hold("cat")
    allowed, dog = await house.hold("dog")
    for path in (cat, dog):
        assert (await house.get(path)).status_code == 200
    await house.decide(refused, allow=False)
    await house.decide(allowed, allow=True)
    for path in (cat, dog):
        assert (await house.get(path)).status_code == 404
    assert (await house.get(path_of(record("cat")), None)).status_code == 404
    assert (await house.get(path_of(record("dog")), None)).content == PNG, "what was let through, pages get"


async def test_nor_is_it_given_out_when_it_is_decided_while_it_comes(house: House) -> None:
    held, path = await house.hold("cat")
    house.source.gate.clear()
    asking = asyncio.create_task(house.get(path))
    while not house.source.asked:
        await asyncio.sleep(0)
    await house.decide(held, allow=False)
    house.source.gate.set()
    answer = await asking
    assert (answer.status_code, PNG in answer.content) == (404, False)


async def test_what_cannot_be_shown_is_said(house: House) -> None:
    _, svg = await house.hold("svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>")
    _, large = await house.hold("large", PNG + b"x" * 1000)
    _, gone = await house.hold("gone", None)
    for path, status in ((svg, 415), (large, 415), (gone, 404)):
        answer = await house.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert "no-store" in answer.headers["cache-control"]
    _, cat = await house.hold("cat")
    house.store.source = None
    away = await house.get(cat)
    assert (away.status_code, away.headers["retry-after"]) == (503, "30")
