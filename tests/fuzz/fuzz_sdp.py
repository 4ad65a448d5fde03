"""Fuzz target: descriptions of WebRTC; only `SdpError` and `NegotiationError` may come out.

The first byte says whether the rest is an offer of a viewer or of a publisher, an answer to our own offer, a trickle
fragment, a candidate, or a real offer into which the rest is put at a place that the next two bytes name.

    python -m tests.fuzz.fuzz_sdp -max_total_time=60
"""

import sys
from contextlib import suppress
from pathlib import Path

import atheris  # type: ignore[import-untyped]  # ships no types

with atheris.instrument_imports(include=["ghostlive.formats.sdp", "ghostlive.protocols.webrtc"]):
    from ghostlive.formats.sdp import SdpError, SessionDescription
    from ghostlive.protocols.webrtc.candidate import Candidate
    from ghostlive.protocols.webrtc.errors import NegotiationError
    from ghostlive.protocols.webrtc.negotiation import (
        RTP_CODECS,
        LocalParameters,
        answer_offer,
        make_offer,
        parse_trickle,
    )

_LOCAL = LocalParameters("ghost", "0123456789abcdefghijklmn", ":".join(["AB"] * 32), (), "cname", 7)
_PENDING = make_offer(_LOCAL, sending=True, codecs=RTP_CODECS)
_OFFERS = [file.read_bytes().decode() for file in sorted((Path(__file__).parents[1] / "data" / "sdp").glob("*.sdp"))]


def _full(sdp: str) -> str:
    """Of ours, what a peer would say who is not ICE-lite, as we are: two of those find no way, and are refused."""
    return sdp.replace("a=ice-lite\r\n", "")


_ANSWER = _full(answer_offer(_full(_PENDING.sdp), _LOCAL, sending=False, codecs=RTP_CODECS).local)
_PENDING.accept(_ANSWER)


def test_one_input(data: bytes) -> None:
    """What atheris calls."""
    if len(data) < 3:
        return
    text = data[3:].decode("utf-8", "replace")
    with suppress(NegotiationError):
        match data[0] % 6:
            case 0:
                _answer(text, sending=bool(data[1] & 1))
            case 1:
                _PENDING.accept(text)
            case 2:
                parse_trickle(text)
            case 3:
                candidate = Candidate.parse(text)
                assert Candidate.parse(candidate.to_text()) == candidate
            case 4:
                _answer(_bent(_OFFERS[data[0] // 6 % len(_OFFERS)], data, text), sending=bool(data[0] & 1))
            case _:
                _PENDING.accept(_bent(_ANSWER, data, text))


def _bent(whole: str, data: bytes, text: str) -> str:
    at = (data[1] << 8 | data[2]) % len(whole)
    return whole[:at] + text + whole[at + len(text) :]


def _answer(offer: str, *, sending: bool) -> None:
    with suppress(SdpError):
        session = SessionDescription.parse(offer)
        assert SessionDescription.parse(session.to_text()) == session
    negotiation = answer_offer(offer, _LOCAL, sending=sending, codecs=RTP_CODECS)
    answer = SessionDescription.parse(negotiation.local)
    assert len(answer.media) == len(SessionDescription.parse(offer).media)


if __name__ == "__main__":
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()
