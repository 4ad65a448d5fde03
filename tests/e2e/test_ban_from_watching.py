"""Somebody who is banned from watching, too: the picture ends by whichever way it came, and does not come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from playwright.async_api import Browser, Page, expect
from tests.support.browser import eventually, expect_moving_picture, until
from tests.support.channel import Channel
from tests.support.chat_client import ChatClient, chat_url
from tests.support.program import Program

from ghostlive.db.users import Role

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

WAIT = 60_000
PASSWORD = "a horse in the rain"
PEERS = """(() => {
  window.peers = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...options) {
      super(...options);
      window.peers.push(this);
    }
  };
})()"""
ENDED = "peers.length > 0 && peers.every((peer) => peer.connectionState !== 'connected')"


class Viewer:
    """A page that plays, and what its requests for media were answered with."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.answers: list[int] = []
        page.on("response", lambda answer: self.answers.append(answer.status) if "/app/" in answer.url else None)


@asynccontextmanager
async def watching(browser: Browser, channel: Channel, source: str) -> AsyncIterator[Viewer]:
    """A viewer whose picture has come, by that way."""
    context = await browser.new_context()
    try:
        await context.add_init_script(PEERS)
        viewer = Viewer(await context.new_page())
        await viewer.page.goto(f"{channel.page}?source={source}")
        await expect(viewer.page.get_by_test_id("player")).to_have_attribute("data-source", source, timeout=WAIT)
        await expect_moving_picture(viewer.page)
        yield viewer
    finally:
        await context.close()


@asynccontextmanager
async def moderator(server: Program) -> AsyncIterator[httpx.AsyncClient]:
    """The API, for an account that moderates."""
    server.add_user("warden", PASSWORD, Role.MODERATOR)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, trust_env=False) as client:
        signed_in = await client.post("/api/v1/session", json={"name": "warden", "password": PASSWORD})
        assert signed_in.status_code == 200, signed_in.text
        yield client


async def refused(channel: Channel) -> bool:
    """Whether somebody without a cookie gets nothing of the stream, at the same address."""
    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        playlist = await client.get(channel.url())
        offer = await client.post(channel.url("whep"), content="v=0", headers={"content-type": "application/sdp"})
    return (playlist.status_code, offer.status_code) == (403, 403)


def say(channel: Channel) -> int:
    """A guest says something; the message's number."""
    with ChatClient(chat_url(channel.program.url, channel.name)) as troll:
        troll.join("Troll")
        return troll.post("spam", "t1")


@pytest.mark.limit(300)
async def test_a_ban_from_watching_ends_the_picture(server: Program, steady: Channel, browser: Browser) -> None:
    bans = f"/api/v1/streams/{steady.name}/chat/bans"
    async with (
        moderator(server) as api,
        watching(browser, steady, "webrtc") as live,
        watching(browser, steady, "llhls") as later,
        watching(browser, steady, "dash") as dash,
    ):
        message = await asyncio.to_thread(say, steady)
        assert not await refused(steady)
        made = await api.post(bans, json={"message": message, "watching": True, "reason": "spam"})
        assert made.status_code == 201, made.text
        try:
            assert await refused(steady), "from the moment on in which the moderator was answered"
            await until(live.page, "the end of the session", ENDED)
            for viewer in (live, later, dash):
                await expect(viewer.page.get_by_test_id("chat-banned")).to_contain_text("spam", timeout=WAIT)
                player = viewer.page.get_by_test_id("player")
                await expect(player).not_to_have_attribute("data-state", "playing", timeout=WAIT)

            async def turned_away() -> bool:
                return all(403 in viewer.answers for viewer in (later, dash))

            await eventually("the pages to be refused", turned_away)
        finally:
            await api.delete(f"{bans}/{made.json()['id']}")
        assert not await refused(steady)
