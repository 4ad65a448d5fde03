"""Our own offers, answers to them, and fragments of descriptions."""

import contextlib
import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.core.track import Codec, TrackKind
from ghostlive.formats.rtp import extensions
from ghostlive.formats.sdp import SessionDescription
from ghostlive.protocols.webrtc.candidate import Candidate
from ghostlive.protocols.webrtc.config import WebRtcConfig
from ghostlive.protocols.webrtc.errors import NegotiationError
from ghostlive.protocols.webrtc.negotiation import (
    LocalParameters,
    Negotiation,
    PendingOffer,
    Transport,
    answer_offer,
    make_fragment,
    make_offer,
    parse_trickle,
)

ALL = [Codec.H264, Codec.H265, Codec.AV1, Codec.VP9, Codec.VP8, Codec.OPUS]
CANDIDATE = Candidate("1", 1, "udp", 2130706431, "192.0.2.1", 10000, "host")
LOCAL = LocalParameters("ghost", "0123456789abcdefghijklmn", ":".join(["AB"] * 32), (CANDIDATE,), "cname", 7)
PEER = LocalParameters("peer", "nmlkjihgfedcba9876543210", ":".join(["CD"] * 32), (), "peer", 8, ice_lite=False)


def answer(pending: PendingOffer, codecs: Sequence[Codec] = ALL) -> str:
    """What a peer says that understands these codecs."""
    return answer_offer(pending.sdp, PEER, sending=not pending.sending, codecs=codecs).local


def test_an_offer_to_play() -> None:
    pending = make_offer(LOCAL, sending=True, codecs=ALL)
    offer = SessionDescription.parse(pending.sdp)
    assert offer.first("group") == "BUNDLE 0 1"
    assert offer.has("ice-lite")
    video, audio = offer.media
    assert (video.kind, audio.kind) == ("video", "audio")
    assert [medium.first("setup") for medium in offer.media] == ["actpass", "actpass"]
    assert all(medium.has("sendonly") and medium.has("rtcp-mux") and medium.has("rtcp-rsize") for medium in offer.media)
    assert len(set(video.formats)) == len(video.formats)
    assert video.formats[0] == "98"
    assert "98 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f" in [*video.values("fmtp")]
    (opus,) = audio.values("fmtp")
    assert set(opus.removeprefix("110 ").split(";")) >= {"stereo=1", "sprop-stereo=1", "useinbandfec=1"}
    # No transport-wide feedback, so that receivers use REMB.
    assert "transport-cc" not in pending.sdp
    assert {line.split(None, 1)[1] for line in video.values("rtcp-fb")} == {
        "nack", "nack pli", "ccm fir", "goog-remb",
    }  # fmt: skip


def test_an_offer_to_publish() -> None:
    pending = make_offer(LOCAL, sending=False, codecs=[Codec.VP8, Codec.OPUS])
    offer = SessionDescription.parse(pending.sdp)
    assert all(medium.has("recvonly") and not medium.has("ssrc") for medium in offer.media)
    assert offer.media[0].formats == ["96", "97"]
    assert "96 transport-cc" in [*offer.media[0].values("rtcp-fb")]


def test_kinds_without_codecs_have_no_m_line() -> None:
    offer = SessionDescription.parse(make_offer(LOCAL, sending=True, codecs=[Codec.AAC, Codec.VP8]).sdp)
    assert [medium.kind for medium in offer.media] == ["video"]
    with pytest.raises(NegotiationError):
        make_offer(LOCAL, sending=True, codecs=[Codec.AAC])


@pytest.mark.parametrize("sending", [True, False])
@pytest.mark.parametrize("codecs", [ALL, [Codec.VP8, Codec.OPUS], [Codec.AV1]])
def test_an_answer_is_accepted(sending: bool, codecs: list[Codec]) -> None:
    pending = make_offer(LOCAL, sending=sending, codecs=ALL)
    text = answer(pending, codecs)
    negotiation = pending.accept(text)
    assert (negotiation.local, negotiation.remote, negotiation.sending) == (pending.sdp, text, sending)
    assert {one.codec for stream in negotiation.streams for one in stream.formats} == set(codecs)
    transport = negotiation.transport
    assert (transport.remote_ufrag, transport.remote_pwd) == (PEER.ufrag, PEER.pwd)
    assert transport.fingerprints == (("sha-256", b"\xcd" * 32),)
    video = negotiation.streams[0]
    assert video.ssrc == pending.streams[0].ssrc
    assert video.rtx_ssrc == (pending.streams[0].rtx_ssrc if sending else None)
    assert "goog-remb" in video.formats[0].feedback
    assert extensions.ABS_SEND_TIME in video.extensions
    # Our order, whatever the peer's is.
    assert [one.codec for one in video.formats] == sorted((one.codec for one in video.formats), key=ALL.index)
    if not sending:
        assert len(video.remote_ssrcs) == 1


def test_a_passive_peer_makes_us_the_client() -> None:
    pending = make_offer(LOCAL, sending=True, codecs=ALL)
    text = answer(pending)
    assert pending.accept(text.replace("setup:passive", "setup:active")).transport.dtls_client is False
    assert pending.accept(text).transport.dtls_client is True
    for setup in ("actpass", "holdconn"):
        with pytest.raises(NegotiationError):
            pending.accept(text.replace("setup:passive", f"setup:{setup}"))


def test_a_peer_that_takes_sound_only() -> None:
    pending = make_offer(LOCAL, sending=True, codecs=ALL)
    negotiation = pending.accept(answer(pending, [Codec.OPUS]))
    assert [stream.kind for stream in negotiation.streams] == [TrackKind.AUDIO]


@pytest.mark.parametrize(
    ("pattern", "instead", "words"),
    [
        (r"m=video[\s\S]*", "", "m-lines"),
        (r"a=mid:0", "a=mid:7", "not those of the offer"),
        (r"m=video", "m=audio", "not those of the offer"),
        (r"m=(video|audio) \d+", r"m=\1 0", "neither audio nor video"),
        (r"a=(send|recv)only", "a=inactive", "neither audio nor video"),
        (r"a=fingerprint:.*\r\n", "", "fingerprint"),
        (r"a=ice-ufrag:.*\r\n", "", "ICE credentials"),
        (r"a=rtcp-mux\r\n", "", "rtcp-mux"),
        (r"BUNDLE 0 1", "BUNDLE 0", "bundle"),
        (r"^", "x", "cannot be read"),
    ],
)
def test_answers_that_cannot_be_accepted(pattern: str, instead: str, words: str) -> None:
    pending = make_offer(LOCAL, sending=True, codecs=[Codec.H264, Codec.VP8, Codec.OPUS])
    text = answer(pending)
    with pytest.raises(NegotiationError, match=words):
        pending.accept(re.sub(pattern, instead, text))
    # The offer still waits.
    assert pending.accept(answer(pending)).streams


def test_payload_types_are_those_of_the_offer() -> None:
    pending = make_offer(LOCAL, sending=True, codecs=[Codec.VP8])
    with pytest.raises(NegotiationError, match="payload types"):
        pending.accept(re.sub(r"([ :])96\b", r"\g<1>35", answer(pending)))


def test_extensions_of_the_answer_have_the_offer_s_identifiers() -> None:
    pending = make_offer(LOCAL, sending=True, codecs=ALL)
    text = answer(pending).replace("extmap:2 ", "extmap:9 ")
    assert extensions.ABS_SEND_TIME not in pending.accept(text).streams[0].extensions


@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 80), st.text(max_size=6)), max_size=4))
def test_bent_answers(changes: list[tuple[int, int, str]]) -> None:
    pending = make_offer(LOCAL, sending=True, codecs=ALL)
    text = answer(pending)
    for at, length, instead in changes:
        text = text[:at] + instead + text[at + length :]
    with contextlib.suppress(NegotiationError):
        pending.accept(text)


CREDENTIALS = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
FRAGMENT = (
    CREDENTIALS + "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"
    "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n"
    "a=candidate:3471623853 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n"
    "a=candidate:1 1 ssltcp nonsense\r\na=end-of-candidates\r\n"
)


def test_a_fragment_of_rfc_9725() -> None:
    ufrag, pwd, candidates = parse_trickle(FRAGMENT)
    assert (ufrag, pwd) == ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert [(one.transport, one.port) for one in candidates] == [("udp", 61764), ("tcp", 9)]


def test_a_fragment_of_our_own() -> None:
    text = make_fragment(LOCAL, mid="0", kind="video")
    assert text.startswith("a=ice-lite\r\na=ice-ufrag:ghost\r\n")
    assert "m=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" in text
    assert text.endswith("a=end-of-candidates\r\n")
    assert parse_trickle(text) == (LOCAL.ufrag, LOCAL.pwd, (CANDIDATE,))


def test_candidates_of_a_fragment_are_limited() -> None:
    line = f"a={CANDIDATE}\r\n"
    assert len(parse_trickle(CREDENTIALS + line * 300).candidates) == 64
    with pytest.raises(NegotiationError):
        parse_trickle(FRAGMENT + line * 3000)


@pytest.mark.parametrize("text", ["", "a=ice-ufrag:EsAw", "a=ice-ufrag:EsAw\na=ice-pwd:short", "nonsense", "a=", "\0"])
def test_broken_fragments(text: str) -> None:
    with pytest.raises(NegotiationError):
        parse_trickle(text)


@given(st.integers(0, 600), st.integers(0, 80), st.text(max_size=40))
def test_bent_fragments(at: int, length: int, instead: str) -> None:
    with contextlib.suppress(NegotiationError):
        parse_trickle(FRAGMENT[:at] + instead + FRAGMENT[at + length :])


def test_no_password_is_in_a_representation() -> None:
    pending = make_offer(LOCAL, sending=True, codecs=(Codec.H264, Codec.OPUS))
    transport = Transport("ours", "our-password", "theirs", "their-password", (("sha-256", bytes(32)),), False)
    negotiation = Negotiation(transport, pending.streams, pending.sdp, pending.sdp, sending=True, cname="house")
    text = f"{LOCAL!r} {pending!r} {negotiation!r} {WebRtcConfig(turn_secret='turn-secret')!r}"
    for secret in (LOCAL.pwd, "our-password", "their-password", "turn-secret"):
        assert secret not in text
