"""The chat's newer parts as its people meet them: reactions, edits, completion, and a streamer who keeps order."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, Route, WebSocketRoute, expect
from tests.e2e.conftest import ARTEFACTS
from tests.e2e.test_chat import WAIT, Person, person
from tests.support.axe import expect_accessible
from tests.support.channel import Channel

_CAT = '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="40"><rect width="60" height="40" fill="#2a7"/></svg>'

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def ann(browser: Browser, channel: Channel) -> AsyncIterator[Person]:
    """A guest with a phone."""
    async with person(browser, channel, "phone") as found:
        await found.join("Ann")
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def boss(owner: str, browser: Browser, channel: Channel) -> AsyncIterator[Person]:
    """The owner of the server, at a desk."""
    async with person(browser, channel, "desk") as found:
        await found.sign_in(channel.program)
        await found.page.reload()
        await expect(found.page.get_by_test_id("mod-tools")).to_be_visible(timeout=WAIT)
        yield found


async def act(message: Locator, what: str) -> None:
    """Press one of the buttons of a message."""
    await message.click()
    await message.get_by_test_id(what).click(timeout=WAIT)


async def test_reactions_edits_and_replies(ann: Person, boss: Person) -> None:
    await ann.say("frist!")
    await boss.page.get_by_test_id("chat-message").first.wait_for()
    await act(boss.said("frist!"), "chat-react")
    await boss.page.get_by_test_id("reaction-picker").get_by_role("button", name="🎉").click(timeout=WAIT)
    chip = ann.page.get_by_test_id("chat-reaction")
    await expect(chip).to_have_text("🎉 1", timeout=WAIT)
    await chip.click()
    await expect(boss.page.get_by_test_id("chat-reaction")).to_have_text("🎉 2", timeout=WAIT)
    await expect(chip).to_have_attribute("aria-pressed", "true", timeout=WAIT)
    # A reload knows whose reaction it was.
    await ann.page.reload()
    await expect(ann.page.get_by_test_id("chat-reaction")).to_have_attribute("aria-pressed", "true", timeout=WAIT)
    await ann.page.get_by_test_id("chat-field").press("ArrowUp")
    await ann.page.get_by_test_id("chat-field").fill("first!")
    await ann.page.keyboard.press("Enter")
    await expect(boss.said("first!")).to_contain_text("(edited)", timeout=WAIT)
    await act(boss.said("first!"), "chat-reply")
    await boss.page.keyboard.type("well done @an")
    await boss.page.get_by_test_id("chat-completion").get_by_role("option").first.wait_for(timeout=WAIT)
    await boss.page.keyboard.press("Tab")
    await boss.page.keyboard.press("Enter")
    answer = ann.page.get_by_test_id("chat-message").filter(has_text="well done")
    await expect(answer.locator("mark")).to_have_text("@Ann", timeout=WAIT)
    await answer.get_by_test_id("chat-quote").click()
    await expect(ann.said("first!").first).to_be_focused()
    await expect_accessible(ann.page)
    await expect_accessible(boss.page)


async def test_the_streamer_keeps_order(ann: Person, boss: Person) -> None:
    """Approve first, the shield, slow mode by a command, a pinned message, a warning, a kick and a ban of watching."""
    await boss.page.get_by_test_id("mod-rules").click()
    await boss.page.get_by_test_id("rule-approve").check(timeout=WAIT)
    await expect_accessible(boss.page)
    await boss.page.keyboard.press("Escape")
    await expect(ann.page.get_by_test_id("chat-rules")).to_contain_text("moderator", timeout=WAIT)
    await ann.page.get_by_test_id("chat-field").fill("is this fine?")
    await ann.page.keyboard.press("Enter")
    await expect(ann.page.get_by_test_id("chat-pending")).to_have_attribute("data-state", "held", timeout=WAIT)
    assert await boss.page.get_by_test_id("chat-message").count() == 0
    await boss.page.get_by_test_id("mod-held").click(timeout=WAIT)
    await expect_accessible(boss.page)
    ARTEFACTS.mkdir(exist_ok=True)
    await boss.page.screenshot(path=ARTEFACTS / "chat-held-desk.png")
    await boss.page.get_by_test_id("held-allow").click()
    await expect(ann.said("is this fine?")).to_have_count(1, timeout=WAIT)
    await expect(ann.page.get_by_test_id("chat-pending")).to_have_count(0, timeout=WAIT)
    await expect(boss.page.get_by_test_id("mod-held")).to_have_count(0, timeout=WAIT)

    field = boss.page.get_by_test_id("chat-field")
    await field.fill("/approve off")
    await boss.page.keyboard.press("Escape")
    await boss.page.keyboard.press("Enter")
    await expect(boss.page.get_by_test_id("chat-notice").first).to_be_visible(timeout=WAIT)
    await expect(ann.page.get_by_test_id("chat-rules")).to_have_count(0, timeout=WAIT)

    await act(boss.said("is this fine?"), "chat-pin")
    await expect(ann.page.get_by_test_id("chat-pinned")).to_contain_text("is this fine?", timeout=WAIT)
    await boss.page.get_by_test_id("mod-shield").click()
    await expect(ann.page.get_by_test_id("chat-rules")).to_contain_text("Shield mode", timeout=WAIT)
    await expect(boss.page.get_by_test_id("mod-shield")).to_have_attribute("aria-pressed", "true", timeout=WAIT)
    await ann.page.screenshot(path=ARTEFACTS / "chat-shield-phone.png")
    await expect_accessible(ann.page)
    await boss.page.get_by_test_id("mod-shield").click()
    await expect(ann.page.get_by_test_id("chat-rules")).to_have_count(0, timeout=WAIT)

    await _card(boss, "is this fine?")
    await boss.page.get_by_test_id("card-warn").click(timeout=WAIT)
    await expect_accessible(boss.page)
    await boss.page.screenshot(path=ARTEFACTS / "chat-card-desk.png")
    await boss.page.get_by_test_id("card-warn-reason").fill("be nice")
    await boss.page.keyboard.press("Enter")
    await expect(ann.page.get_by_test_id("chat-notice").filter(has_text="be nice")).to_be_visible(timeout=WAIT)

    await _card(boss, "is this fine?")
    await boss.page.get_by_test_id("card-kick").click(timeout=WAIT)
    await expect(ann.page.get_by_test_id("chat-kicked")).to_be_visible(timeout=WAIT)
    await ann.page.get_by_test_id("chat-kicked").get_by_role("button").click()
    await ann.say("back again")

    await _card(boss, "back again")
    await boss.page.get_by_test_id("card-delete-all").click(timeout=WAIT)
    await boss.page.get_by_test_id("card-delete-all-sure").click()
    await expect(ann.page.get_by_test_id("chat-removed")).to_be_visible(timeout=WAIT)
    await expect(ann.page.get_by_test_id("chat-message")).to_have_count(0, timeout=WAIT)


async def test_a_new_guests_browser_works_first(boss: Person, browser: Browser, channel: Channel) -> None:
    """The answer is found by a worker, which the page's content policy allows; the name is taken without more ado."""
    await boss.page.get_by_test_id("chat-field").fill("/guests work")
    await boss.page.keyboard.press("Enter")
    await expect(boss.page.get_by_test_id("chat-notice").first).to_be_visible(timeout=WAIT)
    async with person(browser, channel, "phone") as newcomer:
        workers: list[str] = []
        newcomer.page.on("worker", lambda worker: workers.append(worker.url))
        await newcomer.join("Newcomer")
        await newcomer.say("that took a moment")
        assert len(workers) == 1


async def _card(boss: Person, text: str) -> None:
    message = boss.said(text)
    await message.click()
    await message.get_by_test_id("chat-name").click(timeout=WAIT)
    await expect(boss.page.get_by_test_id("chat-card")).to_be_visible(timeout=WAIT)


async def test_a_picture_that_waits_is_looked_at_when_somebody_wants_to(channel: Channel, page: Page) -> None:
    path = f"/api/v1/streams/{channel.name}/chat/held/7/media/cat"
    author = {"id": "m_lee", "name": "Lee", "hue": 210, "role": "guest", "matrix": "@lee:example.org"}
    media = {"url": path, "thumb": f"{path}?w=640", "alt": "cat.png", "width": 60, "height": 40}
    waits = {"id": 7, "at": "2026-01-01T12:00:00Z", "author": author, "reason": "Each message waits here."}
    welcome = {
        "type": "welcome", "seq": 0, "reset": True, "people": 1, "messages": [],
        "you": {"id": "u_1", "name": "Olga", "hue": 30, "role": "streamer", "can": ["post", "moderate"]},
        "held": [{**waits, "kind": "image", "text": "Look at her", "media": media}],
    }  # fmt: skip

    def answer(socket: WebSocketRoute) -> None:
        socket.on_message(lambda _: socket.send(json.dumps(welcome)))

    asked: list[str] = []

    async def give(route: Route) -> None:
        asked.append(route.request.url)
        await route.fulfill(body=_CAT, content_type="image/svg+xml")

    await page.route(f"**{path}*", give)
    await page.route_web_socket("**/chat", answer)
    await page.set_viewport_size({"width": 390, "height": 700})
    await page.goto(f"{channel.program.url}/embed/{channel.name}?chat=only")
    await page.get_by_test_id("mod-held").click(timeout=WAIT)
    held = page.get_by_test_id("held")
    await expect(held).to_contain_text("Look at her")
    await expect(held.locator("img")).to_have_count(0)
    await expect_accessible(page)
    assert asked == []
    await page.get_by_test_id("covered").focus()
    await page.keyboard.press("Enter")
    await expect(held.locator("img")).to_have_js_property("naturalWidth", 60)
    await expect(held.get_by_role("img", name="cat.png")).to_be_visible()
    await expect(page.get_by_test_id("covered")).to_be_focused()
    await expect_accessible(page)
    ARTEFACTS.mkdir(exist_ok=True)
    await page.screenshot(path=ARTEFACTS / "chat-held-picture.png")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert len(asked) == 1
