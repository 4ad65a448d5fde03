"""The studio's side of moderation: the same acts by HTTP, and who may."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.support.chat import Accounts, Chat

from ghostlive.access.authorizer import Authorizer
from ghostlive.access.sessions import COOKIE
from ghostlive.chat.moderation.acts import Actor
from ghostlive.chat.moderation.desk import ModerationDesk
from ghostlive.chat.people import Author
from ghostlive.chat.people import Role as Mark
from ghostlive.db.moderation import ModerationRepository
from ghostlive.db.users import Role
from ghostlive.web.api.moderation import moderation_routes
from ghostlive.web.guard import Guard
from ghostlive.web.problems import ProblemError
from ghostlive.web.rest import problem_answer

MXID = "@mona:example.org"


@pytest.fixture
async def api(chat: Chat) -> AsyncIterator[httpx.AsyncClient]:
    """The routes over a running chat."""
    desk = ModerationDesk(chat.service, chat.moderation, ModerationRepository(chat.database))
    guard = Guard(Accounts(chat), Authorizer(chat.streams, chat.clock).decide)
    app = FastAPI()
    app.include_router(moderation_routes(desk, guard), prefix="/api/v1")
    app.add_exception_handler(ProblemError, problem_answer)
    for name, role in (("olga", Role.OWNER), ("mo", Role.MODERATOR), ("sam", Role.STREAMER)):
        await chat.account(name, role)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test/api/v1/streams/demo/chat"
    ) as client:
        yield client


async def ask(api: httpx.AsyncClient, user: str | None, method: str, path: str, **more: Any) -> tuple[int, Any]:
    """Status and body."""
    headers = {} if user is None else {"cookie": f"{COOKIE}={user}"}
    answer = await api.request(method, path, headers=headers, **more)
    return answer.status_code, answer.json() if answer.content else None


async def test_rules(chat: Chat, api: httpx.AsyncClient) -> None:
    ann = await chat.enter("Ann")
    status, rules = await ask(api, "mo", "GET", "rules")
    assert (status, rules["slow"], rules["links"], rules["words"]) == (200, 0, True, [])
    words = [{"text": "bad*", "kind": "glob", "action": "hold"}]
    status, rules = await ask(api, "mo", "PATCH", "rules", json={"slow": 5, "words": words})
    assert (status, rules["slow"], rules["words"]) == (200, 5, words)
    assert (await ann.next("rules"))["rules"]["slow"] == 5
    for wrong in (
        {"slow": -1},
        {"slow": None},
        {"guests": "x"},
        {"unheard": 1},
        {"words": [{"text": "(", "kind": "regex"}]},
    ):
        status, problem = await ask(api, "mo", "PATCH", "rules", json=wrong)
        assert status == 422, wrong
        assert problem["detail"]
    assert (await ask(api, "mo", "GET", "rules"))[1]["slow"] == 5


async def test_held_and_audit(chat: Chat, api: httpx.AsyncClient) -> None:
    await ask(api, "mo", "PATCH", "rules", json={"approve": True})
    ann = await chat.enter("Ann")
    for text in ("one", "two"):
        ann.say(text)
        await ann.next("ack")
    _, held = await ask(api, "mo", "GET", "held")
    first, second = held["held"]
    assert (first["text"], first["author"]["name"]) == ("one", "Ann")
    assert (await ask(api, "mo", "POST", f"held/{first['id']}", json={"allow": True}))[0] == 204
    assert (await ask(api, "mo", "POST", f"held/{second['id']}", json={"allow": False}))[0] == 204
    assert (await ask(api, "mo", "POST", f"held/{second['id']}", json={"allow": True}))[0] == 404
    await ann.sees(lambda page: page.texts() == ["one"])
    _, log = await ask(api, "mo", "GET", "audit?limit=2")
    assert [entry["kind"] for entry in log["entries"]] == ["deny", "allow"]
    assert log["entries"][0]["actor"]["name"] == "mo"
    assert log["entries"][0]["via"] == "api"
    assert log["entries"][0]["target"]["name"] == "Ann"
    _, rest = await ask(api, "mo", "GET", f"audit?limit=2&before={log['next']}")
    assert ([entry["kind"] for entry in rest["entries"]], rest["next"]) == (["rules"], None)


async def test_the_log_says_what_holds_everywhere(chat: Chat, api: httpx.AsyncClient) -> None:
    ann = await chat.enter("Ann")
    assert ann.you is not None
    room, olga = await chat.service.enter("demo"), Actor(Author("u_999", "olga", Mark.STREAMER), "api")
    ban = await chat.moderation.actions.ban(room, olga, author_id=ann.you["id"])
    site = await chat.moderation.site.ban("demo", ban.id, olga)
    await chat.moderation.site.unban(site.id, olga)
    await chat.moderation.actions.unban(room, olga, ban_id=ban.id)
    _, log = await ask(api, "mo", "GET", "audit")
    assert [(entry["kind"], entry["everywhere"]) for entry in log["entries"]] == [
        ("unban", False),
        ("unban", True),
        ("ban", True),
        ("ban", False),
    ]


async def test_moderators(chat: Chat, api: httpx.AsyncClient) -> None:
    assert (await ask(api, "sam", "GET", "rules"))[0] == 403
    assert (await ask(api, "mo", "PUT", "moderators", json={"account": "sam"}))[0] == 403
    status, named = await ask(api, "olga", "PUT", "moderators", json={"account": "sam"})
    assert (status, named["moderators"]) == (200, [{"name": "sam", "account": True, "matrix": None}])
    await ask(api, "olga", "PUT", "moderators", json={"matrix": MXID})
    assert (await ask(api, "sam", "GET", "rules"))[0] == 200, "named for this chat"
    assert (await ask(api, "sam", "PUT", "moderators", json={"account": "sam"}))[0] == 403
    _, named = await ask(api, "sam", "GET", "moderators")
    assert [one["matrix"] for one in named["moderators"]] == [None, MXID]
    for wrong, status in (({}, 422), ({"account": "a", "matrix": MXID}, 422), ({"account": "nobody"}, 404)):
        assert (await ask(api, "olga", "PUT", "moderators", json=wrong))[0] == status
    assert (await ask(api, "olga", "DELETE", f"moderators?matrix={MXID}"))[0] == 204
    assert (await ask(api, "olga", "DELETE", "moderators?account=sam"))[0] == 204
    assert (await ask(api, "olga", "DELETE", "moderators"))[0] == 422
    assert (await ask(api, "sam", "GET", "rules"))[0] == 403


async def test_trusted(chat: Chat, api: httpx.AsyncClient) -> None:
    ann = await chat.enter("Ann")
    await ann.post("hello")
    assert ann.you is not None
    assert (await ask(api, "mo", "PUT", "trusted", json={"author": ann.you["id"]}))[0] == 204
    _, trusted = await ask(api, "mo", "GET", "trusted")
    assert [one["name"] for one in trusted["trusted"]] == ["Ann"]
    assert (await ask(api, "mo", "DELETE", f"trusted/{ann.you['id']}"))[0] == 204
    assert (await ask(api, "mo", "GET", "trusted"))[1] == {"trusted": []}
    assert (await ask(api, "mo", "PUT", "trusted", json={"author": "g_nobody"}))[0] == 404


async def test_who_may_not(chat: Chat, api: httpx.AsyncClient) -> None:
    for method, path, body in (
        ("GET", "rules", None),
        ("PATCH", "rules", {"slow": 1}),
        ("GET", "held", None),
        ("POST", "held/1", {"allow": True}),
        ("GET", "audit", None),
        ("GET", "moderators", None),
        ("PUT", "moderators", {"account": "sam"}),
        ("DELETE", "moderators?account=sam", None),
        ("GET", "trusted", None),
        ("PUT", "trusted", {"author": "g_x"}),
        ("DELETE", "trusted/g_x", None),
    ):
        assert (await ask(api, None, method, path, json=body))[0] == 401
        assert (await ask(api, "sam", method, path, json=body))[0] == 403
    assert (await ask(api, "olga", "GET", "http://test/api/v1/streams/none/chat/rules"))[0] == 404


async def test_who_is_moderator_by_api_is_one_in_the_log(chat: Chat, api: httpx.AsyncClient) -> None:
    await ask(api, "olga", "PATCH", "rules", json={"slow": 1})
    await ask(api, "mo", "PATCH", "rules", json={"slow": 2})
    _, log = await ask(api, "mo", "GET", "audit")
    assert [entry["actor"]["role"] for entry in log["entries"]] == ["moderator", "streamer"]
    room = await chat.service.enter("demo")
    await chat.moderation.actions.clear(room, Actor(Author("rule", "x", Mark.GUEST), "rule"))
