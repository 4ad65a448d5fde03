"""Session descriptions."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.formats.sdp import MAX_BYTES, MAX_MEDIA, MediaDescription, Origin, SdpError, SessionDescription

SAMPLES = sorted((Path(__file__).parents[2] / "data" / "sdp").glob("*.sdp"))
HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_real_descriptions_are_written_as_they_were(file: Path) -> None:
    text = file.read_bytes().decode()
    session = SessionDescription.parse(text)
    # Only the order of lines before attributes is ours.
    assert sorted(session.to_text().split("\r\n")) == sorted(text.split("\r\n"))
    assert SessionDescription.parse(session.to_text()) == session


def test_what_is_where() -> None:
    session = SessionDescription.parse(
        "v=0\no=jdoe 3724394400 3724394405 IN IP6 ::1\ns=Call\nc=IN IP4 198.51.100.1\nt=0 0\na=group:BUNDLE 0\n"
        "a=ice-lite\nm=audio 49170/2 RTP/AVP 0 8\nc=IN IP4 198.51.100.2\nb=AS:64\nb=TIAS:64000\na=mid:0\na=sendonly\n"
        "a=fmtp:0 a=b:c\nm=video 0 UDP/TLS/RTP/SAVPF 96\n\n"
    )
    assert session.origin == Origin(3724394400, 3724394405, "jdoe", "IN IP6 ::1")
    assert (session.name, session.connection) == ("Call", "IN IP4 198.51.100.1")
    assert session.attributes == [("group", "BUNDLE 0"), ("ice-lite", None)]
    audio, video = session.media
    assert (audio.kind, audio.port, audio.protocol, audio.formats) == ("audio", 49170, "RTP/AVP", ["0", "8"])
    assert audio.connection == "IN IP4 198.51.100.2"
    assert audio.bandwidth == [("AS", 64), ("TIAS", 64000)]
    assert audio.first("mid") == "0"
    assert audio.first("sendonly") == ""
    assert audio.first("rid") is None
    assert audio.has("sendonly")
    assert list(audio.values("fmtp")) == ["0 a=b:c"]
    assert (video.port, video.attributes) == (0, [])


def test_lines_that_say_nothing_are_left_out() -> None:
    session = SessionDescription.parse(
        HEAD + "i=about\r\nu=http://example.org\r\nm=audio 9 X 0\r\ni=what\r\nk=prompt\r\n"
    )
    assert session.attributes == []
    assert len(session.media) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o=- 1 2 IN IP4 127.0.0.1",
        "v=1",
        "v=0\r\ns=-",
        "v=0\r\no=-",
        "v=0\r\no=- x 2 IN IP4 127.0.0.1",
        "v=0\r\no=- 1 2 IN IP4",
        f"v=0\r\no=- {'9' * 5000} 2 IN IP4 127.0.0.1",
        HEAD + "nonsense",
        HEAD + "A=x",
        HEAD + "a=\0",
        HEAD + "a=",
        HEAD + "a=:value",
        HEAD + "a=two words",
        HEAD + "b=AS:many",
        HEAD + "b=AS:" + "9" * 5000,
        HEAD + "m=audio",
        HEAD + "m=audio 9 RTP/AVP",
        HEAD + "m=audio x RTP/AVP 0",
        HEAD + "m=audio 65536 RTP/AVP 0",
        HEAD + "m=audio " + "9" * 5000 + " RTP/AVP 0",
        HEAD + "m=audio ٣ RTP/AVP 0",
        HEAD + "m=audio 9 RTP/AVP 0\r\n" * (MAX_MEDIA + 1),
        HEAD + "a=x\r\n" * 4000,
        HEAD + "a=x:" + "x" * MAX_BYTES,
    ],
    ids=lambda text: text[:60],
)
def test_broken_and_boundless_descriptions(text: str) -> None:
    with pytest.raises(SdpError):
        SessionDescription.parse(text)


@given(st.text(max_size=200), st.booleans())
def test_noise(text: str, headed: bool) -> None:
    with contextlib.suppress(SdpError):
        session = SessionDescription.parse(HEAD + text if headed else text)
        assert SessionDescription.parse(session.to_text()) == session


@given(st.sampled_from(SAMPLES), st.integers(0, 20_000), st.integers(0, 50), st.text(max_size=10))
def test_bent_descriptions(file: Path, at: int, length: int, instead: str) -> None:
    text = file.read_bytes().decode()
    with contextlib.suppress(SdpError):
        session = SessionDescription.parse(text[:at] + instead + text[at + length :])
        assert SessionDescription.parse(session.to_text()) == session


def test_media_are_written() -> None:
    medium = MediaDescription(kind="video", port=9, protocol="RTP/AVP", formats=["96"], connection="IN IP4 0.0.0.0")
    medium.bandwidth.append(("AS", 5))
    medium.add("mid", "0")
    medium.add("recvonly")
    assert list(medium.lines()) == [
        "m=video 9 RTP/AVP 96", "c=IN IP4 0.0.0.0", "b=AS:5", "a=mid:0", "a=recvonly",
    ]  # fmt: skip
