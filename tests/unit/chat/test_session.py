"""The protocol of one viewer, message by message, without a socket."""

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.chat import unframe

from ghostlive.chat.bans import Ban
from ghostlive.chat.config import ChatConfig
from ghostlive.chat.errors import BadMessageError, BusyError
from ghostlive.chat.gateway import messages
from ghostlive.chat.gateway.messages import (
    Alive,
    AskPeople,
    BanAuthor,
    Decide,
    Delete,
    Edit,
    Hello,
    Join,
    Moderate,
    Post,
    React,
    SlashCommand,
    Who,
    WorkDone,
    parse,
)
from ghostlive.chat.gateway.session import Session
from ghostlive.chat.message import Message, make_quote
from ghostlive.chat.people import Author, hue

ANN = Author("g_0000000001", "Ann")
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def _session(*, author: Author | None = ANN, moderates: bool = False) -> Session:
    """A session after hello."""
    session = Session(ChatConfig())
    assert session.receive('{"type":"hello"}', 0.0) == Hello(None, None)
    session.author = author
    session.moderates = moderates
    return session


def _sent(session: Session) -> list[dict[str, Any]]:
    return [json.loads(text) for text in unframe(session.data_to_send())]


def _code(session: Session) -> str:
    [error] = _sent(session)
    assert error["type"] == "error"
    assert error["text"].endswith(".")
    return str(error["code"])


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"type":"join","name":" Ann "}', Join(" Ann ")),
        ('{"type":"post","txn":"a-_Z9","text":" hi  there "}', Post("a-_Z9", "hi there", None)),
        ('{"type":"post","txn":"1","text":"x","reply":7,"new":[1]}', Post("1", "x", 7)),
        ('{"type":"post","txn":"1","text":"x","reply":null}', Post("1", "x", None)),
        ('{"type":"post","txn":"1","text":"a\\n\\n\\n\\nb\\u202e"}', Post("1", "a\n\nb", None)),
        ('{"type":"delete","id":12}', Delete(12)),
        ('{"type":"ban","id":12}', BanAuthor(12, None, "", False)),
        ('{"type":"ban","id":12,"seconds":1.5,"reason":"a\\nb","messages":true}', BanAuthor(12, 1.5, "a b", True)),
        ('{"type":"ban","id":12,"seconds":null,"reason":null,"messages":null}', BanAuthor(12, None, "", False)),
        ('{"type":"people"}', AskPeople()),
    ],
)
def test_what_is_understood(text: str, command: object) -> None:
    session = _session(moderates=True)
    assert session.receive(text, 1.0) == command
    assert session.data_to_send() == b""


@pytest.mark.parametrize(
    ("text", "hello"),
    [
        ('{"type":"hello","token":"abc","since":0}', Hello("abc", 0)),
        ('{"type":"hello","token":null,"since":null}', Hello(None, None)),
        ('{"since":9007199254740992,"type":"hello"}', Hello(None, 2**53)),
    ],
)
def test_hello(text: str, hello: Hello) -> None:
    session = Session(ChatConfig())
    assert session.receive(text, 1.0) == hello
    assert session.greeted
    assert session.receive(text, 1.0) is None
    assert _code(session) == "bad_message"


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense", "null", "[]", '"hello"', "1", "{}", "\ud800", "[" * 100_000, '{"a":' * 5000, "1" * 5000,
        '{"type":null}', '{"type":["post"]}', '{"type":"welcome"}', '{"type":"\ud800"}',
        '{"type":"post"}', '{"type":"post","txn":"","text":"x"}', '{"type":"post","txn":"a b","text":"x"}',
        '{"type":"post","txn":"ä","text":"x"}', '{"type":"post","txn":"x\\n","text":"x"}',
        '{"type":"post","txn":"' + "x" * 65 + '","text":"x"}', '{"type":"post","txn":1,"text":"x"}',
        '{"type":"post","txn":"x","text":null}', '{"type":"post","txn":"x","text":["x"]}',
        '{"type":"post","txn":"x","text":"x","reply":"1"}', '{"type":"post","txn":"x","text":"x","reply":1.5}',
        '{"type":"post","txn":"x","text":"x","reply":true}', '{"type":"post","txn":"x","text":"x","reply":-1}',
        '{"type":"join"}', '{"type":"join","name":7}',
        '{"type":"delete"}', '{"type":"delete","id":"1"}', '{"type":"delete","id":1e3}', '{"type":"delete","id":NaN}',
        '{"type":"delete","id":99999999999999999999}', '{"type":"delete","id":' + "1" * 5000 + "}",
        '{"type":"ban"}', '{"type":"ban","id":1,"seconds":0}', '{"type":"ban","id":1,"seconds":-5}',
        '{"type":"ban","id":1,"seconds":NaN}', '{"type":"ban","id":1,"seconds":Infinity}',
        '{"type":"ban","id":1,"seconds":1e99}', '{"type":"ban","id":1,"seconds":true}',
        '{"type":"ban","id":1,"messages":1}', '{"type":"ban","id":1,"reason":5}',
        '{"type":"hello","token":5}', '{"type":"hello","since":-1}', '{"type":"hello","since":"1"}',
    ],
)  # fmt: skip
def test_what_is_not(text: str) -> None:
    with pytest.raises(BadMessageError):
        parse(text)
    session = _session(moderates=True)
    assert session.receive(text, 1.0) is None
    assert _code(session) == "bad_message"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"type":"post","txn":"x","text":""}', "empty"),
        ('{"type":"post","txn":"x","text":" \\u200b\\n\\u3164 "}', "empty"),
        ('{"type":"post","txn":"x","text":"' + "x" * 501 + '"}', "too_long"),
        ('{"type":"ban","id":1}', "not_allowed"),
    ],
)
def test_what_is_refused(text: str, code: str) -> None:
    session = _session()
    assert session.receive(text, 1.0) is None
    [error] = _sent(session)
    assert error["code"] == code
    assert error.get("txn") == ("x" if '"post"' in text else None)
    assert session.bad == 0


def test_the_limit_is_in_characters_after_cleaning() -> None:
    session = _session()
    text = json.dumps({"type": "post", "txn": "x", "text": "ä" * 250 + "\u200b" * 300 + "👩" * 250})
    assert session.receive(text, 1.0) == Post("x", "ä" * 250 + "👩" * 250, None)


def test_a_message_does_not_have_hundreds_of_lines() -> None:
    session = _session()
    post = session.receive(json.dumps({"type": "post", "txn": "x", "text": "\n".join("a" * 100)}), 1.0)
    assert isinstance(post, Post)
    assert post.text.split("\n") == ["a"] * 19 + [" ".join("a" * 81)]


def test_before_hello_nothing_goes() -> None:
    session = Session(ChatConfig())
    for text in ('{"type":"ping"}', '{"type":"post","txn":"x","text":"x"}', '{"type":"people"}'):
        assert session.receive(text, 1.0) is None
        assert _code(session) == "hello_first"
    assert not session.greeted


def test_without_a_name_nothing_is_said() -> None:
    session = _session(author=None)
    assert session.receive('{"type":"post","txn":"x","text":"x"}', 1.0) is None
    assert _code(session) == "name_needed"


def test_ping_and_people() -> None:
    session = _session()
    assert session.receive('{"type":"ping"}', 1.0) is None
    assert _sent(session) == [{"type": "pong"}]
    assert session.receive('{"type":"people"}', 2.0) == AskPeople()
    assert session.receive('{"type":"people"}', 2.5) is None
    assert _code(session) == "too_fast"
    assert session.receive('{"type":"people"}', 3.0) == AskPeople()


def test_after_ten_bad_messages_it_ends() -> None:
    session = _session()
    for number in range(10):
        assert session.closing is None
        session.receive("x", 100.0 * number)
    assert session.closing == (1008, "too many bad messages")
    session.data_to_send()
    assert session.receive('{"type":"ping"}', 5000.0) is None
    assert session.data_to_send() == b""
    session.close(1001, "too late")
    assert session.closing == (1008, "too many bad messages")


def test_what_the_server_says() -> None:
    session = _session(moderates=True)
    first = Message(5, ANN, txn="t", text='</script>"\\\u2028\n🐱', sent_at=AT, quote=None)
    second = Message(7, ANN, txn="u", text="yes", sent_at=AT, quote=make_quote(5, "Ann", "x\ny" + "z" * 200))
    session.welcome(seq=7, reset=False, said=[first, second], deleted=[3], rest={"people": 2})
    author = {"id": ANN.id, "name": "Ann", "hue": hue(ANN.id), "role": "guest"}
    at = "2026-01-02T03:04:05.678Z"
    [welcome] = _sent(session)
    assert welcome == {
        "type": "welcome",
        "you": {**author, "can": ["post", "react", "edit", "moderate"]},
        "seq": 7,
        "reset": False,
        "messages": [
            {
                "id": 5,
                "at": at,
                "author": author,
                "text": '</script>"\\\u2028\n🐱',
                "reply": None,
            },
            {
                "id": 7,
                "at": at,
                "author": author,
                "text": "yes",
                "reply": {"id": 5, "name": "Ann", "text": "x y" + "z" * 136 + "…"},
            },
        ],
        "deleted": [3],
        "pinned": None,
        "people": 2,
        "limits": {"text": 500, "name": 32},
    }
    session.joined("abc")
    session.joined()
    session.ack("t", 5)
    session.refuse(BusyError("Wait.", 5.0), "t")
    session.people(3, [ANN])
    session.send(messages.UNBANNED)
    session.send(messages.count(4))
    session.send(messages.said(first))
    session.send(messages.deleted(9, [5, 7]))
    ban = Ban(1, ANN.id, "Ann", "no \u00a0", "mo", AT, AT)
    session.send(messages.banned(ban))
    session.send(messages.banned(replace(ban, watch=True)))
    you = {**author, "can": ["post", "react", "edit", "moderate"]}
    assert _sent(session) == [
        {"type": "joined", "you": you, "token": "abc"},
        {"type": "joined", "you": you},
        {"type": "ack", "txn": "t", "id": 5, "seq": 5},
        {"type": "error", "code": "busy", "text": "Wait.", "retry_after": 5.0, "txn": "t"},
        {"type": "people", "people": 3, "names": [author]},
        {"type": "unbanned"},
        {"type": "count", "people": 4},
        {"type": "message", "seq": 5, "message": welcome["messages"][0]},
        {"type": "deleted", "seq": 9, "ids": [5, 7]},
        {"type": "banned", "reason": "no \u00a0", "until": "2026-01-02T03:04:05.678Z"},
        {"type": "banned", "reason": "no \u00a0", "until": "2026-01-02T03:04:05.678Z", "watching": True},
    ]
    first.forget_quoted()
    second.forget_quoted()
    assert json.loads(second.json)["reply"] == {"id": 5, "name": "Ann", "text": None}


def test_the_colour_stays() -> None:
    assert hue("g_x") == hue("g_x")
    assert len({hue(f"g_{number}") for number in range(300)}) > 150
    assert all(0 <= hue(f"g_{number}") < 360 for number in range(300))


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(exclude_categories=()))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=5,
)
_TYPES = st.sampled_from(
    [
        *("hello", "join", "post", "delete", "ban", "people", "ping", "x"),
        *("edit", "react", "act", "command", "decide", "work", "alive", "who"),
    ]
)
_MEMBERS = st.sampled_from(
    [
        *("type", "txn", "text", "reply", "id", "seconds", "reason", "messages", "token", "since", "name"),
        *("key", "on", "act", "author", "value", "watching", "ids", "allow", "nonce", "answer", "playing"),
    ]
)


@given(
    st.lists(
        st.one_of(
            st.text(),
            st.builds(
                lambda kind, members: json.dumps({**members, "type": kind}), _TYPES, st.dictionaries(_MEMBERS, _VALUES)
            ),
        ),
        max_size=20,
    ),
    st.booleans(),
)
def test_whatever_comes_in(texts: list[str], moderates: bool) -> None:
    session = Session(ChatConfig())
    session.moderates = moderates
    for number, text in enumerate(texts):
        with suppress(BadMessageError):
            parse(text)
        received = session.receive(text, float(number))
        if isinstance(received, Post):
            assert 0 < len(received.text) <= 500
        for sent in _sent(session):
            assert sent["type"] in ("error", "pong")
        session.author = ANN


@pytest.mark.parametrize(
    ("sent", "command"),
    [
        ({"type": "edit", "id": 5, "text": " x "}, Edit(5, "x")),
        ({"type": "react", "id": 5, "key": " 👍 ", "on": True}, React(5, "👍", True)),
        ({"type": "act", "act": "pin"}, Moderate("pin", None, None, None, "", None)),
        (
            {"type": "act", "act": "ban", "author": "@a:b.c", "seconds": 5, "reason": "\u202ex", "messages": True},
            Moderate("ban", None, "@a:b.c", 5, "x", {"messages": True, "watching": False}),
        ),
        ({"type": "act", "act": "rules", "value": {"slow": 5}}, Moderate("rules", None, None, None, "", {"slow": 5})),
        ({"type": "command", "text": "slow\n 5"}, SlashCommand("slow 5")),
        ({"type": "decide", "ids": [1, 2], "allow": False}, Decide((1, 2), False)),
        ({"type": "work", "nonce": "n", "answer": "1"}, WorkDone("n", "1")),
        ({"type": "alive", "playing": True}, Alive(True)),
        ({"type": "who", "author": "g_abc"}, Who("g_abc")),
        ({"type": "ban", "id": 5, "watching": True}, BanAuthor(5, None, "", False, True)),
    ],
)
def test_what_else_a_page_may_send(sent: dict[str, object], command: object) -> None:
    assert _session(moderates=True).receive(json.dumps(sent), 100.0) == command


@pytest.mark.parametrize(
    "sent",
    [
        {"type": "edit", "id": "5", "text": "x"}, {"type": "edit", "id": 5}, {"type": "react", "id": 5, "key": "x"},
        {"type": "react", "id": 5, "key": 5, "on": True}, {"type": "react", "id": 5, "key": "x", "on": 1},
        {"type": "act"}, {"type": "act", "act": "dance"}, {"type": "act", "act": "ban", "author": "x"},
        {"type": "act", "act": "ban", "author": "@"}, {"type": "act", "act": "ban", "seconds": 0},
        {"type": "act", "act": "ban", "seconds": True}, {"type": "decide", "ids": [], "allow": True},
        {"type": "decide", "ids": [1.5], "allow": True}, {"type": "decide", "ids": [1] * 201, "allow": True},
        {"type": "decide", "ids": [1], "allow": None}, {"type": "work", "nonce": 1, "answer": "1"},
        {"type": "alive"}, {"type": "alive", "playing": "yes"}, {"type": "who", "author": "nobody"},
    ],
)  # fmt: skip
def test_what_makes_no_sense(sent: dict[str, object]) -> None:
    session = _session(moderates=True)
    assert session.receive(json.dumps(sent), 100.0) is None
    assert [message["code"] for message in _sent(session)] == ["bad_message"]
    assert session.bad == 1


def test_what_only_moderators_may_send_and_what_needs_a_name() -> None:
    for sent, code in (
        ({"type": "act", "act": "clear"}, "not_allowed"),
        ({"type": "decide", "ids": [1], "allow": True}, "not_allowed"),
        ({"type": "who", "author": "g_x"}, "not_allowed"),
    ):
        session = _session()
        assert session.receive(json.dumps(sent), 100.0) is None
        assert [message["code"] for message in _sent(session)] == [code]
    nameless = Session(ChatConfig())
    nameless.receive('{"type":"hello"}', 0.0)
    for sent in (
        {"type": "edit", "id": 1, "text": "x"},
        {"type": "react", "id": 1, "key": "x", "on": True},
        {"type": "command", "text": "help"},
    ):
        assert nameless.receive(json.dumps(sent), 100.0) is None
        assert [message["code"] for message in _sent(nameless)] == ["name_needed"]


def test_signs_of_life_are_counted_no_more_often_than_they_are_to_come() -> None:
    session = _session()
    alive = '{"type":"alive","playing":true}'
    assert session.receive(alive, 100.0) == Alive(True)
    assert session.receive(alive, 101.0) is None
    assert [message["code"] for message in _sent(session)] == ["too_fast"]
    assert session.receive(alive, 130.0) == Alive(True)
