"""A lively chat in Chromium, with the other end of the socket in the test's hands: what is read stays where it is."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, WebSocketRoute, expect
from tests.support.browser import until
from tests.support.channel import Channel

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

WAIT = 60_000


def said(number: int) -> dict[str, Any]:
    """A message; some are long, so that lines have different heights."""
    return {
        "id": number,
        "at": "2026-01-01T12:00:00Z",
        "author": {"id": f"g_{number % 7}", "name": f"Guest {number % 7}", "hue": number % 360, "role": "guest"},
        "text": f"message {number}" + " and so on" * (number % 9),
        "reply": None,
    }


class Lively:
    """A page, and the server's end of its chat."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.sockets: list[WebSocketRoute] = []

    def answer(self, socket: WebSocketRoute) -> None:
        """Be the server."""
        self.sockets.append(socket)
        socket.on_message(lambda text: self._received(socket, json.loads(text)))

    def _received(self, socket: WebSocketRoute, message: dict[str, Any]) -> None:
        if message["type"] == "hello":
            you = {"id": "g_x", "name": "Me", "hue": 1, "role": "guest", "can": ["post", "react", "edit"]}
            welcome = {"type": "welcome", "you": you, "seq": 280, "reset": True, "deleted": [], "people": 3}
            socket.send(json.dumps({**welcome, "messages": [said(number) for number in range(1, 281)]}))
        elif message["type"] == "ping":
            socket.send('{"type":"pong"}')

    def say(self, first: int, count: int) -> None:
        """So many messages at once."""
        for number in range(first, first + count):
            self.sockets[-1].send(json.dumps({"type": "message", "seq": number, "message": said(number)}))

    def delete(self, ids: list[int], seq: int) -> None:
        """Take messages away."""
        self.sockets[-1].send(json.dumps({"type": "deleted", "seq": seq, "ids": ids}))


@pytest_asyncio.fixture(loop_scope="session")
async def lively(browser: Browser, channel: Channel) -> AsyncIterator[Lively]:
    """A chat with 280 messages, on a phone."""
    context = await browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = await context.new_page()
    found = Lively(page)
    await page.route_web_socket("**/chat", found.answer)
    await page.goto(channel.page)
    await expect(page.get_by_text("message 280", exact=False).first).to_be_visible(timeout=WAIT)
    await until(page, "the newest message to be in sight", f"({AT_END})() <= 1")
    yield found
    await context.close()


TOP = """() => {
  const log = document.querySelector('[role=log]'), edge = log.getBoundingClientRect().top;
  const row = [...log.querySelectorAll('[data-message]')].find((row) => row.getBoundingClientRect().bottom > edge + 1);
  return [Number(row.dataset.message), row.getBoundingClientRect().top];
}"""
"""Which message is the first on the screen, and where."""
PAGE_UP = "() => { const log = document.querySelector('[role=log]'); log.scrollTop -= log.clientHeight * 0.7; }"
AT_END = """() => {
  const log = document.querySelector('[role=log]');
  return log.scrollHeight - log.scrollTop - log.clientHeight;
}"""
"""How far the end is."""
SCROLL = "(by) => { document.querySelector('[role=log]').scrollTop += by; }"


async def settled(page: Page) -> None:
    """Two pictures later."""
    await page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


async def test_what_is_read_stays_where_it_is(lively: Lively) -> None:
    page = lively.page
    for _ in range(12):
        await page.evaluate(SCROLL, -300)
        await settled(page)
    await expect(page.get_by_test_id("chat-latest")).to_be_visible()
    number, top = await page.evaluate(TOP)
    assert number < 240
    lively.say(281, 150)
    await expect(page.get_by_test_id("chat-latest")).to_contain_text("New", timeout=WAIT)
    await settled(page)
    again, there = await page.evaluate(TOP)
    assert (again, round(there)) == (number, round(top))
    # Also when what is above goes.
    lively.delete([number - 1, number - 2, number - 30], 431)
    await expect(page.get_by_test_id("chat-removed").first).to_be_attached(timeout=WAIT)
    await settled(page)
    again, there = await page.evaluate(TOP)
    assert again == number
    assert abs(there - top) <= 2
    assert await page.get_by_test_id("chat-message").count() < 130


async def test_the_newest_message_stays_in_sight(lively: Lively) -> None:
    page = lively.page
    assert await page.evaluate(AT_END) <= 1
    lively.say(281, 500)
    await expect(page.locator("[data-message='780']")).to_be_attached(timeout=WAIT)
    await settled(page)
    assert await page.evaluate(AT_END) <= 1
    assert await page.get_by_test_id("chat-message").count() <= 60


async def test_up_to_the_first_message_and_back(lively: Lively) -> None:
    page = lively.page
    seen: set[int] = set()
    for _ in range(400):
        seen |= set(await page.evaluate(VISIBLE))
        if await page.evaluate("() => document.querySelector('[role=log]').scrollTop <= 0"):
            break
        await page.evaluate(PAGE_UP)
        await settled(page)
    assert seen == set(range(1, 281)), "no message is passed over"
    await page.get_by_test_id("chat-latest").click()
    await settled(page)
    assert await page.evaluate(AT_END) <= 1


async def test_what_can_be_done_with_a_message_comes_into_sight_with_it(lively: Lively) -> None:
    page = lively.page
    await page.get_by_role("log").focus()
    await page.keyboard.press("Home")
    await expect(page.locator("[data-message='1']")).to_be_focused()
    reply, log = await page.get_by_test_id("chat-reply").bounding_box(), await page.get_by_role("log").bounding_box()
    assert reply is not None
    assert log is not None
    assert reply["y"] >= log["y"]


VISIBLE = """() => {
  const log = document.querySelector('[role=log]'), box = log.getBoundingClientRect();
  return [...log.querySelectorAll('[data-message]')]
    .filter((row) => row.getBoundingClientRect().bottom > box.top && row.getBoundingClientRect().top < box.bottom)
    .map((row) => Number(row.dataset.message));
}"""
"""Which messages are on the screen."""
