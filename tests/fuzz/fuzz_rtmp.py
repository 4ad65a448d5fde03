"""Fuzz target: an RTMP session and its ingest, fed with anything, from the first byte or behind `publish`.

Run with `python -m tests.fuzz.fuzz_rtmp [CORPUS…]`; only errors that the ingest documents may escape.
"""

import random
import sys
from collections.abc import Iterator

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.protocols", "ghostlive.formats", "ghostlive.codecs"]):
    from ghostlive.core.errors import MediaError
    from ghostlive.hub.hub import Hub
    from ghostlive.hub.live import Source
    from ghostlive.protocols.rtmp.config import RtmpConfig
    from ghostlive.protocols.rtmp.errors import RtmpError
    from ghostlive.protocols.rtmp.events import PublishEnded, PublishRequested
    from ghostlive.protocols.rtmp.ingest import Ingest
    from ghostlive.protocols.rtmp.session import Session, State

from tests.support.clock import FakeClock
from tests.support.rtmp_client import RtmpClient, exchange

_CONFIG = RtmpConfig(max_message_bytes=1 << 16)


def test_one_input(data: bytes) -> None:
    """The first byte says where to begin and how to split."""
    if not data:
        return
    clock = FakeClock()
    session = Session(_CONFIG, random=random.Random(1).randbytes, now=clock.now())
    hub = Hub(clock=clock)
    ingest: Ingest | None = None

    def start() -> Ingest:
        session.accept_publish(clock.now())
        source = Source("rtmp", "192.0.2.1")
        return Ingest(hub.publish(f"s{len(hub.streams())}", source, lambda reason: None), max_tracks=4)

    if data[0] & 1:
        client = RtmpClient()
        client.connect()
        client.publish("KEY")
        exchange(session, client, clock.now())
        ingest = start()
    for piece in _pieces(data[1:], 1 + (data[0] >> 1)):
        for event in session.receive_data(piece, clock.now()):
            if isinstance(event, PublishRequested):
                ingest = start()
            elif isinstance(event, PublishEnded):
                if ingest is not None:
                    ingest.end(event.reason)
                ingest = None
            elif ingest is not None:
                try:
                    ingest.receive(event, clock.now())
                except (RtmpError, MediaError) as error:
                    session.close(RtmpError(str(error)))
                    break
        session.data_to_send()
        clock.advance(0.01)
        session.handle_timeout(clock.now())
        if session.state is State.CLOSED:
            break
    if ingest is not None:
        ingest.lose("the end")
    hub.close()


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
