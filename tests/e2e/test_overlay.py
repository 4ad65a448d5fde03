"""The chat beside and over a picture: the overlay for a broadcasting program, and the chat in a window of its own."""

import json

import pytest
from playwright.async_api import Page, WebSocketRoute, expect
from tests.e2e.conftest import ARTEFACTS
from tests.support.axe import expect_accessible
from tests.support.browser import Trouble
from tests.support.channel import Channel
from tests.support.chat_client import chat_url, guest

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

WAIT = 60_000
_CAT = '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="60"><circle r="60" fill="orange"/></svg>'
# What is behind the overlay in the screenshot, for whoever looks at whether it can be read.
_PICTURE = "repeating-linear-gradient(45deg, #fff 0 20px, #284 20px 60px, #000 60px 80px)"


async def test_the_overlay_shows_what_is_said_and_nothing_else(channel: Channel, page: Page) -> None:
    with guest(chat_url(channel.program.url, channel.name), "Ann") as ann:
        ann.post("before it was opened", "a")
        await page.set_viewport_size({"width": 500, "height": 400})
        await page.goto(f"{channel.program.url}/overlay/{channel.name}?size=32")
        messages = page.get_by_test_id("overlay-message")
        await expect(messages).to_have_text(["Ann before it was opened"], timeout=WAIT)
        rude = ann.post("<b>rude</b>", "b")
        ann.post("nice, over more lines than one, since the overlay is not very wide", "c")
        await expect(messages).to_have_count(3, timeout=WAIT)
        await expect(messages.nth(1)).to_contain_text("<b>rude</b>")
        ann.send(type="delete", id=rude)
        await expect(messages).to_have_count(2, timeout=WAIT)
        assert await page.locator("input, textarea, button, a").count() == 0
        transparent = "[document.documentElement, document.body].map(e => getComputedStyle(e).backgroundColor)"
        assert await page.evaluate(transparent) == ["rgba(0, 0, 0, 0)"] * 2
        assert await messages.first.evaluate("item => getComputedStyle(item).fontSize") == "32px"
        await expect_accessible(page)
        await page.evaluate(f"document.documentElement.style.background = '{_PICTURE}'")
        ARTEFACTS.mkdir(exist_ok=True)
        await page.screenshot(path=ARTEFACTS / "overlay.png")


async def test_messages_of_the_overlay_go_after_a_while_when_asked_to(channel: Channel, page: Page) -> None:
    with guest(chat_url(channel.program.url, channel.name), "Ann") as ann:
        ann.post("long ago", "a")
        await page.goto(f"{channel.program.url}/overlay/{channel.name}?fade=1&names=off")
        await expect(page.get_by_test_id("overlay")).to_have_attribute("data-status", "open", timeout=WAIT)
        ann.post("now", "b")
        message = page.get_by_test_id("overlay-message")
        await expect(message).to_have_text(["now"], timeout=WAIT)
        await expect(message).to_be_hidden(timeout=WAIT)


async def test_an_overlay_of_no_stream_says_so(channel: Channel, page: Page, trouble: Trouble) -> None:
    trouble.expected += ["404 (Not Found)", "WebSocket connection"]
    answer = await page.goto(f"{channel.program.url}/overlay/nothing")
    assert answer is not None
    assert answer.status == 404
    await expect(page.get_by_test_id("overlay")).to_contain_text("no stream called “nothing”", timeout=WAIT)


async def test_the_chat_moves_into_a_window_of_its_own(channel: Channel, page: Page) -> None:
    await page.goto(channel.page)
    async with page.expect_popup() as opening:
        await page.get_by_test_id("chat-popout").click(timeout=WAIT)
    window = await opening.value
    await expect(window).to_have_url(f"{channel.program.url}/embed/{channel.name}?chat=only", timeout=WAIT)
    # The page gives the room to the picture, and the chat comes back when asked to.
    await expect(page.get_by_test_id("chat")).to_have_count(0)
    await page.get_by_test_id("chat-show").click()
    # Whoever takes a name in one window has it in the other, which says hello anew.
    await expect(page.get_by_test_id("chat")).to_have_attribute("data-status", "open", timeout=WAIT)
    await window.get_by_test_id("chat-name-field").fill("Ann", timeout=WAIT)
    await window.get_by_test_id("chat-join").click()
    await window.get_by_test_id("chat-field").fill("from the window", timeout=WAIT)
    await window.keyboard.press("Enter")
    await expect(page.get_by_test_id("chat-text")).to_have_text(["from the window"], timeout=WAIT)
    assert await window.locator("video").count() == 0
    await window.set_viewport_size({"width": 390, "height": 700})
    await expect_accessible(window)
    ARTEFACTS.mkdir(exist_ok=True)
    await window.screenshot(path=ARTEFACTS / "chat-window.png")
    assert await window.evaluate("document.documentElement.scrollWidth") <= 390


async def test_the_overlay_shows_formatted_text_and_is_never_filled_by_one_message(
    channel: Channel, page: Page
) -> None:
    path = "/api/v1/chat/media/cat"
    author = {"id": "m_lee", "name": "Lee", "hue": 210, "role": "guest", "matrix": "@lee:example.org"}
    said = {"at": "2026-01-01T12:00:00Z", "author": author, "reply": None}
    words = f'<b>big</b> <a href="https://example.org/">there</a> <img data-mx-emoticon src="{path}" alt=":cat:">'
    lines = "".join(f"<li>line {number}<br>and more</li>" for number in range(30))
    messages = [
        {**said, "id": 1, "text": "big there", "html": words},
        {**said, "id": 2, "text": "many lines", "html": f"<blockquote><ul>{lines}</ul></blockquote>"},
        {**said, "id": 3, "text": "program", "html": f"<pre><code>{'x = 1' * 200}</code></pre>"},
        {**said, "id": 4, "text": "\n".join("tall" for _ in range(100))},
    ]
    welcome = {"type": "welcome", "you": None, "seq": 4, "reset": True, "people": 1, "messages": messages}

    def answer(socket: WebSocketRoute) -> None:
        socket.on_message(lambda _: socket.send(json.dumps(welcome)))

    await page.route(f"**{path}", lambda route: route.fulfill(body=_CAT, content_type="image/svg+xml"))
    await page.route_web_socket("**/chat", answer)
    await page.set_viewport_size({"width": 500, "height": 700})
    await page.goto(f"{channel.program.url}/overlay/{channel.name}?size=30")
    shown = page.get_by_test_id("overlay-message")
    await expect(shown).to_have_count(4)
    await expect(shown.nth(0).locator("b")).to_have_text("big")
    await expect(shown.nth(0).locator("img")).to_have_js_property("naturalWidth", 60)
    await expect(shown.nth(1).locator("li").first).to_be_attached()
    assert await page.locator("input, textarea, button, a").count() == 0
    # Lines of the text, each 1.35 times the height of its letters.
    heights = await shown.evaluate_all(
        "items => items.map((item) => item.getBoundingClientRect().height / (30 * 1.35))"
    )
    assert [height < 5.5 for height in heights] == [True] * 4, heights
    transparent = "[document.documentElement, document.body].map(e => getComputedStyle(e).backgroundColor)"
    assert await page.evaluate(transparent) == ["rgba(0, 0, 0, 0)"] * 2
    await page.evaluate(f"document.documentElement.style.background = '{_PICTURE}'")
    ARTEFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTEFACTS / "overlay-formatted.png")
