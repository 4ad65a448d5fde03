"""The client against the homeserver in memory: one request a call, errors with what to do about them."""

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.support.fake_homeserver import FakeHomeserver

from ghostlive.chat.matrix.client import MatrixClient, _members
from ghostlive.chat.matrix.errors import (
    ApiError,
    BrokenError,
    ForbiddenError,
    LimitedError,
    MatrixError,
    MissingError,
    TakenError,
    TokenError,
    TooLargeError,
    UnreachableError,
)

GHOST = "@_ghostlive_one:chat.test"
PUBLIC = {"preset": "public_chat"}


@pytest.fixture
def homeserver() -> FakeHomeserver:
    return FakeHomeserver()


@pytest.fixture
def client(homeserver: FakeHomeserver) -> MatrixClient:
    return MatrixClient(
        url=homeserver.url, token=homeserver.as_token, server_name="chat.test", transport=homeserver.transport
    )


async def room_with_ghost(client: MatrixClient, *, device: str | None = None) -> str:
    room = await client.create_room(PUBLIC)
    await client.register("_ghostlive_one", device=device)
    await client.join_as(room, user=GHOST, name="One")
    return room


async def test_it_knows_whom_it_speaks_for(client: MatrixClient) -> None:
    assert await client.whoami() == client.bot == "@_ghostlive:chat.test"
    await client.register("_ghostlive_one")
    assert await client.whoami(user=GHOST) == GHOST
    assert "v1.11" in (await client.versions()).versions
    assert await client.room_version() == "12"


async def test_a_ghost_is_made_once(client: MatrixClient) -> None:
    assert await client.register("_ghostlive_one") is True
    assert await client.register("_ghostlive_one") is False


async def test_a_ghost_joins_with_its_name_in_one_request(homeserver: FakeHomeserver, client: MatrixClient) -> None:
    room = await client.create_room(PUBLIC)
    await client.register("_ghostlive_one")
    before = len(homeserver.seen)
    await client.join_as(room, user=GHOST, name="One", avatar="mxc://chat.test/a", more={"live.ghost.color": "#f00"})
    assert len(homeserver.seen) == before + 1
    assert homeserver.room(room).content("m.room.member", GHOST) == {
        "membership": "join", "displayname": "One", "avatar_url": "mxc://chat.test/a", "live.ghost.color": "#f00"
    }  # fmt: skip
    assert sorted(member.state_key or "" for member in await client.members(room)) == sorted([client.bot, GHOST])


async def test_a_message_carries_its_time_and_is_sent_once(homeserver: FakeHomeserver, client: MatrixClient) -> None:
    room = await room_with_ghost(client)
    content = {"msgtype": "m.text", "body": "hé"}
    first = await client.send(room, "m.room.message", content, txn="t/1", user=GHOST, ts=1234)
    assert await client.send(room, "m.room.message", content, txn="t/1", user=GHOST, ts=1234) == first
    event = await client.event(room, first)
    assert event is not None
    assert (event.sender, event.ts, event.content["body"]) == (GHOST, 1234, "hé")
    assert homeserver.room(room).bodies() == ["hé"]


async def test_a_device_makes_sending_idempotent_over_a_restart(
    homeserver: FakeHomeserver, client: MatrixClient
) -> None:
    room = await room_with_ghost(client, device="GHOSTLIVE")
    for _ in range(2):
        await client.send(room, "m.room.message", {"body": "hi"}, txn="1", user=GHOST, device="GHOSTLIVE")
        homeserver.restart()
    assert homeserver.room(room).bodies() == ["hi"]


async def test_a_banned_ghost_stays_banned(homeserver: FakeHomeserver, client: MatrixClient) -> None:
    """Neither sending nor joining does anything about the ban: there is one request, and it fails."""
    room = await room_with_ghost(client)
    await client.ban(room, GHOST, "spam")
    before = len(homeserver.seen)
    with pytest.raises(ForbiddenError):
        await client.send(room, "m.room.message", {"body": "hi"}, txn="1", user=GHOST)
    with pytest.raises(ForbiddenError) as caught:
        await client.join_as(room, user=GHOST, name="One")
    assert caught.value.banned
    assert not caught.value.retry
    assert len(homeserver.seen) == before + 2
    assert homeserver.room(room).membership(GHOST) == "ban"


async def test_a_ban_is_lifted_once_and_joins_nobody(homeserver: FakeHomeserver, client: MatrixClient) -> None:
    room = await room_with_ghost(client)
    await client.ban(room, GHOST)
    assert [member.state_key for member in await client.members(room, "ban")] == [GHOST]
    assert await client.unban(room, GHOST) is True
    assert await client.unban(room, GHOST) is False
    assert homeserver.room(room).membership(GHOST) == "leave"


async def test_aliases(client: MatrixClient) -> None:
    room, other = await client.create_room(PUBLIC), await client.create_room(PUBLIC)
    alias = "#live_demo:chat.test"
    assert await client.find_alias(alias) is None
    await client.set_alias(alias, room)
    with pytest.raises(TakenError):
        await client.set_alias(alias, other)
    assert await client.find_alias(alias) == room
    assert await client.aliases(room) == [alias]
    assert await client.remove_alias(alias) is True
    assert await client.remove_alias(alias) is False


async def test_a_redacted_event_says_so(client: MatrixClient) -> None:
    room = await room_with_ghost(client)
    event_id = await client.send(room, "m.room.message", {"body": "oops"}, txn="1", user=GHOST)
    await client.redact(room, event_id, txn="2", reason="spam")
    event = await client.event(room, event_id)
    assert event is not None
    assert event.redacted
    newest = (await client.messages(room)).events[0]
    assert (newest.type, newest.redacts, newest.content["reason"]) == ("m.room.redaction", event_id, "spam")


async def test_state_is_none_where_there_is_none(client: MatrixClient) -> None:
    room = await client.create_room(PUBLIC)
    assert await client.state(room, "m.room.tombstone") is None
    assert await client.state_event(room, "m.room.tombstone") is None
    create = await client.state_event(room, "m.room.create")
    assert create is not None
    assert create.sender == client.bot
    assert {event.type for event in await client.whole_state(room)} >= {"m.room.create", "m.room.member"}


async def test_the_state_of_a_large_room_is_read_in_pieces_and_not_without_end(
    homeserver: FakeHomeserver, client: MatrixClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await client.create_room(PUBLIC)
    for number in range(300):
        await client.set_state(room, "m.policy.rule.user", {"entity": f"@a{number}:x", "reason": "ä"}, str(number))
    found = await client.whole_state(room)
    assert [event.content["entity"] for event in found if event.type == "m.policy.rule.user"] == [
        f"@a{number}:x" for number in range(300)
    ]
    monkeypatch.setattr("ghostlive.chat.matrix.client._MOST_STATE", 10_000)
    with pytest.raises(TooLargeError):
        await client.whole_state(room)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[]", []),
        (b' [ {"a": [1, "]"]} ,\n{} ] ', [{"a": [1, "]"]}, {}]),
        (b"{}", None),
        (b"", None),
        (b"[1", None),
        (b"[1 2]", None),
        (b"[\xff]", None),
        (b"[" * 100_000, None),
    ],
)
def test_a_list_is_read_member_by_member(data: bytes, expected: list[object] | None) -> None:
    if expected is None:
        with pytest.raises(ApiError):
            list(_members(data))
    else:
        assert list(_members(data)) == expected


async def test_files_come_in_pieces(homeserver: FakeHomeserver, client: MatrixClient) -> None:
    mxc = await client.upload(b"picture", "image/png", "a.png")
    media_id = mxc.rpartition("/")[2]
    async with client.download("chat.test", media_id) as download:
        assert (download.content_type, download.length) == ("image/png", 7)
        assert b"".join([chunk async for chunk in download.chunks()]) == b"picture"
    async with client.thumbnail("chat.test", media_id, width=100, height=80) as download:
        assert b"".join([chunk async for chunk in download.chunks()]) == b"picture"
    with pytest.raises(MissingError):
        async with client.download("elsewhere.test", "nothing"):
            raise AssertionError("there is no such file")
    homeserver.dead = True
    with pytest.raises(UnreachableError):
        async with client.download("chat.test", media_id):
            raise AssertionError("nobody answers")


@pytest.mark.parametrize(
    ("status", "errcode", "kind", "retry"),
    [
        (500, "M_UNKNOWN", BrokenError, True),
        (503, "", BrokenError, True),
        (429, "M_LIMIT_EXCEEDED", LimitedError, True),
        (401, "M_UNKNOWN_TOKEN", TokenError, False),
        (403, "M_FORBIDDEN", ForbiddenError, False),
        (404, "M_NOT_FOUND", MissingError, False),
        (404, "M_UNRECOGNIZED", MissingError, False),
        (413, "M_TOO_LARGE", TooLargeError, False),
        (400, "M_BAD_JSON", ApiError, False),
    ],
)
async def test_an_error_says_what_it_is(status: int, errcode: str, kind: type[ApiError], *, retry: bool) -> None:
    homeserver = FakeHomeserver()
    client = MatrixClient(url=homeserver.url, token="as-token", server_name="c", transport=homeserver.transport)
    homeserver.fail(status, errcode=errcode, text="because")
    with pytest.raises(MatrixError) as caught:
        await client.whoami()
    assert type(caught.value) is kind
    assert caught.value.retry is retry
    assert "because" in str(caught.value)


async def test_it_says_how_long_to_wait(homeserver: FakeHomeserver, client: MatrixClient) -> None:
    homeserver.limit(retry_after_ms=1500)
    with pytest.raises(LimitedError) as caught:
        await client.whoami()
    assert caught.value.retry_after == 1.5


async def test_a_ghost_that_is_not_registered_is_no_ban(client: MatrixClient) -> None:
    room = await client.create_room(PUBLIC)
    with pytest.raises(TokenError):
        await client.join(room, user=GHOST)


async def test_nobody_there_and_an_answer_that_is_lost_are_the_same_to_us(
    homeserver: FakeHomeserver, client: MatrixClient
) -> None:
    room = await client.create_room(PUBLIC)
    homeserver.lose_answers(path="/send/")
    with pytest.raises(UnreachableError):
        await client.send(room, "m.room.message", {"body": "hi"}, txn="1")
    await client.send(room, "m.room.message", {"body": "hi"}, txn="1")
    assert homeserver.room(room).bodies() == ["hi"]
    homeserver.dead = True
    with pytest.raises(UnreachableError) as caught:
        await client.whoami()
    assert caught.value.retry


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"user_id": 5}', b"\xff"])
async def test_an_answer_that_is_none_is_trouble_of_the_homeserver(body: bytes) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, content=body))
    client = MatrixClient(url="http://homeserver.test", token="t", server_name="chat.test", transport=transport)
    with pytest.raises(BrokenError):
        await client.whoami()


async def test_the_token_is_in_no_error(homeserver: FakeHomeserver) -> None:
    client = MatrixClient(
        url=homeserver.url, token="very-secret", server_name="chat.test", transport=homeserver.transport
    )
    with pytest.raises(TokenError) as caught:
        await client.whoami()
    assert "very-secret" not in repr(caught.value) + str(caught.value)


async def test_a_redirection_of_a_file_is_not_followed() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(302, headers={"location": "http://169.254.169.254/latest"})

    client = MatrixClient(
        url="http://homeserver.test", token="t", server_name="chat.test", transport=httpx.MockTransport(answer)
    )
    with pytest.raises(ApiError):
        async with client.download("chat.test", "a"):
            raise AssertionError("it was followed")
    assert asked == ["homeserver.test"]


async def test_people_are_invited_removed_and_leave(homeserver: FakeHomeserver, client: MatrixClient) -> None:
    room = await room_with_ghost(client)
    await client.invite(room, "@alice:chat.test")
    assert homeserver.room(room).membership("@alice:chat.test") == "invite"
    await client.kick(room, GHOST, "because")
    assert homeserver.room(room).content("m.room.member", GHOST) == {"membership": "leave", "reason": "because"}
    assert await client.join(room, user=GHOST, via="chat.test") == room
    await client.leave(room, user=GHOST)
    assert homeserver.room(room).membership(GHOST) == "leave"
    assert await client.joined_rooms() == [room]


async def test_the_bot_and_ghosts_have_names(homeserver: FakeHomeserver, client: MatrixClient) -> None:
    await client.register("_ghostlive_one")
    await client.set_name("One", user=GHOST)
    await client.set_name("Ghost Live")
    assert homeserver.profiles == {GHOST: {"displayname": "One"}, client.bot: {"displayname": "Ghost Live"}}


async def test_an_event_that_is_not_there_is_none(client: MatrixClient) -> None:
    room = await client.create_room(PUBLIC)
    assert await client.event(room, "$nothing") is None


async def test_it_tells_whether_we_are_reached(homeserver: FakeHomeserver, client: MatrixClient) -> None:
    with pytest.raises(BrokenError) as caught:
        await client.ping("1")
    assert caught.value.errcode == "M_CONNECTION_FAILED"


async def test_a_timeline_goes_on_where_it_ended() -> None:
    asked: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        return httpx.Response(200, json={"chunk": [], "end": "next"} if len(asked) == 1 else {"chunk": []})

    client = MatrixClient(url="http://h.test", token="t", server_name="h", transport=httpx.MockTransport(answer))
    page = await client.messages("!r", kinds=("m.room.message",), limit=5)
    assert page.end == "next"
    assert (await client.messages("!r", since="next", backwards=False)).end is None
    assert asked == [
        {"dir": "b", "limit": "5", "filter": '{"types": ["m.room.message"]}'},
        {"dir": "f", "limit": "100", "from": "next"},
    ]


async def test_a_file_that_breaks_off_is_no_file() -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"half"
            raise httpx.ReadError("connection lost")

    transport = httpx.MockTransport(lambda _request: httpx.Response(200, stream=Broken()))
    client = MatrixClient(url="http://h.test", token="t", server_name="h", transport=transport)
    async with client.download("h", "a") as download:
        with pytest.raises(UnreachableError):
            [chunk async for chunk in download.chunks()]


async def test_a_space_is_read_page_by_page(homeserver: FakeHomeserver, client: MatrixClient) -> None:
    room = await client.create_room(PUBLIC)
    space = await client.create_room({**PUBLIC, "creation_content": {"type": "m.space"}})
    await client.set_state(space, "m.space.child", {"via": ["chat.test"]}, room)
    assert await client.hierarchy(space) == [space, room]
