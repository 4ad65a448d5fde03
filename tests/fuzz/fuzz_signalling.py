"""Fuzz target: what WebRTC's listeners read of strangers: framing, user names, OvenMediaEngine's messages, Host.

Run with `python -m tests.fuzz.fuzz_signalling [CORPUS…]`; only errors that these document may escape.
"""

import contextlib
import sys

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.protocols.ome", "ghostlive.protocols.webrtc"]):
    from ghostlive.protocols.ome.errors import SignallingError
    from ghostlive.protocols.ome.messages import parse_message
    from ghostlive.protocols.ome.session import Session
    from ghostlive.protocols.webrtc.addresses import address_of_host
    from ghostlive.protocols.webrtc.demux import requested_ufrag
    from ghostlive.protocols.webrtc.framing import FrameReader, FramingError


class _Driver:
    """Agrees to everything."""

    def __init__(self) -> None:
        self.session = Session(1)

    def offer_wanted(self) -> None:
        self.session.offered()

    def answered(self, sdp: str) -> None:
        assert sdp

    def change_wanted(self, name: str | None, auto: bool | None) -> None:
        assert name is None or len(name) <= 128

    def stopped(self) -> None:
        pass


def test_one_input(data: bytes) -> None:
    """The first byte says how to split."""
    if not data:
        return
    size, rest = data[0] + 1, data[1:]
    reader = FrameReader()
    try:
        for at in range(0, len(rest), size):
            for packet in reader.receive(rest[at : at + size]):
                requested_ufrag(packet)
    except FramingError:
        pass
    requested_ufrag(rest)
    text = rest.decode("utf-8", "replace")
    address_of_host(text)
    driver = _Driver()
    try:
        for line in text.split("\n"):
            driver.session.receive(line, driver)
    except SignallingError:
        pass
    with contextlib.suppress(SignallingError):
        parse_message(text)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
