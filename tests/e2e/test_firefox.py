"""The core journey in Firefox: play, follow a publisher that returns, go off the air, come back; and chat."""

from collections.abc import Iterator

import pytest
from tests.support.browser import difference
from tests.support.channel import Channel
from tests.support.chat_client import ChatClient, chat_url
from tests.support.encoder import Picture, publishing
from tests.support.firefox import Firefox, firefox
from tests.support.program import wait_for

pytestmark = pytest.mark.e2e

SMALL = Picture(width=320, height=180)

LOOK = """(() => {
  const video = document.querySelector("video");
  if (!video || video.readyState < 2 || !video.videoWidth) return null;
  const canvas = document.createElement("canvas");
  canvas.width = 32; canvas.height = 18;
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0, 32, 18);
  return {
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    time: video.currentTime,
    width: video.videoWidth,
    sound: video.mozHasAudio && !video.muted,
    pixels: Array.from(context.getImageData(0, 0, 32, 18).data),
  };
})()"""


@pytest.fixture(scope="module")
def fox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """One Firefox for all tests here."""
    with firefox(tmp_path_factory.mktemp("firefox")) as found:
        yield found


@pytest.mark.parametrize("source", ["llhls", "dash"])
def test_firefox_plays(steady: Channel, fox: Firefox, source: str) -> None:
    _leave(fox)
    fox.open(f"{steady.page}?source={source}")
    fox.until("the player", f"window.ghostlive?.state === 'playing' && window.ghostlive.source === '{source}'")
    _expect_moving_picture(fox)
    assert fox.errors == []
    assert all(url.startswith((steady.program.url, "blob:", "data:")) for url in fox.requests), fox.requests


def test_firefox_follows_the_broadcast_without_a_reload(channel: Channel, fox: Firefox) -> None:
    state = "document.querySelector('[data-testid=player]')?.dataset"
    with publishing(channel.publish_url, SMALL) as first:
        channel.wait_until("live")
        fox.open(channel.page)
        fox.evaluate("window.neverReloaded = true")
        _expect_moving_picture(fox)
        first.kill()
        fox.until("the interruption", f"{state}.streamState === 'interrupted'")
    with publishing(channel.publish_url, SMALL) as second:
        fox.until("the return", f"{state}.streamState === 'live' && {state}.state === 'playing'")
        _expect_moving_picture(fox)
        second.stop()
        fox.until("the end", f"{state}.state === 'offline' && !!document.querySelector('[data-testid=offline-panel]')")
    with publishing(channel.publish_url, SMALL):
        fox.until("the next broadcast", f"{state}.state === 'playing'")
        _expect_moving_picture(fox)
    assert fox.evaluate("window.neverReloaded") is True


def test_guests_in_firefox_chat_beside_the_picture(steady: Channel, fox: Firefox) -> None:
    _leave(fox)
    texts = "[...document.querySelectorAll('[data-testid=chat-text]')].map((text) => text.textContent)"
    with ChatClient(chat_url(steady.program.url, steady.name)) as other:
        other.join("Chrome")
        fox.open(steady.page)
        _expect_moving_picture(fox)
        fox.focus("chat-name-field")
        fox.type("Fox\n")
        fox.focus("chat-field")
        fox.type("hello from Firefox\n")
        other.wait(lambda: "hello from Firefox" in other.texts, "the message from Firefox")
        other.post("and hello to you", "answer-1")
        fox.until("the answer", f"{texts}.at(-1) === 'and hello to you'")
        # The same guest after a reload, who has missed nothing.
        fox.open(steady.page)
        fox.until("the conversation", f"{texts}.slice(-2).join('|') === 'hello from Firefox|and hello to you'")
        fox.focus("chat-field")
        fox.type("still me\n")
        other.wait(lambda: "still me" in other.texts, "the message after the reload")
        mine = [message["author"]["id"] for message in other.messages if message["author"]["name"] == "Fox"]
        assert len(mine) == 2
        assert len(set(mine)) == 1
    assert fox.errors == []
    assert all(url.startswith((steady.program.url, "ws:", "blob:", "data:")) for url in fox.requests), fox.requests


def _leave(fox: Firefox) -> None:
    """Leave the page of the test before, and forget what it said, also what was still under way."""
    fox.open("about:blank")
    fox.errors.clear()
    fox.requests.clear()


def _expect_moving_picture(fox: Firefox) -> None:
    first = fox.until("a picture", LOOK)

    def moved() -> bool:
        now = fox.evaluate(LOOK)
        if now is None or now["frames"] < first["frames"]:
            first.update(now or {})
            return False
        return bool(
            now["frames"] >= first["frames"] + 20
            and now["time"] > first["time"] + 0.5
            and now["sound"]
            and difference(first["pixels"], now["pixels"]) > 1.0
        )

    wait_for("moving picture in Firefox", moved, 60)
