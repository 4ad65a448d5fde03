"""Messages of the page as contents of Matrix events."""

import json
from datetime import UTC, datetime
from typing import Any

from ghostlive.chat.matrix.content import ID, PENDING, PROFILE, edit_content, mark, message_content, reaction_content
from ghostlive.db.matrix import OutgoingRecord


def _message(text: str, **more: Any) -> OutgoingRecord:
    known: dict[str, Any] = {
        "id": 1_795_000_000_001,
        "author": "g_abc",
        "name": "Ada <b>",
        "role": "guest",
        "kind": "text",
        "text": text,
        "html": None,
        "reply_to": None,
        "sent_at": datetime(2026, 1, 1, tzinfo=UTC),
        "deleted": False,
        "known": False,
    }
    return OutgoingRecord(**{**known, **more})


def test_a_text_is_a_text_with_our_mark_and_mentions_nobody() -> None:
    content = message_content(_message("a < b"), reply_event=None, by_bot=False)
    assert content == {"msgtype": "m.text", "body": "a < b", ID: 1_795_000_000_001, "m.mentions": {}}
    assert not any(isinstance(value, float) for value in json.loads(json.dumps(content)).values())


def test_kinds_have_their_types() -> None:
    kinds = {"text": "m.text", "notice": "m.notice", "emote": "m.emote", "something new": "m.text"}
    for kind, expected in kinds.items():
        assert message_content(_message("x", kind=kind), reply_event=None, by_bot=False)["msgtype"] == expected


def test_what_the_bot_says_for_somebody_has_their_name_for_every_client() -> None:
    content = message_content(_message("a <i>\nb"), reply_event="$x", by_bot=True)
    assert content[PROFILE] == {"id": "g_abc", "displayname": "Ada <b>", "has_fallback": True}
    assert content["body"] == "Ada <b>: a <i>\nb"
    expected = "<strong data-mx-profile-fallback>Ada &lt;b&gt;: </strong>a &lt;i&gt;<br>b"
    assert content["formatted_body"] == expected
    assert content["m.relates_to"] == {"m.in_reply_to": {"event_id": "$x"}}


def test_codes_of_emotes_become_pictures_and_everything_else_stays_text() -> None:
    emotes = {"wave": "mxc://chat.test/abc"}
    content = message_content(_message(":wave: & :unknown: 10:30:wave:"), reply_event=None, by_bot=False, emotes=emotes)
    picture = '<img data-mx-emoticon height="32" src="mxc://chat.test/abc" alt=":wave:" title=":wave:">'
    assert content["formatted_body"] == f"{picture} &amp; :unknown: 10:30{picture}"
    assert content["body"] == ":wave: & :unknown: 10:30:wave:"
    assert "formatted_body" not in message_content(_message("10:30"), reply_event=None, by_bot=False, emotes=emotes)


def test_an_address_stays_one_whatever_stands_between_its_colons() -> None:
    emotes = {"wave": "mxc://chat.test/abc"}
    text = "see https://live.test/:wave:/x :wave:"
    content = message_content(_message(text), reply_event=None, by_bot=False, emotes=emotes)
    picture = '<img data-mx-emoticon height="32" src="mxc://chat.test/abc" alt=":wave:" title=":wave:">'
    assert content["formatted_body"] == f"see https://live.test/:wave:/x {picture}"
    link = message_content(_message("https://live.test/:wave:/"), reply_event=None, by_bot=False, emotes=emotes)
    assert "formatted_body" not in link


def test_an_edit_replaces_and_says_so_to_old_clients() -> None:
    content = edit_content(number=7, event_id="$x", kind="text", text="new", markup="<b>new</b>", speaker=None)
    assert content["m.relates_to"] == {"rel_type": "m.replace", "event_id": "$x"}
    assert content["m.new_content"]["formatted_body"] == "<b>new</b>"
    assert (content["body"], content["formatted_body"]) == ("* new", "* <b>new</b>")
    assert content[PENDING] == 7


def test_an_edit_of_what_the_bot_said_for_somebody_has_their_name_again() -> None:
    edited = edit_content(number=7, event_id="$x", kind="text", text="new", markup=None, speaker=("g_abc", "Ada"))
    assert edited["m.new_content"]["body"] == "Ada: new"
    assert edited["m.new_content"][PROFILE]["displayname"] == "Ada"


def test_a_reaction_and_marks() -> None:
    content = reaction_content(number=3, event_id="$x", key="👍")
    assert content["m.relates_to"] == {"rel_type": "m.annotation", "event_id": "$x", "key": "👍"}
    assert mark(content, PENDING) == 3
    assert mark({ID: True}, ID) is None
    assert mark({ID: "5"}, ID) is None
    assert mark({}, ID) is None
