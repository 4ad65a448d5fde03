"""One server for all tests that do not need one of their own, and one broadcast that is always on."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page
from tests.support.browser import chromium
from tests.support.channel import Channel, Channels
from tests.support.encoder import publishing
from tests.support.matrix_house import MatrixHouse, revive
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
def homeserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """What `synapse` and `house` stand on; tests ask for one of those."""
    with running_synapse(tmp_path_factory.mktemp("synapse")) as found:
        yield found


@pytest.fixture(scope="package")
def server_of_homeserver(homeserver: Synapse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MatrixHouse]:
    """The server of `house`, which runs while files that use it do."""
    house = MatrixHouse(tmp_path_factory.mktemp("house"), homeserver)
    try:
        yield house
    finally:
        house.close()


@pytest.fixture(scope="module")
def house(server_of_homeserver: MatrixHouse) -> MatrixHouse:
    """One server on the homeserver for all files; see `tests.support.matrix_house`."""
    server_of_homeserver.start()
    return server_of_homeserver


@pytest.fixture(scope="module")
def synapse(homeserver: Synapse, server_of_homeserver: MatrixHouse) -> Synapse:
    """A homeserver that is our application service's, whose port is free; not in a file that uses `house`."""
    server_of_homeserver.stop()
    revive(homeserver)
    return homeserver
