"""Answers to offers of browsers and encoders, good and bad."""

import contextlib
import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.core.track import Codec, TrackKind
from ghostlive.formats.rtp import extensions
from ghostlive.formats.sdp import SessionDescription
from ghostlive.protocols.webrtc.candidate import Candidate, candidate_priority
from ghostlive.protocols.webrtc.errors import NegotiationError
from ghostlive.protocols.webrtc.negotiation import LocalParameters, MediaStream, Negotiation, answer_offer

DATA = Path(__file__).parents[2] / "data" / "sdp"
SAMPLES = sorted(file.stem for file in DATA.glob("*.sdp"))
ALL = [Codec.H264, Codec.H265, Codec.AV1, Codec.VP9, Codec.VP8, Codec.OPUS]
LOCAL = LocalParameters(
    ufrag="ghost",
    pwd="0123456789abcdefghijklmn",
    fingerprint=":".join(["AB"] * 32),
    candidates=(
        Candidate("1", 1, "udp", candidate_priority("host"), "192.0.2.1", 10000, "host"),
        Candidate("2", 1, "tcp", candidate_priority("host", tcptype="passive"), "192.0.2.1", 10000, "host", "passive"),
    ),
    cname="cname",
    session_id=7,
)


def load(name: str) -> str:
    return (DATA / f"{name}.sdp").read_bytes().decode()


def is_viewer(name: str) -> bool:
    return name.endswith(("play", "data"))


def agree(offer: str, *codecs: Codec, sending: bool = True) -> Negotiation:
    """Answer, and check what every answer has to keep (RFC 8829 §5.3.1, RFC 9143 §7.3)."""
    negotiation = answer_offer(offer, LOCAL, sending=sending, codecs=codecs or ALL)
    assert negotiation.cname == LOCAL.cname
    offered, answer = SessionDescription.parse(offer), SessionDescription.parse(negotiation.local)
    used = {stream.mid: stream for stream in negotiation.streams}
    bundle = (answer.first("group") or "BUNDLE").split()[1:]
    assert len(answer.media) == len(offered.media)
    accepted = 0
    for theirs, ours in zip(offered.media, answer.media, strict=True):
        assert (ours.kind, ours.protocol, ours.first("mid")) == (theirs.kind, theirs.protocol, theirs.first("mid"))
        assert set(ours.formats) <= set(theirs.formats)
        if ours.port == 0:
            assert ours.first("mid") not in bundle
            continue
        stream = used[ours.first("mid") or ""]
        accepted += 1
        assert not stream.mid or not bundle or stream.mid in bundle
        assert ours.has("rtcp-mux")
        assert ours.has("sendonly" if sending else "recvonly")
        extmap = [value.split() for value in theirs.values("extmap")]
        for uri, number in stream.extensions.items():
            assert any(words[1:2] == [uri] and words[0].partition("/")[0] == str(number) for words in extmap)
        for one in stream.formats:
            assert one.codec in (codecs or ALL)
            assert str(one.payload_type) in ours.formats
            if one.rtx is not None:
                assert f"{one.rtx} apt={one.payload_type}" in [*ours.values("fmtp")]
                assert f"{one.rtx} apt={one.payload_type}" in [*theirs.values("fmtp")]
        sources = [int(line.split()[0]) for line in ours.values("ssrc")]
        assert set(sources) == ({stream.ssrc, stream.rtx_ssrc} - {None} if sending else set())
    assert accepted == len(negotiation.streams)
    assert (negotiation.remote, negotiation.sending) == (offer, sending)
    return negotiation


def video(negotiation: Negotiation) -> MediaStream:
    stream = negotiation.stream(TrackKind.VIDEO)
    assert stream is not None
    return stream


def audio(negotiation: Negotiation) -> MediaStream:
    stream = negotiation.stream(TrackKind.AUDIO)
    assert stream is not None
    return stream


@pytest.mark.parametrize("name", SAMPLES)
def test_real_offers(name: str) -> None:
    negotiation = agree(load(name), sending=is_viewer(name))
    assert {stream.kind for stream in negotiation.streams} == {TrackKind.VIDEO, TrackKind.AUDIO}
    assert audio(negotiation).formats[0].codec is Codec.OPUS
    assert extensions.MID in video(negotiation).extensions or name.startswith("obs")
    if is_viewer(name):
        assert "goog-remb" in video(negotiation).formats[0].feedback
        assert video(negotiation).rtx_ssrc is not None
        assert audio(negotiation).rtx_ssrc is None


def test_the_codecs_order_is_ours() -> None:
    formats = video(agree(load("chromium_play"), Codec.VP9, Codec.H264, Codec.AV1)).formats
    order = [(one.codec.value, one.profile, one.payload_type) for one in formats]
    assert order == [
        ("vp9", "0", 98), ("vp9", "2", 100),
        ("h264", "42e0", 108), ("h264", "4d00", 116), ("h264", "4200", 102),
        ("av1", "0", 45), ("av1", "1", 47),
    ]  # fmt: skip


def test_h264_is_sent_under_the_profile_that_fits() -> None:
    stream = video(agree(load("safari_play")))
    numbers = {
        string: match.payload_type
        for string in ("avc1.42c01f", "avc1.640028", "avc1.64001f", "avc1.4d001f", "")
        if (match := stream.match(Codec.H264, string)) is not None
    }
    assert numbers == {"avc1.42c01f": 98, "avc1.640028": 96, "avc1.64001f": 96, "avc1.4d001f": 98, "": 98}


def test_other_codecs_are_sent_under_their_profile_or_not_at_all() -> None:
    stream = video(agree(load("chromium_play")))
    assert [one and one.payload_type for one in (
        stream.match(Codec.VP9, "vp09.00.31.08"), stream.match(Codec.VP9, "vp09.02.31.10"),
        stream.match(Codec.VP9, "vp09.01.31.08"), stream.match(Codec.AV1, "av01.0.05M.08"), stream.match(Codec.VP8),
        stream.match(Codec.H265, "hvc1.1.6.L93.B0"), stream.match(Codec.AV1),
    )] == [98, 100, None, 45, 96, None, 45]  # fmt: skip
    safari = video(agree(load("safari_play")))
    assert safari.match(Codec.H265, "hvc1.1.6.L93.B0") is not None
    assert safari.match(Codec.H265, "hvc1.2.4.L93.B0") is None


def test_h264_without_fragments_cannot_be_used() -> None:
    offer = re.sub("packetization-mode=1", "packetization-mode=0", load("obs_publish"))
    with pytest.raises(NegotiationError, match=r"H264.*packetization-mode=1"):
        agree(offer, Codec.H264, Codec.OPUS, sending=False)


def test_a_sender_takes_transport_wide_feedback_only_where_remb_is_missing() -> None:
    offer = load("chromium_play")
    stream = video(agree(offer))
    assert {"goog-remb", "transport-cc"} & stream.formats[0].feedback == {"goog-remb"}
    assert extensions.TRANSPORT_SEQUENCE_NUMBER not in stream.extensions
    for without in (r"a=rtcp-fb:\d+ goog-remb\r\n", r"a=extmap:\d+ \S+abs-send-time\r\n"):
        stream = video(agree(re.sub(without, "", offer)))
        assert {"goog-remb", "transport-cc"} & stream.formats[0].feedback == {"transport-cc"}
        assert extensions.TRANSPORT_SEQUENCE_NUMBER in stream.extensions
        assert extensions.ABS_SEND_TIME not in stream.extensions
    neither = re.sub(r"a=rtcp-fb:\d+ (goog-remb|transport-cc)\r\n", "", offer)
    assert video(agree(neither)).formats[0].feedback == {"nack", "nack pli", "ccm fir"}


def test_feedback_for_all_payload_types() -> None:
    offer = re.sub(r"a=rtcp-fb:\d+ ", "a=rtcp-fb:* ", load("obs_publish"))
    assert video(agree(offer, sending=False)).formats[0].feedback == {"nack", "nack pli", "goog-remb"}


def test_what_goes_one_way_only_is_answered_the_other_way() -> None:
    negotiation = agree(load("firefox_play"))
    assert extensions.PLAYOUT_DELAY in video(negotiation).extensions
    assert f"a=extmap:6/sendonly {extensions.PLAYOUT_DELAY}\r\n" in negotiation.local
    negotiation = agree(load("firefox_simulcast"), sending=False)
    assert f"a=extmap:9/recvonly {extensions.RTP_STREAM_ID}\r\n" in negotiation.local
    # Not in the direction in which the peer does not have it.
    offer = load("firefox_simulcast").replace("extmap:9/sendonly", "extmap:9/recvonly")
    assert extensions.RTP_STREAM_ID not in video(agree(offer, sending=False)).extensions


def test_extensions_that_the_fan_out_cannot_write_are_left_out() -> None:
    offer = load("chromium_play").replace("extmap:9 ", "extmap:15 ")
    assert extensions.MID not in video(agree(offer)).extensions
    long = load("chromium_play").replace("a=mid:0", f"a=mid:{'m' * 17}").replace("BUNDLE 0", f"BUNDLE {'m' * 17}")
    assert extensions.MID not in video(agree(long)).extensions
    assert extensions.MID in audio(agree(long)).extensions


def test_simulcast() -> None:
    negotiation = agree(load("chromium_simulcast"), sending=False)
    assert video(negotiation).rids == ("l", "m", "h")
    for line in ("a=rid:l recv", "a=rid:m recv", "a=rid:h recv", "a=simulcast:recv l;m;h"):
        assert f"{line}\r\n" in negotiation.local
    firefox = video(agree(load("firefox_simulcast"), sending=False))
    assert firefox.rids == ("l", "m", "h")
    assert len(firefox.remote_ssrcs) == 3
    assert tuple(firefox.remote_repairs.values()) == firefox.remote_ssrcs


@pytest.mark.parametrize(
    ("line", "rids"),
    [
        ("send h,m;~l", ("h", "l")),
        ("recv l;m send h", ("h",)),
        ("send rid=l;h", ("l", "h")),
        ("send x;y", ()),
        ("send", ()),
        ("", ()),
        ("recv l;m;h", ()),
    ],
)
def test_other_ways_to_say_simulcast(line: str, rids: tuple[str, ...]) -> None:
    offer = load("chromium_simulcast").replace("a=simulcast:send l;m;h", f"a=simulcast:{line}")
    assert video(agree(offer, sending=False)).rids == rids


def test_layers_are_limited_and_keep_their_restrictions() -> None:
    names = [f"r{number}" for number in range(9)]
    rids = "".join(f"a=rid:{name} send pt=108;max-width=640\r\n" for name in names)
    offer = re.sub(r"a=rid:l[\s\S]*", f"{rids}a=simulcast:send {';'.join(names)}\r\n", load("chromium_simulcast"))
    negotiation = agree(offer, sending=False)
    assert video(negotiation).rids == ("r0", "r1", "r2", "r3")
    assert "a=rid:r0 recv max-width=640\r\n" in negotiation.local


def test_simulcast_needs_the_extension_that_names_layers() -> None:
    offer = re.sub(r"a=extmap:\d+ urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n", "", load("chromium_simulcast"))
    negotiation = agree(offer, sending=False)
    assert video(negotiation).rids == ()
    assert "simulcast" not in negotiation.local


def legacy_simulcast(*groups: str, told: bool = True) -> str:
    """An offer of Chromium as pages have rewritten it for simulcast before there were rids."""
    head = load("chromium_publish").partition("a=ssrc-group:")[0]
    assert "m=video" in head
    lines = [f"a=ssrc-group:{group}" for group in groups]
    numbers = dict.fromkeys(word for group in groups for word in group.split()[1:])
    lines += [f"a=ssrc:{number} cname:x" for number in numbers if told]
    return head + "".join(f"{line}\r\n" for line in lines)


@pytest.mark.parametrize("told", [True, False])
def test_simulcast_without_rids(told: bool) -> None:
    offer = legacy_simulcast("SIM 11 12 13", "FID 11 21", "FID 12 22", "FID 13 23", told=told)
    negotiation = agree(offer, sending=False)
    stream = video(negotiation)
    assert stream.rids == ()
    assert stream.layers == (11, 12, 13)
    assert stream.remote_ssrcs == (11, 12, 13)
    assert stream.remote_repairs == {21: 11, 22: 12, 23: 13}
    assert "simulcast" not in negotiation.local
    assert audio(negotiation).layers == ()


@pytest.mark.parametrize(
    ("groups", "layers"),
    [
        (("SIM 1 2 3 4 5 6",), (3, 4, 5, 6)),
        (("SIM 7 7 8",), (7, 8)),
        (("SIM 7",), ()),
        (("SIM",), ()),
        (("SIM a -1 4294967296 8",), ()),
        (("SIM 1 2", "SIM 3 4"), (1, 2)),
        (("SIM 1 2 3", "FID 1 2"), (1, 3)),
        (("FID 1 2",), ()),
        (("SIM " + " ".join(map(str, range(1, 2000))),), (29, 30, 31, 32)),
    ],
)
def test_broken_groups_of_layers(groups: tuple[str, ...], layers: tuple[int, ...]) -> None:
    assert video(agree(legacy_simulcast(*groups), sending=False)).layers == layers


def test_rids_win_over_groups_of_layers() -> None:
    offer = load("chromium_simulcast").rstrip() + "\r\na=ssrc-group:SIM 11 12 13\r\n"
    stream = video(agree(offer, sending=False))
    assert (stream.rids, stream.layers) == (("l", "m", "h"), ())
    without = re.sub(r"a=(rid|simulcast):[^\r]*\r\n", "", offer)
    assert video(agree(without, sending=False)).layers == (11, 12, 13)


def test_sources_of_a_publisher() -> None:
    obs = agree(load("obs_publish"), sending=False)
    assert (audio(obs).remote_ssrcs, video(obs).remote_ssrcs) == ((2769256475,), (2769256476,))
    chromium = video(agree(load("chromium_publish"), sending=False))
    assert len(chromium.remote_ssrcs) == 1
    assert tuple(chromium.remote_repairs.values()) == chromium.remote_ssrcs


def test_the_transport() -> None:
    transport = agree(load("obs_publish"), sending=False).transport
    assert (transport.remote_ufrag, transport.remote_pwd) == ("jsY3", "6pVmYYnTTkVQhJTtIf8NNY")
    assert (transport.local_ufrag, transport.local_pwd) == (LOCAL.ufrag, LOCAL.pwd)
    ((algorithm, digest),) = transport.fingerprints
    assert (algorithm, digest[:2], len(digest)) == ("sha-256", b"\x7e\x43", 32)
    assert not transport.dtls_client


def test_candidates_of_the_first_component() -> None:
    candidates = agree(load("firefox_publish"), sending=False).transport.candidates
    assert candidates
    assert {candidate.component for candidate in candidates} == {1}


@pytest.mark.parametrize(("setup", "ours"), [("actpass", "passive"), ("active", "passive"), ("passive", "active")])
def test_either_dtls_role(setup: str, ours: str) -> None:
    negotiation = agree(load("obs_publish").replace("setup:actpass", f"setup:{setup}"), sending=False)
    assert negotiation.transport.dtls_client is (ours == "active")
    assert f"a=setup:{ours}\r\n" in negotiation.local


def test_the_answer_says_what_we_are() -> None:
    local = agree(load("chromium_play")).local
    session = SessionDescription.parse(local)
    assert session.origin.session_id == 7
    assert session.has("ice-lite")
    first, second = session.media
    assert (first.port, first.connection) == (10000, "IN IP4 192.0.2.1")
    # Candidates belong to the transport, which the first m-line of the bundle stands for.
    assert (len([*first.values("candidate")]), len([*second.values("candidate")])) == (2, 0)
    assert first.has("end-of-candidates")
    assert first.first("fingerprint") == f"sha-256 {LOCAL.fingerprint}"
    assert first.first("msid") == "cname video"
    assert second.first("msid") == "cname audio"


def test_without_candidates_they_will_trickle() -> None:
    local = LocalParameters("ghost", LOCAL.pwd, LOCAL.fingerprint, (), "cname", 7, ice_lite=False)
    answer = SessionDescription.parse(answer_offer(load("chromium_play"), local, sending=True, codecs=ALL).local)
    assert not answer.has("ice-lite")
    assert (answer.media[0].port, answer.media[0].connection) == (9, "IN IP4 0.0.0.0")
    assert answer.media[0].first("ice-options") == "trickle"
    assert not answer.media[0].has("end-of-candidates")


def test_an_ipv6_address_as_default() -> None:
    candidate = Candidate("1", 1, "udp", 5, "2001:db8::1", 10000, "host")
    local = LocalParameters("ghost", LOCAL.pwd, LOCAL.fingerprint, (candidate,), "cname", 7)
    answer = SessionDescription.parse(answer_offer(load("chromium_play"), local, sending=True, codecs=ALL).local)
    assert answer.media[0].connection == "IN IP6 2001:db8::1"


def test_how_much_a_publisher_may_send_is_told() -> None:
    local = LocalParameters("ghost", LOCAL.pwd, LOCAL.fingerprint, (), "cname", 7, max_bitrate=5_000_000)
    answer = SessionDescription.parse(answer_offer(load("obs_publish"), local, sending=False, codecs=ALL).local)
    assert answer.media[0].bandwidth == []
    assert answer.media[1].bandwidth == [("AS", 5000), ("TIAS", 5_000_000)]


def test_how_much_a_viewer_wants_is_read() -> None:
    offer = load("chromium_play")
    assert video(agree(offer)).max_bitrate is None
    at = "c=IN IP4 0.0.0.0\r\n"
    assert video(agree(offer.replace(at, at + "b=AS:800\r\n", 1))).max_bitrate == 800_000
    assert video(agree(offer.replace(at, at + "b=AS:1\r\nb=TIAS:900000\r\n", 1))).max_bitrate == 900_000


def test_sound_has_two_channels_and_error_correction() -> None:
    (line,) = re.findall(r"a=fmtp:111 (.*)\r\n", agree(load("chromium_play")).local)
    assert set(line.split(";")) >= {"stereo=1", "sprop-stereo=1", "useinbandfec=1"}
    (line,) = re.findall(r"a=fmtp:111 (.*)\r\n", agree(load("chromium_publish"), sending=False).local)
    assert set(line.split(";")) >= {"stereo=1", "useinbandfec=1", "maxaveragebitrate=128000"}


def test_of_each_kind_one_m_line_is_used() -> None:
    negotiation = agree(load("chromium_data"))
    answer = SessionDescription.parse(negotiation.local)
    assert [medium.port > 0 for medium in answer.media] == [True, True, False, False]
    assert answer.first("group") == "BUNDLE 0 1"


def test_a_kind_that_we_have_not_is_rejected() -> None:
    answer = SessionDescription.parse(agree(load("chromium_play"), Codec.OPUS).local)
    assert [medium.port > 0 for medium in answer.media] == [False, True]
    # The bundle's transport is that of the first m-line in use.
    assert answer.first("group") == "BUNDLE 1"
    assert answer.media[1].has("candidate")


def test_directions() -> None:
    with pytest.raises(NegotiationError, match="recvonly"):
        agree(load("chromium_publish"), sending=True)
    with pytest.raises(NegotiationError, match="sendonly"):
        agree(load("chromium_play"), sending=False)
    both = load("chromium_play").replace("a=recvonly\r\n", "")
    assert len(agree(both).streams) == 2
    assert len(agree(both, sending=False).streams) == 2
    # A direction of the whole session counts where an m-line has none.
    session = both.replace("t=0 0\r\n", "t=0 0\r\na=recvonly\r\n")
    assert len(agree(session).streams) == 2
    with pytest.raises(NegotiationError):
        agree(session, sending=False)


def test_an_m_line_that_waits_for_the_bundle() -> None:
    offer = load("chromium_play").replace("m=audio 9", "m=audio 0")
    assert [stream.kind for stream in agree(offer).streams] == [TrackKind.VIDEO]
    offer = offer.replace("a=mid:1\r\n", "a=mid:1\r\na=bundle-only\r\n")
    assert len(agree(offer).streams) == 2


def test_one_m_line_needs_neither_bundle_nor_name() -> None:
    offer = load("obs_publish").partition("m=video")[0].replace("a=group:BUNDLE 0 1\r\n", "").replace("a=mid:0\r\n", "")
    negotiation = agree(offer, sending=False)
    assert [stream.mid for stream in negotiation.streams] == [""]
    assert "group:BUNDLE" not in negotiation.local


@pytest.mark.parametrize(
    ("pattern", "instead", "words"),
    [
        (r"a=ice-ufrag:.*\r\n", "", "ICE credentials"),
        (r"a=ice-pwd:.*\r\n", "", "ICE credentials"),
        (r"a=ice-pwd:.*\r\n", "a=ice-pwd:short\r\n", "malformed"),
        (r"a=ice-ufrag:.*\r\n", "a=ice-ufrag:a:bcd\r\n", "malformed"),
        (r"a=fingerprint:.*\r\n", "", "fingerprint"),
        (r"a=fingerprint:sha-256", "a=fingerprint:md5", "fingerprint"),
        (r"a=fingerprint:sha-256 ..:", "a=fingerprint:sha-256 ", "fingerprint"),
        (r"a=fingerprint:sha-256 ..", "a=fingerprint:sha-256 XX", "fingerprint"),
        (r"a=setup:actpass", "a=setup:holdconn", "DTLS role"),
        (r"a=rtcp-mux\r\n", "", "rtcp-mux"),
        (r"a=group:BUNDLE.*\r\n", "a=group:BUNDLE 0\r\n", "bundle"),
        (r"a=mid:1", "a=mid:0", "a=mid"),
        (r"a=mid:1", "a=mid:", "a=mid"),
        (r"UDP/TLS/RTP/SAVPF", "RTP/AVP", "no audio or video"),
        (r"a=rtpmap:(\d+) (H264|VP8|VP9|AV1)/", r"a=rtpmap:\1 DV/", "no video codec in common"),
        (r"a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus/48000", "no audio codec in common"),
        (r"m=", "n=", "no audio or video"),
        (r"^v=0", "v=2", "cannot be read"),
    ],
)
def test_what_cannot_be_agreed_to(pattern: str, instead: str, words: str) -> None:
    offer = re.sub(pattern, instead, load("chromium_play"))
    with pytest.raises(NegotiationError, match=words):
        agree(offer)


def test_giants_are_refused() -> None:
    for offer in (
        load("chromium_play") + "a=x\r\n" * 200_000,
        load("chromium_play") + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 1000,
    ):
        with pytest.raises(NegotiationError, match="cannot be read"):
            agree(offer)


def test_what_lines_of_codecs_say_wrongly_is_as_if_it_was_not_there() -> None:
    offer = load("obs_publish") + (
        "a=rtpmap:96 H264\r\na=rtpmap:999 H264/90000\r\na=rtpmap:x VP8/90000\r\na=fmtp:x apt=96\r\na=fmtp:97 apt=x\r\n"
        "a=rtcp-fb:x nack\r\na=rtcp-fb\r\na=extmap:0 urn:x\r\na=extmap:x urn:x\r\na=extmap:3\r\na=ssrc:x cname:y\r\n"
        "a=ssrc:99999999999 cname:y\r\na=ssrc-group:FID 1\r\na=ssrc-group:FID x y\r\na=candidate:nonsense\r\n"
    )
    stream = video(agree(offer, sending=False))
    assert [(one.payload_type, one.rtx) for one in stream.formats] == [(96, None)]
    assert stream.remote_ssrcs == (2769256476,)


@given(
    st.sampled_from(SAMPLES),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 80), st.text(max_size=6)), max_size=4),
)
def test_bent_offers(name: str, sending: bool, changes: list[tuple[int, int, str]]) -> None:
    offer = load(name)
    for at, length, instead in changes:
        offer = offer[:at] + instead + offer[at + length :]
    with contextlib.suppress(NegotiationError):
        answer_offer(offer, LOCAL, sending=sending, codecs=ALL)


@given(st.sampled_from(SAMPLES), st.lists(st.integers(0, 400), max_size=40), st.randoms())
def test_offers_that_lack_lines_or_have_them_elsewhere(name: str, drop: list[int], random: Random) -> None:
    lines = load(name).split("\r\n")
    kept = [line for index, line in enumerate(lines) if index not in drop]
    for _ in range(3):
        kept.insert(random.randrange(4, len(kept)), random.choice(lines))
    with contextlib.suppress(NegotiationError):
        agree("\r\n".join(kept), sending=is_viewer(name))


def test_two_lite_sides_would_never_find_each_other() -> None:
    offer = (DATA / "chromium_play.sdp").read_text().replace("t=0 0\n", "t=0 0\na=ice-lite\n", 1)
    with pytest.raises(NegotiationError, match="ICE lite"):
        answer_offer(offer, LOCAL, sending=True, codecs=[Codec.H264, Codec.OPUS])
