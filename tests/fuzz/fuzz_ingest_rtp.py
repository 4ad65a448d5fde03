"""Fuzz target: a WebRTC publisher, fed with packets of anything, in any order, with time passing in between.

Run with `python -m tests.fuzz.fuzz_ingest_rtp [CORPUS…]`; nothing may escape, and what reaches the hub is in order.
"""

import sys

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.protocols.webrtc.ingest", "ghostlive.formats"]):
    from tests.support.rtp_hostile import feed


def test_one_input(data: bytes) -> None:
    """See `feed`."""
    feed(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
