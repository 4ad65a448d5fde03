"""Messages of OvenMediaEngine's signalling."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghostlive.protocols.ome.errors import MessageError
from ghostlive.protocols.ome.messages import (
    Answer,
    Candidates,
    ChangeRendition,
    Pong,
    RequestOffer,
    Stop,
    error,
    parse_message,
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"command":"request_offer"}', RequestOffer()),
        ('{"id":5,"peer_id":0,"command":"answer","sdp":{"type":"answer","sdp":"v=0"}}', Answer(5, "v=0")),
        ('{"id":5,"peer_id":0,"command":"candidate","candidates":[{"candidate":""}]}', Candidates(5)),
        (
            '{"command":"change_rendition","id":5,"rendition_name":"720p","auto":false}',
            ChangeRendition(5, "720p", False),
        ),
        ('{"command":"change_rendition","id":5,"auto":true}', ChangeRendition(5, None, auto=True)),
        ('{"command":"stop","id":5}', Stop(5)),
        ('{"command":"pong"}', Pong()),
    ],
)
def test_what_players_and_broadcasters_say(text: str, message: object) -> None:
    assert parse_message(text) == message


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_COMMANDS = st.sampled_from(["request_offer", "answer", "candidate", "change_rendition", "stop", "pong", "x", 7, None])


@given(
    st.text(max_size=100)
    | st.builds(
        lambda command, fields: json.dumps({**fields, "command": command}),
        _COMMANDS,
        st.dictionaries(st.sampled_from(["id", "sdp", "candidates", "rendition_name", "auto"]), _JSON),
    )
)
def test_whatever_comes_raises_nothing_else(text: str) -> None:
    with contextlib.suppress(MessageError):
        parse_message(text)


def test_an_error_says_for_whom_it_is_once_there_is_an_id() -> None:
    assert json.loads(error(404, "no")) == {"code": 404, "error": "no"}
    assert json.loads(error(404, "no", 7)) == {"code": 404, "error": "no", "id": 7, "peer_id": 0}
