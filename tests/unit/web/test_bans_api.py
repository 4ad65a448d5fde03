"""Bans, policy lists and signing in with Matrix over the API: who may, what is told, and what is never told."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import httpx
import pytest
from fastapi import FastAPI
from tests.support.chat import Chat, Page, open_chat

from ghostlive.access.authorizer import Authorizer
from ghostlive.access.browser import COOKIE as BROWSER
from ghostlive.access.sessions import COOKIE
from ghostlive.chat.errors import UnavailableError
from ghostlive.chat.matrix.codes import MatrixSignIn
from ghostlive.chat.moderation.desk import ModerationDesk
from ghostlive.chat.moderation.moderation import Moderation
from ghostlive.db.matrix import MatrixRepository
from ghostlive.db.moderation import ModerationRepository
from ghostlive.db.users import Role
from ghostlive.web.guard import Guard
from ghostlive.web.parts import RestParts
from ghostlive.web.rest import build_rest

ROLES = {"olga": Role.OWNER, "mo": Role.MODERATOR, "sam": Role.STREAMER}
SECRET = b"s" * 32
ANN = "@ann:matrix.example"
NOBODY = {"matrix": None, "claimed": None}
BANS, SITE, LISTS = "/streams/demo/chat/bans", "/chat/bans", "/streams/demo/chat/policies"


class Lists:
    """See `policy.PolicyRooms`."""

    async def open(self, room: str) -> tuple[str, Sequence[Mapping[str, Any]]]:
        if "away" in room:
            raise UnavailableError("The room cannot be entered.")
        content = {"entity": "@spam*:evil.example", "recommendation": "m.ban", "reason": "spam"}
        return "!list", [{"type": "m.policy.rule.user", "state_key": "1", "content": content}]


class NoRooms:
    """See `MatrixRooms`: of a server without Matrix."""

    mode: Literal["managed", "external", "off"] = "off"

    async def room_state(self, stream: str) -> None:
        return None

    async def repair_room(self, stream: str) -> None:
        return None


class Api:
    """The API beside a chat."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        stored = ModerationRepository(chat.database)
        moderation = Moderation(chat.service, chat=chat.repository, stored=stored, users=chat.users, clock=chat.clock)
        chat.service.moderation = moderation
        self.sign_in = MatrixSignIn(
            repository=MatrixRepository(chat.database), clock=chat.clock, now=chat.service.now, secret=SECRET
        )
        chat.service.banning.links = self.sign_in.links
        nothing = cast("Any", None)
        self.parts = RestParts(
            config=cast("Any", type("Config", (), {"frame_ancestors": "*"})()),
            hub=nothing,
            records=nothing,
            directory=nothing,
            audience=nothing,
            feed=nothing,
            sessions=nothing,
            guard=Guard(self, Authorizer(chat.streams, chat.clock).decide),
            setup=None,
            addresses=nothing,
            health=dict,
            desk=ModerationDesk(chat.service, moderation, stored),
            matrix=NoRooms(),
            sign_in=self.sign_in,
            secret=SECRET,
        )
        self.app = cast("FastAPI", None)

    async def identify(self, token: str | None) -> Any:
        return self.chat.accounts.get(token or "")

    async def ask(
        self, who: str | None, method: str, path: str, body: object = None, cookies: dict[str, str] | None = None
    ) -> httpx.Response:
        transport = httpx.ASGITransport(cast("Any", self.app), client=("192.0.2.77", 5))
        all_cookies = {**({COOKIE: who} if who else {}), **(cookies or {})}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", cookies=all_cookies) as client:
            return await client.request(method, f"/api/v1{path}", json=body)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with open_chat(tmp_path) as chat:
        for name, role in ROLES.items():
            await chat.account(name, role)
        api = Api(chat)
        api.app = await asyncio.to_thread(build_rest, api.parts)
        yield api


async def troll(api: Api) -> Page:
    page = await api.chat.enter("Troll", address="203.0.113.66")
    await page.post("spam")
    return page


async def test_a_ban_by_matrix_id_is_made_listed_and_lifted(api: Api) -> None:
    wanted = {"matrix": "@spam*:evil.example", "reason": " spam\u202e\n", "seconds": 60}
    made = await api.ask("mo", "POST", BANS, wanted)
    assert made.status_code == 201
    ban = made.json()
    assert (ban["matrix"], ban["reason"], ban["watching"], ban["tag"]) == ("@spam*:evil.example", "spam", False, "")
    assert (await api.ask("olga", "GET", BANS)).json()["bans"] == [ban]
    for who, status in ((None, 401), ("sam", 403)):
        assert (await api.ask(who, "GET", BANS)).status_code == status
        assert (await api.ask(who, "POST", BANS, {"matrix": "@a:b"})).status_code == status
        assert (await api.ask(who, "DELETE", f"{BANS}/{ban['id']}")).status_code == status
    assert (await api.ask("mo", "DELETE", f"{BANS}/{ban['id']}")).status_code == 204
    assert (await api.ask("mo", "DELETE", f"{BANS}/{ban['id']}")).status_code == 404
    assert (await api.ask("mo", "GET", "/streams/none/chat/bans")).status_code == 404
    assert (await api.ask("mo", "GET", BANS)).headers["cache-control"] == "no-store"


async def test_a_ban_of_an_author_tells_a_tag_and_no_address(api: Api) -> None:
    page = await troll(api)
    made = await api.ask("mo", "POST", BANS, {"message": page.acks["t1"], "watching": True, "newcomers": "shadow"})
    assert made.status_code == 201
    ban = made.json()
    assert (ban["name"], ban["watching"], ban["newcomers"], ban["expires_at"]) == ("Troll", True, "shadow", None)
    assert len(ban["tag"]) == 5
    assert "203.0" not in made.text
    assert "mark" not in made.text
    await page.next("banned")
    assert api.chat.service.banning.watching.refuses("demo", "203.0.113.66", None)


async def test_senseless_bans_are_refused(api: Api) -> None:
    for body in (
        {},
        {"matrix": "@a:b", "author": "g_1"},
        {"matrix": "*"},
        {"matrix": "@a:b", "seconds": 0},
        {"matrix": "@a:b", "newcomers": "eat"},
        {"matrix": "@a:b", "more": 1},
    ):
        assert (await api.ask("mo", "POST", BANS, body)).status_code in (403, 422), body
    assert (await api.ask("mo", "POST", BANS, {"author": "g_none"})).status_code == 404


async def test_only_the_owner_bans_everywhere(api: Api) -> None:
    page = await troll(api)
    ban = (await api.ask("mo", "POST", BANS, {"message": page.acks["t1"]})).json()
    await page.next("banned")
    await api.chat.streams.add("other")
    elsewhere = f"{BANS}/{ban['id']}/everywhere"
    for who, status in ((None, 401), ("mo", 403), ("sam", 403)):
        assert (await api.ask(who, "POST", elsewhere)).status_code == status
        assert (await api.ask(who, "GET", SITE)).status_code == status
        assert (await api.ask(who, "DELETE", f"{SITE}/1")).status_code == status
    made = await api.ask("olga", "POST", elsewhere)
    assert made.status_code == 201
    await api.chat.page(stream="other", address="203.0.113.66").kept_out()
    [site] = (await api.ask("olga", "GET", SITE)).json()["bans"]
    assert (site["name"], site["by"]) == ("Troll", "olga")
    assert (await api.ask("olga", "DELETE", f"{SITE}/{site['id']}")).status_code == 204
    assert (await api.ask("olga", "DELETE", f"{SITE}/{site['id']}")).status_code == 404
    assert (await api.ask("olga", "POST", f"{BANS}/999/everywhere")).status_code == 404
    await (await api.chat.page(stream="other", address="203.0.113.66").open()).hello()


async def test_policy_lists_of_a_chat(api: Api) -> None:
    policies = api.chat.service.banning.policies
    assert (await api.ask("mo", "GET", LISTS)).json() == {"policies": []}
    policies.rooms = Lists()
    assert (await api.ask("mo", "PUT", LISTS, {"rooms": []})).status_code == 403
    for rooms in (["room"], ["#a"], ["@a:b"], ["#a:b"] * 21):
        assert (await api.ask("olga", "PUT", LISTS, {"rooms": rooms})).status_code == 422
    answer = await api.ask("olga", "PUT", LISTS, {"rooms": ["#bans:list.example", "#away:list.example"]})
    assert answer.json()["policies"] == [
        {"room": "#bans:list.example", "rules": 1, "error": ""},
        {"room": "#away:list.example", "rules": 0, "error": "The room cannot be entered."},
    ]
    assert policies.find("demo", "@spammer:evil.example") is not None
    assert (await api.ask("olga", "PUT", LISTS, {"rooms": []})).json() == {"policies": []}
    assert policies.find("demo", "@spammer:evil.example") is None


async def test_a_browser_signs_in_with_matrix(api: Api) -> None:
    assert (await api.ask(None, "POST", "/matrix/code")).status_code == 503  # there is no homeserver yet
    api.sign_in.bot = "@_ghostlive:live.example"
    asked = await api.ask(None, "POST", "/matrix/code")
    assert asked.status_code == 200
    code = asked.json()
    assert (code["bot"], code["expires_in"]) == ("@_ghostlive:live.example", 600)
    header = asked.headers["set-cookie"]
    assert "HttpOnly" in header
    browser = {BROWSER: header.partition(";")[0].partition("=")[2]}
    assert (await api.ask(None, "GET", "/matrix/link", cookies=browser)).json() == NOBODY
    answer = await api.sign_in.heard("@ann:matrix.example", code["code"], api.chat.service.now())
    assert answer is not None
    claimed = {"matrix": None, "claimed": ANN}
    assert (await api.ask(None, "GET", "/matrix/link", cookies=browser)).json() == claimed
    yes = {"matrix": ANN}
    assert (await api.ask(None, "POST", "/matrix/link", yes)).status_code == 409  # another browser
    refused = await api.ask(None, "POST", "/matrix/link", {"matrix": "@eve:matrix.example"}, cookies=browser)
    assert refused.status_code == 409
    assert (await api.ask(None, "GET", "/matrix/link", cookies=browser)).json() == claimed
    linked = {"matrix": ANN, "claimed": None}
    assert (await api.ask(None, "POST", "/matrix/link", yes, cookies=browser)).json() == linked
    assert (await api.ask(None, "GET", "/matrix/link", cookies=browser)).json() == linked
    assert (await api.ask(None, "GET", "/matrix/link")).json() == NOBODY
    page = api.chat.page()
    page.cookie = browser[BROWSER]
    await page.open()
    await page.hello()
    assert (await page.join("Ann"))["you"]["matrix"] == "@ann:matrix.example"
    again = await api.ask(None, "POST", "/matrix/code", cookies=browser)
    assert "set-cookie" not in again.headers  # it is known
    assert (await api.ask(None, "DELETE", "/matrix/link", cookies=browser)).status_code == 204
    assert (await api.ask(None, "GET", "/matrix/link", cookies=browser)).json() == NOBODY
    await api.sign_in.heard("@eve:matrix.example", again.json()["code"], api.chat.service.now())
    assert (await api.ask(None, "DELETE", "/matrix/code", cookies=browser)).status_code == 204
    assert (await api.ask(None, "GET", "/matrix/link", cookies=browser)).json() == NOBODY
    assert (await api.ask(None, "DELETE", "/matrix/code")).status_code == 204


async def test_an_account_is_linked_whatever_browser_it_is(api: Api) -> None:
    api.sign_in.bot = "@_ghostlive:live.example"
    code = (await api.ask("sam", "POST", "/matrix/code")).json()["code"]
    sam = "@sam:matrix.example"
    await api.sign_in.heard(sam, code, api.chat.service.now())
    assert (await api.ask("mo", "POST", "/matrix/link", {"matrix": sam})).status_code == 409
    assert (await api.ask("sam", "POST", "/matrix/link", {"matrix": sam})).status_code == 200
    assert (await api.ask("sam", "GET", "/matrix/link")).json() == {"matrix": sam, "claimed": None}
    assert (await api.ask("mo", "GET", "/matrix/link")).json() == NOBODY
    assert api.sign_in.links == {f"u_{api.chat.accounts['sam'].id}": "@sam:matrix.example"}


async def test_codes_are_limited(api: Api) -> None:
    api.sign_in.bot = "@_ghostlive:live.example"
    statuses = [(await api.ask("sam", "POST", "/matrix/code")).status_code for _ in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    refused = await api.ask("sam", "POST", "/matrix/code")
    assert int(refused.headers["retry-after"]) > 0


@pytest.mark.parametrize("by", ["account", "matrix"])
async def test_who_was_named_for_one_chat_gets_all_that_the_page_of_moderators_reads(api: Api, by: str) -> None:
    linked = "@samuel:chat.test"
    pages = ("rules", "held", "bans", "moderators", "trusted", "matrix", "policies", "audit")
    await MatrixRepository(api.chat.database).link(
        f"u_{api.chat.accounts['sam'].id}", linked, at=api.chat.service.now()
    )
    await api.sign_in.start()
    await api.chat.streams.add("other")
    for page in pages:
        assert (await api.ask("sam", "GET", f"/streams/demo/chat/{page}")).status_code == 403, page
    who = {"account": "sam"} if by == "account" else {"matrix": linked}
    assert (await api.ask("olga", "PUT", "/streams/demo/chat/moderators", who)).status_code == 200
    for page in pages:
        assert (await api.ask("sam", "GET", f"/streams/demo/chat/{page}")).status_code == 200, page
        assert (await api.ask("sam", "GET", f"/streams/other/chat/{page}")).status_code == 403, page
    assert (await api.ask("sam", "POST", "/streams/demo/chat/matrix/repair")).status_code == 403
    assert (await api.ask(None, "GET", "/streams/demo/chat/matrix")).status_code == 401
    sam = await api.chat.enter(user=api.chat.accounts["sam"])
    assert sam.you is not None
    assert "moderate" in sam.you["can"]
