"""The chat goes along with the picture: nobody reads of what they have not seen.

No test here asks how long anything takes: messages are compared with the moment that the player shows when they come
up, and with one another, while the picture (or, with WebRTC, the clock that its delay is counted by) stands still.
"""

from datetime import datetime

import pytest
from playwright.async_api import Page, expect
from tests.support.browser import until
from tests.support.channel import Channel
from tests.support.chat_client import ChatClient, chat_url, guest

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

# The player knows which moment is on the screen: before that, a message has nothing to wait for.
_DATED = """() => {
  const library = window.ghostlive.player.getMseInstance();
  return library.playingDate ? true : library.timeAsUTC ? library.timeAsUTC() > 1e9 : false;
}"""
# Says which moment is on the screen, in milliseconds since 1970, and notes which it was when a message came up last, by
# its id.
_WATCH = """() => {
  window.seen = {};
  window.moment = () => {
    const library = window.ghostlive.player.getMseInstance();
    return library.playingDate ? library.playingDate.getTime() : library.timeAsUTC() * 1000;
  };
  let before = new Set();
  const look = () => {
    const now = new Set([...document.querySelectorAll("[data-message]")].map(({ dataset }) => dataset.message));
    for (const message of now) if (!before.has(message)) window.seen[message] = moment();
    before = now;
  };
  const chat = document.querySelector("[data-testid=chat]");
  new MutationObserver(look).observe(chat, { subtree: true, childList: true });
}"""
_GO_TO = "moment => { document.querySelector('video').currentTime += (moment - window.moment()) / 1000; }"
# Something is played: what the picture shows is for other tests, and decoding it is most of the work.
_PLAYS = """() => {
  const video = document.querySelector("video");
  return !!video && video.readyState > 2 && video.currentTime > 0 && !video.paused;
}"""
_PAUSE = "document.querySelector('video').pause()"
_PLAY = "document.querySelector('video').play()"
# The monotonic clock of the page can be stopped, and it is counted how often a connection was looked at.
_CLOCK = """() => {
  const { performance, RTCPeerConnection: { prototype } } = window;
  const [now, getStats] = [performance.now.bind(performance), prototype.getStats];
  window.stopped = null;
  performance.now = () => window.stopped ?? now();
  window.looks = 0;
  prototype.getStats = async function (...options) {
    const report = await getStats.apply(this, options);
    window.looks += 1;
    return report;
  };
}"""


class Viewer:
    """A person with a name who watches, and reads what `ann` says."""

    def __init__(self, page: Page, ann: ChatClient) -> None:
        self.page = page
        self.ann = ann

    async def join(self, address: str) -> None:
        """Open the page, wait for the picture, and take a name."""
        await self.page.goto(address)
        await until(self.page, "a picture", _PLAYS)
        # The page has noticed too: a picture that still loads is none to wait for.
        await expect(self.page.get_by_test_id("player")).to_have_attribute("data-state", "playing")
        await self.page.get_by_test_id("chat-name-field").fill("Bea")
        await self.page.get_by_test_id("chat-join").click()
        await expect(self.page.get_by_test_id("chat-you")).to_have_text("Bea")

    async def watch(self, address: str) -> None:
        """Join a page whose player knows the broadcast's time, and note when messages come up."""
        await self.join(address)
        await until(self.page, "a moment on the screen", _DATED)
        await self.page.evaluate(_WATCH)

    async def expect_message(self, message: int, *, shown: bool = True) -> None:
        """Wait until a message is there, or not there."""
        await expect(self.page.locator(f"[data-message='{message}']")).to_have_count(int(shown))

    async def say(self, text: str) -> None:
        """Say something and wait until it is there; all that was said before has come to the page by then."""
        await self.page.get_by_test_id("chat-field").fill(text)
        await self.page.keyboard.press("Enter")
        await expect(self.page.locator("[data-message]").filter(has_text=text)).to_have_count(1)

    async def switch(self, *, on: bool) -> None:
        """Have the chat go along with the picture, or not."""
        await self.page.get_by_test_id("chat-count").click()
        await self.page.get_by_test_id("chat-align-switch").set_checked(on)
        await self.page.keyboard.press("Escape")

    async def reached(self, message: int) -> float:
        """By how many milliseconds the picture was past what Ann said when it came up; less than 0 is before it."""
        seen: dict[str, float] = await self.page.evaluate("window.seen")
        return seen[str(message)] - said_at(self.ann, message)


def said_at(page: ChatClient, message: int) -> float:
    """When it was said, in milliseconds since 1970."""
    said = next(found["at"] for found in page.messages if found["id"] == message)
    return datetime.fromisoformat(said).timestamp() * 1000


@pytest.fixture(scope="module", autouse=True)
def early(steady: Channel) -> int:
    """The first message: it is long over for who comes last, and nobody has to wait before they can go back."""
    with guest(chat_url(steady.program.url, steady.name), "Eve") as eve:
        return eve.post("early", "early")


@pytest.mark.parametrize("source", ["llhls", "dash"])
async def test_a_message_comes_up_when_the_picture_reaches_it(steady: Channel, page: Page, source: str) -> None:
    with guest(chat_url(steady.program.url, steady.name), "Ann") as ann:
        viewer = Viewer(page, ann)
        await viewer.watch(f"{steady.page}?source={source}")
        await page.evaluate(_PAUSE)
        goal = ann.post("goal!", "goal")
        # One's own words are there at once, though they are later than what the picture has not reached.
        await viewer.say(f"I see nothing by {source}")
        await viewer.expect_message(goal, shown=False)
        await page.evaluate(_PLAY)
        await viewer.expect_message(goal)
        assert await viewer.reached(goal) >= 0


@pytest.mark.parametrize("source", ["llhls", "dash"])
async def test_a_message_that_does_not_have_to_wait_does_not(steady: Channel, page: Page, source: str) -> None:
    with guest(chat_url(steady.program.url, steady.name), "Ann") as ann:
        viewer = Viewer(page, ann)
        await viewer.watch(f"{steady.page}?source={source}")
        await page.evaluate(_PAUSE)
        goal = ann.post("goal!", "goal")
        await viewer.say(f"I do not want to wait by {source}")
        await viewer.expect_message(goal, shown=False)
        await viewer.switch(on=False)
        await viewer.expect_message(goal)
        assert await viewer.reached(goal) < 0
        # What was read stays, and what comes then waits again.
        await viewer.switch(on=True)
        more = ann.post("and one more", "more")
        await viewer.say(f"now I do by {source}")
        await viewer.expect_message(more, shown=False)
        await viewer.expect_message(goal)


@pytest.mark.parametrize("source", ["llhls", "dash"])
async def test_who_goes_back_reads_what_was_said_then(steady: Channel, early: int, page: Page, source: str) -> None:
    with guest(chat_url(steady.program.url, steady.name), "Ann") as ann:
        viewer = Viewer(page, ann)
        await viewer.watch(f"{steady.page}?source={source}")
        await viewer.expect_message(early)
        await until(page, "a time to go back to", f"window.moment() > {said_at(ann, early)} + 16_000")
        later = ann.post("and another", "another")
        await viewer.expect_message(later)
        await page.evaluate(_PAUSE)
        await page.evaluate(_GO_TO, said_at(ann, later) - 9000)
        await viewer.expect_message(later, shown=False)
        await viewer.expect_message(early)
        # Most of what lies between is not waited for.
        await page.evaluate(_GO_TO, said_at(ann, later) - 1000)
        await page.evaluate(_PLAY)
        await viewer.expect_message(later)
        assert await viewer.reached(later) >= 0


async def test_by_webrtc_a_message_waits_for_the_delay_of_the_picture(steady: Channel, page: Page) -> None:
    await page.add_init_script(f"({_CLOCK})()")
    with guest(chat_url(steady.program.url, steady.name), "Ann") as ann:
        viewer = Viewer(page, ann)
        await viewer.join(f"{steady.page}?source=webrtc")
        # The first messages of a page are history, which nobody waits for.
        await viewer.expect_message(ann.post("early", "early"))
        # By then the page knows the delay, whoever else has looked.
        looks = await page.evaluate("window.looks")
        await until(page, "some looks at the connection", f"window.looks >= {looks + 4}")
        await page.evaluate("window.stopped = performance.now()")
        goal = ann.post("goal!", "goal")
        await viewer.say("no time passes by WebRTC")
        await viewer.expect_message(goal, shown=False)
        await viewer.switch(on=False)
        await viewer.expect_message(goal)
        await viewer.switch(on=True)
        more = ann.post("and one more", "more")
        await viewer.say("still none passes by WebRTC")
        await viewer.expect_message(more, shown=False)
        await page.evaluate("window.stopped = null")
        await viewer.expect_message(more)
