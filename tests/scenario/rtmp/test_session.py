"""Conversations with the session, in memory and on fake time."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rtmp_client import RtmpClient, exchange

from ghostlive.protocols.rtmp.config import RtmpConfig
from ghostlive.protocols.rtmp.errors import (
    AmfError,
    ChunkError,
    CommandError,
    HandshakeError,
    LimitError,
    PeerTimeoutError,
    PublishError,
    RtmpError,
    UnusableMediaError,
)
from ghostlive.protocols.rtmp.events import (
    AudioReceived,
    Event,
    MetadataReceived,
    PublishEnded,
    PublishRequested,
    VideoReceived,
)
from ghostlive.protocols.rtmp.parser.message import Message, MessageType, UserControl, user_control, window_size
from ghostlive.protocols.rtmp.session import Session, State

DATA = Path(__file__).parents[2] / "data" / "rtmp"
CONFIG = RtmpConfig()


def session(config: RtmpConfig = CONFIG, refusal: str = "") -> Session:
    return Session(config, random=random.Random(7).randbytes, now=0.0, refusal=refusal)


def publishing(config: RtmpConfig = CONFIG) -> tuple[Session, RtmpClient]:
    server, client = session(config), RtmpClient()
    client.connect()
    client.publish("KEY")
    exchange(server, client, 0.0)
    server.accept_publish(0.0)
    exchange(server, client, 0.0)
    return server, client


@pytest.mark.parametrize("scheme", [None, 0, 1])
def test_publish(scheme: int | None) -> None:
    server, client = session(), RtmpClient(scheme=scheme)
    client.connect(tc_url="rtmp://host/app")
    client.publish("show?key=KEY")
    (request,) = exchange(server, client, 0.0)
    assert request == PublishRequested("show", "KEY", "FMLE/3.0 (test)")
    assert "KEY" not in repr(request)
    assert server.agent == "FMLE/3.0 (test)"
    server.accept_publish(0.0)
    exchange(server, client, 0.0)
    assert [values[0] for values in client.commands] == [
        "_result", "_result", "onFCPublish", "_result", "_result", "onStatus"
    ]  # fmt: skip
    assert client.statuses() == [("NetStream.Publish.Start", "publishing")]
    types = [message.type for message in client.messages]
    assert {MessageType.WINDOW_SIZE, MessageType.PEER_BANDWIDTH, MessageType.USER_CONTROL} <= set(types)

    client.metadata({"encoder": "test"})
    client.send(Message(MessageType.VIDEO, 1, 40, b"\x17v"), 6)
    client.send(Message(MessageType.AUDIO, 1, 41, b"\xafa"), 4)
    client.unpublish("show")
    metadata, video, audio, ended = exchange(server, client, 1.0)
    assert metadata == MetadataReceived({"encoder": "test"})
    assert isinstance(video, VideoReceived)
    assert (video.timestamp, video.body) == (40, b"\x17v")
    assert isinstance(audio, AudioReceived)
    assert (audio.timestamp, audio.body) == (41, b"\xafa")
    assert isinstance(ended, PublishEnded)
    assert server.state is State.CONNECTED
    assert ("NetStream.Unpublish.Success", "unpublished") in client.statuses()

    client.publish("again")
    assert exchange(server, client, 2.0) == [PublishRequested(None, "again", "FMLE/3.0 (test)")]


def test_rejected_publish_is_told_why() -> None:
    server, client = session(), RtmpClient()
    client.connect()
    client.publish("wrong")
    exchange(server, client, 0.0)
    server.reject_publish("this stream key is unknown; copy it again from the studio")
    exchange(server, client, 0.0)
    client.receive(server.data_to_send())
    assert client.statuses() == [
        ("NetStream.Publish.BadName", "this stream key is unknown; copy it again from the studio")
    ]
    assert isinstance(server.error, PublishError)
    assert server.state is State.CLOSED
    assert server.next_timeout() is None
    assert server.receive_data(b"more", 0.0) == []
    server.reject_publish("twice")
    server.accept_publish(0.0)
    server.close(RtmpError("late"))
    assert server.data_to_send() == b""


def test_refused_connection_is_told_why() -> None:
    server, client = session(refusal="too many connections"), RtmpClient()
    client.connect()
    up = client.data_to_send()
    server.receive_data(up, 0.0)
    client.receive(server.data_to_send())
    server.receive_data(client.data_to_send(), 0.0)
    client.receive(server.data_to_send())
    assert client.statuses() == [("NetConnection.Connect.Rejected", "too many connections")]
    assert isinstance(server.error, LimitError)


def test_amf3_commands() -> None:
    server, client = session(), RtmpClient()
    client.connect(objectEncoding=3.0)
    client.command("createStream", None, amf3=True)
    client.command("publish", None, "KEY", "live", stream=1, amf3=True)
    (request,) = exchange(server, client, 0.0)
    assert request == PublishRequested(None, "KEY", "FMLE/3.0 (test)")
    information = client.commands[0][-1]
    assert isinstance(information, dict)
    assert information["objectEncoding"] == 3.0


def test_play_is_not_offered() -> None:
    server, client = session(), RtmpClient()
    client.connect()
    client.command("createStream", None)
    client.command("play", None, "show", stream=1)
    exchange(server, client, 0.0)
    ((code, description),) = client.statuses()
    assert code == "NetStream.Play.Failed"
    assert "web page" in description


def test_tolerated_commands_are_answered() -> None:
    server, client = session(), RtmpClient()
    client.connect()
    for name in ("getStreamLength", "_checkbw", "FCSubscribe"):
        client.command(name, None, "x")
    exchange(server, client, 0.0)
    assert [values[0] for values in client.commands] == ["_result"] * 4
    assert server.state is State.CONNECTED


def test_pings_and_acknowledgements() -> None:
    server, client = publishing()
    client.send(user_control(UserControl.PING_REQUEST, b"time"), 2)
    client.send(window_size(1000), 2)
    client.send(Message(MessageType.ACKNOWLEDGEMENT, 0, 0, bytes(4)), 2)
    client.messages.clear()
    client.send(Message(MessageType.AUDIO, 1, 0, bytes(1500)), 4)
    exchange(server, client, 0.0)
    assert [(message.type, message.payload[:2]) for message in client.messages] == [
        (MessageType.USER_CONTROL, b"\x00\x07"),
        (MessageType.ACKNOWLEDGEMENT, b"\x00\x00"),
    ]


def test_media_before_the_decision_is_dropped() -> None:
    server, client = session(), RtmpClient()
    client.connect()
    client.publish("KEY")
    client.send(Message(MessageType.VIDEO, 1, 0, b"\x17"), 6)
    client.send(Message(MessageType.AUDIO, 1, 0, b"\xaf"), 4)
    client.metadata({"encoder": "early"})
    assert [type(event) for event in exchange(server, client, 0.0)] == [PublishRequested]


def test_aggregates_are_taken_apart() -> None:
    server, client = publishing()
    tag = b"\x08" + (3).to_bytes(3, "big") + bytes(7) + b"abc" + (14).to_bytes(4, "big")
    client.send(Message(MessageType.AGGREGATE, 1, 500, tag + b"\x12" + tag[1:] + b"\x14" + tag[1:]), 4)
    (event,) = exchange(server, client, 0.0)
    assert isinstance(event, AudioReceived)
    assert (event.timestamp, event.body) == (500, b"abc")


def test_broken_aggregates_close_with_words() -> None:
    server, client = publishing()
    client.send(Message(MessageType.AGGREGATE, 1, 500, b"\x08\x00"), 4)
    exchange(server, client, 0.0)
    assert isinstance(server.error, UnusableMediaError)
    client.receive(server.data_to_send())
    assert client.statuses()[-1] == ("NetStream.Publish.Rejected", "an aggregate message is cut short")


@pytest.mark.parametrize("sent", [0, 1, 1000, 1537, 2000])
def test_slow_handshakes_time_out(sent: int) -> None:
    server, client = session(), RtmpClient()
    data = client.data_to_send() + bytes(1000)
    server.receive_data(data[:sent], 0.0)
    for second in range(1, 10):
        assert server.handle_timeout(float(second)) == []
        assert server.state is State.HANDSHAKE
    server.handle_timeout(10.0)
    assert isinstance(server.error, PeerTimeoutError)
    assert "handshake took longer than 10 s" in str(server.error)


def test_a_connection_that_publishes_nothing_times_out() -> None:
    server, client = session(), RtmpClient()
    client.connect()
    exchange(server, client, 5.0)
    server.handle_timeout(10.0)
    exchange(server, client, 10.0)
    client.receive(server.data_to_send())
    assert "nothing was published within 10 s" in client.statuses()[-1][1]


def test_a_decision_has_all_the_time_it_needs() -> None:
    server, client = session(), RtmpClient()
    client.connect()
    client.publish("KEY")
    exchange(server, client, 0.0)
    assert server.next_timeout() is None
    server.accept_publish(100.0)
    assert server.next_timeout() == 115.0


def test_a_silent_publisher_times_out() -> None:
    server, client = publishing()
    client.send(Message(MessageType.AUDIO, 1, 0, b"a"), 4)
    exchange(server, client, 10.0)
    assert server.next_timeout() == 25.0
    server.handle_timeout(25.0)
    assert "nothing came for 15 s" in str(server.error)


def test_bit_rate_is_limited_on_average() -> None:
    server, client = publishing(replace(CONFIG, max_bitrate=8_000_000))
    second = Message(MessageType.VIDEO, 1, 0, bytes(990_000))
    for now in range(1, 30):
        client.send(second, 6)
        exchange(server, client, float(now))
    assert server.error is None
    for now in range(30, 60):
        client.send(second, 6)
        client.send(second, 6)
        exchange(server, client, float(now))
    assert "more than 8 Mb/s over 10 s" in str(server.error)


def test_commands_are_limited() -> None:
    server, client = session(), RtmpClient()
    client.connect()
    for _ in range(200):
        client.command("getStreamLength", None, "x")
    exchange(server, client, 0.0)
    assert isinstance(server.error, LimitError)
    assert "20 commands per second" in str(server.error)


@pytest.mark.parametrize(
    ("first", "error"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", HandshakeError),
        (b"\x16\x03\x01\x02\x00", HandshakeError),
        (bytes(100), HandshakeError),
    ],
)
def test_garbage(first: bytes, error: type[RtmpError]) -> None:
    server = session()
    server.receive_data(first, 0.0)
    assert isinstance(server.error, error)
    assert server.data_to_send() == b""


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"\x0a\x00\x00\x00\x01" * 3000, AmfError),
        (b"\x02\x00\x01x\x00" + bytes(8) + b"\x0a\xff\xff\xff\xff" + b"\x05" * 9000, AmfError),
        (b"\x02\x00\x01x\x00" + bytes(8) + b"\x0c\xff\xff\xff\xff", AmfError),
        (b"", CommandError),
    ],
)
def test_amf_bombs_close(body: bytes, error: type[RtmpError]) -> None:
    server, client = session(), RtmpClient()
    client.send(Message(MessageType.COMMAND_AMF0, 0, 0, body))
    exchange(server, client, 0.0)
    assert isinstance(server.error, error)


def test_chunk_bombs_close() -> None:
    server, client = publishing()
    client.output += b"\xc9" * 50
    exchange(server, client, 0.0)
    assert isinstance(server.error, ChunkError)
    server, client = publishing()
    client.output += b"".join(bytes([csid]) + bytes(3) + b"\xff\xff\xff\x09" + bytes(4) for csid in range(10, 60))
    exchange(server, client, 0.0)
    assert isinstance(server.error, LimitError)


def test_commands_out_of_place() -> None:
    for queue, says in (
        ([("publish", "KEY")], "came before `connect`"),
        ([("connect", "x")], "no command object"),
    ):
        server, client = session(), RtmpClient()
        for name, argument in queue:
            client.command(name, argument)
        exchange(server, client, 0.0)
        assert isinstance(server.error, CommandError)
        assert says in str(server.error)
    server, client = session(), RtmpClient()
    client.connect()
    client.connect()
    exchange(server, client, 0.0)
    assert "`connect` came twice" in str(server.error)
    server, client = publishing()
    client.publish("other")
    exchange(server, client, 0.0)
    assert "one stream only" in str(server.error)


def test_message_streams_are_limited() -> None:
    server, client = session(replace(CONFIG, max_commands_per_second=1000)), RtmpClient()
    client.connect()
    for _ in range(70):
        client.command("createStream", None)
    exchange(server, client, 0.0)
    assert "64 message streams" in str(server.error)


def test_the_server_says_goodbye() -> None:
    server, client = publishing()
    server.close(RtmpError("the server is stopping"))
    client.receive(server.data_to_send())
    assert client.statuses()[-1] == ("NetConnection.Connect.Closed", "the server is stopping")


def take(server: Session, data: bytes, step: int) -> list[Event]:
    events: list[Event] = []
    for at in range(0, len(data), step):
        found = server.receive_data(data[at : at + step], at / 1e5)
        if any(isinstance(event, PublishRequested) for event in found):
            server.accept_publish(0.0)
        events += found
        server.data_to_send()
    return events


def shape(events: list[Event]) -> list[object]:
    return [
        (type(event).__name__, event.timestamp, event.body)
        if isinstance(event, AudioReceived | VideoReceived)
        else event
        for event in events
    ]


@pytest.mark.parametrize("file", sorted(DATA.glob("*.bin")), ids=lambda file: file.stem)
def test_captured_encoders(file: Path) -> None:
    # In small pieces, since real encoders wait for the answer to `publish` before they go on.
    data = file.read_bytes()
    server = session()
    events = take(server, data, 97)
    assert server.error is None
    assert isinstance(events[0], PublishRequested)
    assert events[0].key == "KEY"
    assert any(isinstance(event, MetadataReceived) for event in events)
    assert sum(isinstance(event, AudioReceived) for event in events) > 30
    assert isinstance(events[-1], PublishEnded) or file.stem.startswith("gstreamer")
    assert shape(take(session(), data, 61)) == shape(events)


@given(st.binary(max_size=600), st.integers(1, 100))
def test_noise_never_raises(noise: bytes, step: int) -> None:
    server, client = publishing()
    client.data_to_send()
    for at in range(0, len(noise), step):
        server.receive_data(noise[at : at + step], 0.1)
        server.data_to_send()
        server.next_timeout()
