"""One server for all tests that do not need one of their own, and one broadcast that is always on."""

from collections.abc import Iterator

import pytest
from tests.support.channel import Channel, Channels
from tests.support.encoder import publishing
from tests.support.program import Program, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server with the default settings."""
    with running(tmp_path_factory.mktemp("interop")) as program:
        yield program


@pytest.fixture(scope="session")
def channels(server: Program) -> Iterator[Channels]:
    """New streams of the server."""
    found = Channels(server)
    yield found
    found.close()


@pytest.fixture
def channel(channels: Channels) -> Channel:
    """A new stream that nobody publishes yet."""
    return channels.take()


@pytest.fixture(scope="session")
def steady(server: Program) -> Iterator[Channel]:
    """A stream that ffmpeg publishes for as long as the tests run."""
    channel = Channel.add(server, "steady")
    with publishing(channel.publish_url):
        channel.wait_until("live")
        channel.wait_for_segments(2)
        yield channel
