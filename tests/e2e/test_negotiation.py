"""Offers and answers against real browsers: they take ours, and mean the same by them. No packet is sent."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Page
from tests.support.firefox import Firefox, firefox

from ghostlive.core.track import Codec, TrackKind
from ghostlive.formats.rtp import extensions
from ghostlive.protocols.webrtc.candidate import Candidate, candidate_priority
from ghostlive.protocols.webrtc.negotiation import LocalParameters, Negotiation, answer_offer, make_offer

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

LOCAL = LocalParameters(
    ufrag="GhostUfr",
    pwd="0123456789abcdefghijklmn",
    fingerprint=":".join(f"{value:02X}" for value in range(32)),
    candidates=(
        Candidate("1", 1, "udp", candidate_priority("host"), "192.0.2.1", 10000, "host"),
        Candidate("2", 1, "tcp", candidate_priority("host", tcptype="passive"), "192.0.2.1", 10000, "host", "passive"),
    ),
    cname="ghost-live",
    session_id=0x1234567890ABCDEF,
)
VIDEO = {"video/H264": Codec.H264, "video/VP8": Codec.VP8, "video/VP9": Codec.VP9, "video/AV1": Codec.AV1}

# Leaves the connection in `window.pc` and is its offer.
PLAY = """(async () => {
  const pc = window.pc = new RTCPeerConnection();
  for (const kind of ["video", "audio"]) pc.addTransceiver(kind, {direction: "recvonly"});
  await pc.setLocalDescription();
  return pc.localDescription.sdp;
})()"""
PLAY_WITH_MORE = """(async () => {
  const pc = window.pc = new RTCPeerConnection();
  pc.createDataChannel("chat");
  pc.addTransceiver("audio", {direction: "sendonly"});
  for (const kind of ["audio", "video", "video"]) pc.addTransceiver(kind, {direction: "recvonly"});
  await pc.setLocalDescription();
  return pc.localDescription.sdp;
})()"""
PUBLISH = """(async () => {
  const pc = window.pc = new RTCPeerConnection();
  const canvas = document.createElement("canvas");
  canvas.getContext("2d").fillRect(0, 0, 9, 9);
  const [video] = canvas.captureStream(30).getVideoTracks();
  const [audio] = new AudioContext().createMediaStreamDestination().stream.getAudioTracks();
  pc.addTransceiver(audio, {direction: "sendonly"});
  pc.addTransceiver(video, {direction: "sendonly", sendEncodings: ENCODINGS});
  await pc.setLocalDescription();
  return pc.localDescription.sdp;
})()"""
SIMULCAST = '[{rid: "l", scaleResolutionDownBy: 4}, {rid: "m", scaleResolutionDownBy: 2}, {rid: "h"}]'
# What the connection makes of both descriptions.
STATE = """(() => {
  const codecs = side => side.getParameters().codecs.map(codec => codec.mimeType.toLowerCase());
  return {
    signaling: pc.signalingState,
    lines: pc.getTransceivers().map(each => ({
      mid: each.mid,
      kind: each.receiver.track.kind,
      direction: each.currentDirection,
      receives: codecs(each.receiver),
      sends: codecs(each.sender),
      rids: each.sender.getParameters().encodings?.map(encoding => encoding.rid ?? "") ?? [],
    })),
  };
})()"""


def accept(sdp: str) -> str:
    """Hand an answer of ours to the browser."""
    answer = json.dumps({"type": "answer", "sdp": sdp})
    return f"pc.setRemoteDescription({answer}).then(() => {STATE})"


def answer_to(sdp: str, *, publish: bool) -> str:
    """Hand an offer of ours to the browser; its answer, sent before it is applied, as OvenPlayer does it."""
    offer = json.dumps({"type": "offer", "sdp": sdp})
    tracks = """
      const canvas = document.createElement("canvas");
      canvas.getContext("2d").fillRect(0, 0, 9, 9);
      const [video] = canvas.captureStream(30).getVideoTracks();
      const [audio] = new AudioContext().createMediaStreamDestination().stream.getAudioTracks();
      const stream = new MediaStream([video, audio]);
      pc.addTrack(video, stream);
      pc.addTrack(audio, stream);
    """
    return f"""(async () => {{
      const pc = window.pc = new RTCPeerConnection();
      window.streams = [];
      pc.ontrack = event => streams.push(event.streams.map(stream => stream.id).join());
      {tracks if publish else ""}
      await pc.setRemoteDescription({offer});
      window.answer = await pc.createAnswer();
      return window.answer.sdp;
    }})()"""


APPLY = f"pc.setLocalDescription(answer).then(() => ({{...{STATE}, streams}}))"


def check_playing(state: Any, negotiation: Negotiation) -> None:
    """A viewer's browser that took our answer, to an offer of video and then audio."""
    assert state["signaling"] == "stable"
    assert [(line["kind"], line["direction"]) for line in state["lines"]] == [
        ("video", "recvonly"), ("audio", "recvonly"),
    ]  # fmt: skip
    video = negotiation.streams[0]
    assert video.rtx_ssrc is not None
    assert video.formats[0].feedback == {"nack", "nack pli", "ccm fir", "goog-remb"}
    assert extensions.ABS_SEND_TIME in video.extensions
    assert not negotiation.transport.dtls_client
    assert negotiation.transport.fingerprints[0][0] == "sha-256"


@pytest.mark.parametrize("codec", VIDEO.values())
async def test_chromium_plays_each_codec(plain_page: Page, codec: Codec) -> None:
    negotiation = answer_offer(await plain_page.evaluate(PLAY), LOCAL, sending=True, codecs=[codec, Codec.OPUS])
    check_playing(await plain_page.evaluate(accept(negotiation.local)), negotiation)
    assert {one.codec for one in negotiation.streams[0].formats} == {codec}


async def test_chromium_plays_by_our_order_of_codecs(plain_page: Page) -> None:
    codecs = [Codec.AV1, Codec.H265, Codec.H264, Codec.VP8, Codec.OPUS]
    negotiation = answer_offer(await plain_page.evaluate(PLAY), LOCAL, sending=True, codecs=codecs)
    check_playing(await plain_page.evaluate(accept(negotiation.local)), negotiation)
    assert negotiation.streams[0].formats[0].codec is Codec.AV1
    assert negotiation.streams[0].match(Codec.VP8) is not None


async def test_what_is_of_no_use_is_rejected(plain_page: Page) -> None:
    offer = await plain_page.evaluate(PLAY_WITH_MORE)
    negotiation = answer_offer(offer, LOCAL, sending=True, codecs=[Codec.H264, Codec.OPUS])
    state = await plain_page.evaluate(accept(negotiation.local))
    # A rejected transceiver is stopped and leaves the list; the data channel is none of them.
    assert state["signaling"] == "stable"
    assert [(line["kind"], line["direction"]) for line in state["lines"]] == [
        ("audio", "recvonly"), ("video", "recvonly"),
    ]  # fmt: skip
    assert [line["mid"] for line in state["lines"]] == [stream.mid for stream in negotiation.streams]


async def test_a_stream_without_sound_is_answered_by_video_alone(plain_page: Page) -> None:
    negotiation = answer_offer(await plain_page.evaluate(PLAY), LOCAL, sending=True, codecs=[Codec.H264])
    state = await plain_page.evaluate(accept(negotiation.local))
    assert [(line["kind"], line["direction"]) for line in state["lines"]] == [("video", "recvonly")]


@pytest.mark.parametrize("codec", VIDEO.values())
async def test_chromium_publishes_each_codec(plain_page: Page, codec: Codec) -> None:
    offer = await plain_page.evaluate(PUBLISH.replace("ENCODINGS", "[{}]"))
    negotiation = answer_offer(offer, LOCAL, sending=False, codecs=[codec, Codec.OPUS])
    state = await plain_page.evaluate(accept(negotiation.local))
    assert state["signaling"] == "stable"
    audio, video = state["lines"]
    assert (audio["direction"], video["direction"]) == ("sendonly", "sendonly")
    assert set(video["sends"]) == {f"video/{codec}", "video/rtx"}
    assert set(audio["sends"]) == {"audio/opus"}
    stream = negotiation.stream(TrackKind.VIDEO)
    assert stream is not None
    assert len(stream.remote_ssrcs) == 1
    assert list(stream.remote_repairs.values()) == list(stream.remote_ssrcs)
    assert stream.formats[0].feedback == {"nack", "nack pli", "ccm fir", "goog-remb", "transport-cc"}


async def test_chromium_publishes_simulcast(plain_page: Page) -> None:
    offer = await plain_page.evaluate(PUBLISH.replace("ENCODINGS", SIMULCAST))
    negotiation = answer_offer(offer, LOCAL, sending=False, codecs=[Codec.H264, Codec.VP8, Codec.OPUS])
    stream = negotiation.stream(TrackKind.VIDEO)
    assert stream is not None
    assert stream.rids == ("l", "m", "h")
    assert {extensions.MID, extensions.RTP_STREAM_ID, extensions.REPAIRED_RTP_STREAM_ID} <= set(stream.extensions)
    state = await plain_page.evaluate(accept(negotiation.local))
    assert state["lines"][1]["rids"] == ["l", "m", "h"]
    assert state["lines"][1]["sends"][0] == "video/h264"


@pytest.mark.parametrize("codec", VIDEO.values())
async def test_chromium_takes_our_offer_to_play(plain_page: Page, codec: Codec) -> None:
    pending = make_offer(LOCAL, sending=True, codecs=[codec, Codec.OPUS])
    answer = await plain_page.evaluate(answer_to(pending.sdp, publish=False))
    negotiation = pending.accept(answer)
    state = await plain_page.evaluate(APPLY)
    assert state["signaling"] == "stable"
    assert [line["direction"] for line in state["lines"]] == ["recvonly", "recvonly"]
    assert set(state["lines"][0]["receives"]) >= {f"video/{codec}"}
    # Both tracks are of one stream, so that they are played in sync.
    assert state["streams"] == ["ghost-live", "ghost-live"]
    assert negotiation.transport.remote_ufrag
    assert not negotiation.transport.dtls_client
    video = negotiation.streams[0]
    assert (video.ssrc, video.rtx_ssrc) == (pending.streams[0].ssrc, pending.streams[0].rtx_ssrc)
    assert video.formats[0].rtx is not None
    assert "goog-remb" in video.formats[0].feedback
    assert extensions.ABS_SEND_TIME in video.extensions


async def test_chromium_takes_several_profiles_of_h264(plain_page: Page) -> None:
    pending = make_offer(LOCAL, sending=True, codecs=[Codec.H264])
    negotiation = pending.accept(await plain_page.evaluate(answer_to(pending.sdp, publish=False)))
    stream = negotiation.streams[0]
    high, baseline = (stream.match(Codec.H264, string) for string in ("avc1.64001f", "avc1.42c01f"))
    assert high is not None
    assert baseline is not None
    assert baseline.profile == "42e0"


async def test_chromium_takes_our_offer_to_publish(plain_page: Page) -> None:
    pending = make_offer(LOCAL, sending=False, codecs=[Codec.H264, Codec.VP8, Codec.OPUS])
    negotiation = pending.accept(await plain_page.evaluate(answer_to(pending.sdp, publish=True)))
    state = await plain_page.evaluate(APPLY)
    assert [line["direction"] for line in state["lines"]] == ["sendonly", "sendonly"]
    assert state["lines"][0]["sends"][0] == "video/h264"
    video, audio = negotiation.streams
    assert video.formats[0].codec is Codec.H264
    assert len(video.remote_ssrcs) == 1
    assert len(audio.remote_ssrcs) == 1
    assert "transport-cc" in video.formats[0].feedback


@pytest.fixture(scope="module")
def fox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """Firefox with an empty page."""
    with firefox(tmp_path_factory.mktemp("firefox")) as found:
        found.open("about:blank")
        yield found


def settle(browser: Firefox, expression: str) -> Any:
    """What a promise comes to in Firefox."""
    browser.evaluate(
        f"(window.settled = null, ({expression}).then("
        "value => settled = {value}, error => settled = {error: String(error)}), true)"
    )
    found = browser.until("the connection", "settled")
    assert "error" not in found, found["error"]
    return found["value"]


# Firefox gets H.264 from a plugin that it downloads, which is not done here.
FIREFOX = [Codec.VP8, Codec.VP9, Codec.AV1]


@pytest.mark.parametrize("codec", FIREFOX)
async def test_firefox_plays_each_codec(fox: Firefox, codec: Codec) -> None:
    negotiation = answer_offer(settle(fox, PLAY), LOCAL, sending=True, codecs=[Codec.H264, codec, Codec.OPUS])
    check_playing(settle(fox, accept(negotiation.local)), negotiation)
    assert {one.codec for one in negotiation.streams[0].formats} == {codec}


@pytest.mark.parametrize("codec", FIREFOX)
async def test_firefox_publishes_simulcast_in_each_codec(fox: Firefox, codec: Codec) -> None:
    offer = settle(fox, PUBLISH.replace("ENCODINGS", SIMULCAST))
    negotiation = answer_offer(offer, LOCAL, sending=False, codecs=[codec, Codec.OPUS])
    state = settle(fox, accept(negotiation.local))
    assert [line["direction"] for line in state["lines"]] == ["sendonly", "sendonly"]
    assert state["lines"][1]["rids"] == ["l", "m", "h"]
    assert negotiation.streams[1].rids == ("l", "m", "h")
    # Firefox tells the sources of its layers, in their order, and what repairs them.
    assert list(negotiation.streams[1].remote_repairs.values()) == list(negotiation.streams[1].remote_ssrcs)


@pytest.mark.parametrize("codec", FIREFOX)
async def test_firefox_takes_our_offers(fox: Firefox, codec: Codec) -> None:
    for sending in (True, False):
        pending = make_offer(LOCAL, sending=sending, codecs=[Codec.H264, codec, Codec.OPUS])
        negotiation = pending.accept(settle(fox, answer_to(pending.sdp, publish=not sending)))
        state = settle(fox, APPLY)
        assert state["signaling"] == "stable"
        way = "recvonly" if sending else "sendonly"
        assert [line["direction"] for line in state["lines"]] == [way, way]
        assert {one.codec for one in negotiation.streams[0].formats} == {codec}
        assert negotiation.streams[0].formats[0].rtx is not None
