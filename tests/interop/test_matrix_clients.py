"""matrix-js-sdk, of which Element is made, in a browser, on a page of another site: what its clients see and may do.

The homeserver is the one that comes along, reached through this server's port, and the chat's pages are the other side.
"""

from asyncio import to_thread
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect
from tests.support.browser import eventually
from tests.support.chat_client import ChatClient, chat_url
from tests.support.matrix_house import CHAT_ALONE, UNLIMITED
from tests.support.matrix_sdk import Client, open_sdk
from tests.support.program import Program, free_port, get, wait_for
from tests.support.site import Site
from tests.support.synapse import START_WITHIN, register

from ghostlive.chat.matrix.homeserver.files import load

pytestmark = [pytest.mark.interop, pytest.mark.asyncio(loop_scope="session")]

BOT = "@_ghostlive:localhost"
PICTURE = """new Promise((done) => {
  const canvas = document.createElement("canvas");
  canvas.width = 40; canvas.height = 30;
  canvas.getContext("2d").fillRect(0, 0, 20, 20);
  canvas.toBlob(done, "image/png");
})"""


@asynccontextmanager
async def guests(url: str, *names: str) -> AsyncIterator[list[ChatClient]]:
    """People on pages, each at an address of their own."""
    pages = [ChatClient(url, headers={"X-Forwarded-For": f"192.0.2.{number}"}) for number in range(1, len(names) + 1)]
    try:
        for page, name in zip(pages, names, strict=True):
            await to_thread(page.open)
            await to_thread(page.join, name)
        yield pages
    finally:
        for page in pages:
            await to_thread(page.close)


class House:
    """A server with its own homeserver, its owner, and two people with accounts there."""

    def __init__(self, program: Program, owner: httpx.Client) -> None:
        self.program = program
        self.owner = owner

    def add_stream(self, name: str, **more: str) -> str:
        """Make a stream; the address of its chat."""
        self.owner.post("/api/v1/streams", json={"name": name, **more}).raise_for_status()
        return chat_url(self.program.url, name)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """See `House`."""
    environment = {
        "GHOSTLIVE_MATRIX__MODE": "managed",
        "GHOSTLIVE_MATRIX__HOMESERVER_URL": f"http://127.0.0.1:{free_port()}",
        **CHAT_ALONE,
        **UNLIMITED,
        "GHOSTLIVE_HTTP__TRUSTED_PROXIES": "127.0.0.1",
    }
    program = Program(tmp_path_factory.mktemp("clients"), environment)
    try:
        program.start()
        with program.own() as owner:
            versions = f"{program.url}/_matrix/client/versions"
            wait_for("the homeserver", lambda: get(versions).status_code == 200, START_WITHIN)
            identity = load(program.data, "localhost")
            for name in ("ann", "olga"):  # as its operator does by `ghostlive matrix admin`
                register(environment["GHOSTLIVE_MATRIX__HOMESERVER_URL"], identity, name, password="a password")
            yield House(program, owner)
    finally:
        if program.process is not None and program.process.poll() is None:
            program.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(browser: Browser, outside: Site, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """A page of another site with the SDK."""
    context = await browser.new_context()
    yield await open_sdk(await context.new_page(), outside, tmp_path_factory.mktemp("sdk"))
    await context.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ann(page: Page, house: House) -> Client:
    """Somebody with a client and an account."""
    return await Client.sign_in(page, house.program.url, "ann", "a password")


async def test_a_person_finds_the_room_and_what_was_said_in_it(house: House, ann: Client) -> None:
    url = await to_thread(house.add_stream, "found", title="Found it", description="About nothing")
    async with guests(url, "Bob", "Eve <3") as (bob, eve):
        for page in (bob, eve):
            await to_thread(page.post, "hello", "hello")
            member = "me.getStateEvent(found.room_id, 'm.room.member', ghost).then(({ membership }) => membership)"
            await ann.until(
                "the ghost", f"me.getRoomIdForAlias(alias).then((found) => {member}).catch(() => null)",
                alias="#live_found:localhost", ghost=_ghost(page),
            )  # fmt: skip
        await to_thread(_speak, bob, eve)
        await ann.enter("#live_found:localhost")
        # As who scrolls up: how much comes with the room is the client's and the homeserver's business.
        await ann.until(
            "all that was said",
            """me.scrollback(room, 50).then(() =>
                 ["hello", "this is right", "never mind", "the last"].every((text) => said(text)))""",
        )
        await to_thread(_take_back, bob, "never mind")
        await ann.until("what was taken away", "events().some((event) => event.isRedacted())")
        await ann.until(
            "the reactions",
            """room.relations.getChildEventsForEvent(said("first").getId(), "m.annotation", "m.reaction")
                 ?.getSortedAnnotationsByKey().some(([key, events]) => key === "👍" && events.size === 2)""",
        )
        said = await ann.run(
            """events().filter((event) => event.getType() === "m.room.message" && !event.isRelation("m.replace"))
                 .map((event) => ({
                   by: event.sender.name, kind: event.getContent().msgtype, body: event.getContent().body,
                   answers: event.replyEventId, gone: event.isRedacted(), ts: event.getTs(),
                   profile: event.getContent()["com.beeper.per_message_profile"],
                 }))"""
        )
        first = await ann.said("first")
        assert [_read(message) for message in said] == [
            ("Bob", "m.text", "hello", None),
            ("Eve <3", "m.text", "hello", None),
            ("Bob", "m.text", "first", None),
            ("Eve <3", "m.text", "an answer", first),
            ("Eve <3", "m.emote", "waves", None),
            ("Bob", "m.text", "this is right", None),
            ("Bob", None, None, None),
            ("Bob", "m.text", "two\nlines of <b>no</b> HTML", None),
            ("Bob", "m.text", "the last", None),
        ]
        assert [message["gone"] for message in said].index(True) == 6
        times = [message["ts"] for message in said]
        assert times == sorted(times)


def _speak(bob: ChatClient, eve: ChatClient) -> None:
    first = bob.post("first", "1")
    eve.post("an answer", "1", reply=first)
    eve.post("waves", "2", emote=True)
    wrong = bob.post("this is worng", "2")
    bob.send(type="edit", id=wrong, text="this is right")
    for page in (bob, eve):
        page.send(type="react", id=first, key="👍", on=True)
    bob.post("never mind", "3")
    bob.post("two\nlines of <b>no</b> HTML", "4")
    bob.post("the last", "5")


def _take_back(page: ChatClient, text: str) -> None:
    gone = next(message["id"] for message in page.messages if message["text"] == text)
    page.send(type="delete", id=gone)
    page.wait(lambda: text not in page.texts, "the message to go")


def _read(message: dict[str, Any]) -> tuple[str, str | None, str | None, str | None]:
    """Who says what, also where the bot says it for who could not join within a second."""
    by, body = message["by"], message.get("body")
    profile = message.get("profile")
    if profile is not None and body is not None:
        by = profile["displayname"]
        assert body.startswith(f"{by}: ")
        body = body.removeprefix(f"{by}: ")
    return by, message.get("kind"), body, message.get("answers")


def _ghost(page: ChatClient) -> str:
    """The Matrix ID of a guest."""
    assert page.you is not None
    return f"@_ghostlive_{page.you['id'].removeprefix('g_')}:localhost"


async def test_a_room_shows_its_stream_and_has_the_player(house: House, ann: Client, page: Page) -> None:
    await to_thread(house.add_stream, "shown", title="Look here", description="About nothing")
    await ann.until("the room", "me.getRoomIdForAlias(alias).catch(() => null)", alias="#live_shown:localhost")
    await ann.enter("#live_shown:localhost")
    shown = await ann.run(
        """({
          name: room.name, alias: room.getCanonicalAlias(), version: room.getVersion(),
          topic: room.currentState.getStateEvents("m.room.topic", "").getContent().topic,
          join: room.getJoinRule(), guests: room.getGuestAccess(), history: room.getHistoryVisibility(),
          encrypted: room.hasEncryptionStateEvent(), space: room.isSpaceRoom(), may: room.maySendMessage(),
          level: room.getMember(me.getUserId()).powerLevel,
          kicks: room.currentState.hasSufficientPowerLevelFor("kick", 0),
        })"""
    )
    assert shown == {
        "name": "Look here",
        "alias": "#live_shown:localhost",
        "version": "12",
        "topic": f"Offline · http://localhost:{house.program.http_port}/shown · About nothing",
        "join": "public",
        "guests": "forbidden",
        "history": "world_readable",
        "encrypted": False,
        "space": False,
        "may": True,
        "level": 0,
        "kicks": False,
    }
    [widget] = await ann.run(
        """["im.vector.modular.widgets", "m.widget"].flatMap((type) => room.currentState.getStateEvents(type))
             .map((event) => ({ key: event.getStateKey(), ...event.getContent() }))"""
    )
    assert (widget["key"], widget["id"], widget["type"]) == ("ghostlive", "ghostlive", "m.custom")
    await ann.run("void (document.body.appendChild(document.createElement('iframe')).src = url)", url=widget["url"])
    await eventually("the player in a frame of another site", lambda: _framed(page, widget["url"]))
    await ann.until("the picture of the room", f"room.getMxcAvatarUrl() && ({AVATAR}).then((bitmap) => bitmap.width)")
    children = """me.getRoomIdForAlias("#live_:localhost").then(({ room_id }) => me.getRoomHierarchy(room_id))
        .then(({ rooms }) => rooms.some((one) => one.name === "Look here" && one.canonical_alias === alias))"""
    await ann.until("the room in the space of all", children, alias="#live_shown:localhost")


async def _framed(page: Page, url: str) -> str:
    """What is shown in a frame of the page; empty while it is not, or was refused."""
    [frame] = page.frames[1:]
    return await frame.title() if frame.url == url else ""


AVATAR = """fetch(me.mxcUrlToHttp(room.getMxcAvatarUrl(), 96, 96, "crop", false, true, true),
  { headers: { Authorization: `Bearer ${me.getAccessToken()}` } })
  .then((answer) => answer.blob()).then(createImageBitmap)"""


async def test_what_a_person_says_with_a_client_is_on_the_page(house: House, ann: Client) -> None:
    url = await to_thread(house.add_stream, "spoken")
    async with guests(url, "Bob") as (bob,):
        question = await to_thread(bob.post, "a question", "1")
        await ann.until("the room", "me.getRoomIdForAlias(alias).catch(() => null)", alias="#live_spoken:localhost")
        await ann.enter("#live_spoken:localhost")
        asked = await ann.until(
            "the question",
            "me.scrollback(room, 20).then(() => "
            "events().find((event) => event.getContent().body?.endsWith('a question'))?.getId())",
        )
        await ann.run("me.sendTextMessage(room.roomId, 'plain')")
        await ann.run("me.sendHtmlMessage(room.roomId, 'with *style*', 'with <em>style</em><script>1</script>')")
        await ann.run("me.sendEmoteMessage(room.roomId, 'waves')")
        await ann.run("me.sendNotice(room.roomId, 'beep')")
        await ann.run(
            """me.sendMessage(room.roomId, {
                 msgtype: "m.text", body: "an answer", "m.relates_to": { "m.in_reply_to": { event_id: asked } } })""",
            asked=asked,
        )
        changed = await ann.run("me.sendTextMessage(room.roomId, 'worng').then((sent) => sent.event_id)")
        await ann.run(
            """me.sendMessage(room.roomId, {
                 msgtype: "m.text", body: "* right", "m.new_content": { msgtype: "m.text", body: "right" },
                 "m.relates_to": { rel_type: "m.replace", event_id: changed } })""",
            changed=changed,
        )
        gone = await ann.run("me.sendTextMessage(room.roomId, 'never mind').then((sent) => sent.event_id)")
        await ann.run("me.redactEvent(room.roomId, gone)", gone=gone)
        await ann.run(
            """me.sendEvent(room.roomId, "m.reaction",
                 { "m.relates_to": { rel_type: "m.annotation", event_id: asked, key: "🎉" } })""",
            asked=asked,
        )
        mxc = await ann.run(f"{PICTURE}.then((blob) => me.uploadContent(blob)).then((done) => done.content_uri)")
        info = {"w": 40, "h": 30, "mimetype": "image/png"}
        await ann.run("me.sendImageMessage(room.roomId, mxc, info, 'a.png')", mxc=mxc, info=info)
        await ann.run("me.sendStickerMessage(room.roomId, mxc, info, 'a cat')", mxc=mxc, info=info)
        await to_thread(bob.wait, lambda: "a cat" in bob.texts, "the sticker")

    async def later() -> ChatClient | None:
        """A page that comes now, when what was changed and taken away is so."""
        late = ChatClient(url)
        await to_thread(late.open)
        await to_thread(late.close)
        done = "right" in late.texts and "never mind" not in late.texts and "reactions" in late.messages[0]
        return late if done else None

    late = await eventually("what became of the messages", later)
    assert late is not None
    shown = [(one.get("kind", "text"), one["text"], one["reply"] and one["reply"]["id"]) for one in late.messages]
    assert shown == [
        ("text", "a question", None),
        ("text", "plain", None),
        ("text", "with *style*", None),
        ("emote", "waves", None),
        ("notice", "beep", None),
        ("text", "an answer", question),
        ("text", "right", None),
        ("image", "a.png", None),
        ("sticker", "a cat", None),
    ]
    assert late.messages[0]["reactions"] == [{"key": "🎉", "count": 1}]
    assert late.messages[2]["html"] == "with <em>style</em>"
    assert "edited" in late.messages[6]
    assert {(one["author"]["name"], one["author"]["matrix"]) for one in late.messages[1:]} == {("ann", ann.mxid)}
    for message in late.messages[-2:]:
        assert (message["media"]["width"], message["media"]["height"]) == (40, 30)
        picture = await to_thread(get, house.program.url + message["media"]["url"], timeout=60)
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/png")


async def test_a_streamer_moderates_from_their_client_and_from_the_page(house: House, ann: Client, page: Page) -> None:
    url = await to_thread(house.add_stream, "kept")
    olga = await Client.sign_in(page, house.program.url, "olga", "a password")
    await _link(house, olga)
    await olga.until("the room", "me.getRoomIdForAlias(alias).catch(() => null)", alias="#live_kept:localhost")
    for client in (ann, olga):
        await client.enter("#live_kept:localhost")
    await olga.until("her power", "room.getMember(me.getUserId()).powerLevel === 90")
    member = (
        "room.getMember(who)?.membership === state && (room.getMember(who).events.member.getContent().reason ?? true)"
    )
    cookies = "; ".join(f"{name}={value}" for name, value in house.owner.cookies.items())
    studio = ChatClient(url, headers={"Cookie": cookies})
    async with guests(url, "Bob", "Eve") as (bob, eve):
        for page_of in (bob, eve):
            await to_thread(page_of.post, "hello", "1")
            await olga.until("the ghost", member, who=_ghost(page_of), state="join")
        assert await olga.run("room.getMember(who).name", who=_ghost(bob)) == "Bob"

        await to_thread(bob.post, "take this away", "2")
        await olga.run("me.redactEvent(room.roomId, event)", event=await olga.said("take this away"))
        await to_thread(bob.wait, lambda: "take this away" not in bob.texts, "the message to go")
        await olga.run("me.kick(room.roomId, who, 'enough')", who=_ghost(eve))
        assert (await to_thread(eve.closed))[0] == 4003
        await to_thread(eve.open)  # who was kicked may come back
        await olga.run("me.ban(room.roomId, who, 'spam')", who=_ghost(bob))
        assert (await to_thread(bob.closed))[0] == 4003

        # The same from the page, as her account there.
        try:
            await to_thread(studio.open)
            await ann.run("me.sendTextMessage(room.roomId, 'rude words')")
            await to_thread(studio.wait, lambda: "rude words" in studio.texts, "what is to be deleted")
            rude, event = studio.messages[-1], await ann.said("rude words")
            await to_thread(_act, studio, "delete", id=rude["id"])
            await ann.until("the redaction", "room.findEventById(event).isRedacted()", event=event)
            await to_thread(_act, studio, "ban", author=rude["author"]["id"], reason="rude")
            await ann.until("the ban", "room.getMyMembership() === 'ban'")
            assert await olga.until("the ban", member, who=ann.mxid, state="ban") == "rude"
            assert eve.you is not None
            await to_thread(_act, studio, "ban", author=eve.you["id"], reason="spam")
            assert (await to_thread(eve.closed))[0] == 4003
            await olga.until("the ban", member, who=_ghost(eve), state="ban")
        finally:
            await to_thread(studio.close)


async def test_who_moderates_in_a_client_gives_the_page_emotes(house: House, ann: Client, browser: Browser) -> None:
    """As Cinny does it: a pack in the room's state (MSC2545), found by the button beside the text."""
    url = await to_thread(house.add_stream, "emotes")
    cookies = "; ".join(f"{name}={value}" for name, value in house.owner.cookies.items())
    with ChatClient(url, headers={"Cookie": cookies}) as studio:
        studio.send(type="command", text=f"mod {ann.mxid}")
        await to_thread(studio.until, "notice")
    await ann.until("the room", "me.getRoomIdForAlias(alias).catch(() => null)", alias="#live_emotes:localhost")
    await ann.enter("#live_emotes:localhost")
    await ann.until("her power", "room.getMember(me.getUserId()).powerLevel === 50")
    mxc = await ann.run(f"{PICTURE}.then((blob) => me.uploadContent(blob)).then((done) => done.content_uri)")
    pack = {"pack": {"display_name": "show emotes"}, "images": {"löop": {"url": mxc}}}
    await ann.run("me.sendStateEvent(room.roomId, 'im.ponies.room_emotes', pack, 'show-emotes')", pack=pack)
    context = await browser.new_context()
    try:
        page = await context.new_page()
        await page.goto(f"{house.program.url}/emotes")
        await page.get_by_test_id("chat-name-field").fill("Bob")
        await page.get_by_test_id("chat-join").click()
        await page.get_by_test_id("chat-emoji").click()
        await page.locator("emoji-picker").get_by_role("menuitem", name="löop").click()
        await expect(page.get_by_test_id("chat-field")).to_have_value(":löop:")
        await page.get_by_test_id("chat-field").press("Enter")
        await expect(page.get_by_test_id("chat-message").locator("img[alt=':löop:']")).to_be_visible()
    finally:
        await context.close()
    await ann.until(
        "it in the room", "events().some((event) => event.getContent().formatted_body?.includes(mxc))", mxc=mxc
    )


def _act(page: ChatClient, act: str, **members: Any) -> None:
    """Moderate from the page; the answer to what comes after it says that it was no error."""
    page.send(type="act", act=act, **members)
    page.send(type="ping")
    page.until("pong")


async def _link(house: House, client: Client) -> None:
    """Make a client's person the same as the owner's account: a code, sent to the bot."""
    code = (await to_thread(house.owner.post, "/api/v1/matrix/code")).raise_for_status().json()
    await client.run(
        """me.createRoom({ invite: [bot], is_direct: true, preset: "trusted_private_chat" })
             .then((made) => { client.roomId = made.room_id; })""",
        bot=BOT,
    )
    await client.until("the bot", "room?.getMember(bot)?.membership === 'join'", bot=BOT)
    await client.run("me.sendTextMessage(room.roomId, code)", code=code["code"])
    claimed = await to_thread(
        wait_for, "the claim", lambda: house.owner.get("/api/v1/matrix/link").json()["claimed"], START_WITHIN
    )
    assert claimed == client.mxid
    (await to_thread(house.owner.post, "/api/v1/matrix/link", json={"matrix": claimed})).raise_for_status()
