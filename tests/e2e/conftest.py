"""A server with the built pages, a broadcast that is always on, and Chromium."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from tests.support.browser import Trouble, chromium
from tests.support.channel import Channel, Channels
from tests.support.encoder import publishing
from tests.support.program import Program, running
from tests.support.site import Site, site

from ghostlive.db.users import Role

ARTEFACTS = Path(__file__).parents[1] / "artefacts"
PASSWORD = "a horse in the rain"
"""Of `owner`."""


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server with the default settings, but for patience with programs of its own that a busy machine lets wait."""
    with running(tmp_path_factory.mktemp("e2e"), {"GHOSTLIVE_TRANSCODE__SILENT_AFTER": "20"}) as program:
        yield program


@pytest.fixture(scope="package")
def owner(server: Program) -> str:
    """The name of the owner's account."""
    server.add_user("boss", PASSWORD, Role.OWNER)
    return "boss"


@pytest.fixture(scope="package")
def channels(server: Program) -> Channels:
    """New streams of the server."""
    return Channels(server)


@pytest.fixture
def channel(channels: Channels) -> Channel:
    """A new stream that nobody publishes yet."""
    return channels.take()


@pytest.fixture(scope="package")
def steady(server: Program) -> Iterator[Channel]:
    """A stream that ffmpeg publishes for as long as the tests run."""
    channel = Channel.add(server, "steady")
    with publishing(channel.publish_url):
        channel.wait_until("live")
        channel.wait_for_segments(2)
        yield channel


@pytest.fixture(scope="package")
def outside() -> Iterator[Site]:
    """Another web site."""
    with site() as found:
        yield found


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium that plays sound unasked."""
    async with chromium() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def trouble(server: Program) -> Trouble:
    """What went wrong in `page`; a test that provokes errors names them here."""
    return Trouble(server.url)


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, trouble: Trouble) -> AsyncIterator[Page]:
    """A fresh page. Console errors, policy violations and requests to other servers fail its test."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    page = await context.new_page()
    trouble.watch(page)
    yield page
    await context.close()
    trouble.check()


@pytest_asyncio.fixture(loop_scope="session")
async def plain_page(browser: Browser) -> AsyncIterator[Page]:
    """A page that may ask for what it likes."""
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()
