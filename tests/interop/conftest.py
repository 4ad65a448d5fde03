"""One server for all tests that do not need one of their own, and one broadcast that is always on."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from tests.support.browser import chromium
from tests.support.channel import Channel, Channels
from tests.support.encoder import publishing
from tests.support.program import Program, running
from tests.support.site import Site, site
from tests.support.synapse import Synapse, running_synapse


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server with the default settings."""
    with running(tmp_path_factory.mktemp("interop")) as program:
        yield program


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
async def tab(browser: Browser) -> AsyncIterator[Page]:
    """A new tab. What a page of a test does wrong is in its `window.failures`."""
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()


@pytest.fixture(scope="package")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """A homeserver that is our application service's; see `tests.support.synapse`."""
    with running_synapse(tmp_path_factory.mktemp("synapse")) as found:
        yield found
