"""Federation as a whole: two servers with their managed homeservers, which find each other by their names alone."""

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from tests.support.chat_client import chat_url, guest
from tests.support.line import namespaces
from tests.support.program import wait_for
from tests.support.synapse import START_WITHIN, Person
from tests.support.towns import Town, towns

pytestmark = [pytest.mark.interop, pytest.mark.campaign]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Town]]:
    """Two servers whose homeservers answer, each with a stream."""
    if not namespaces():
        pytest.skip("no network namespace can be made here")
    with towns(tmp_path_factory.mktemp("towns"), ["alpha.test", "beta.test"]) as found:
        for town in found:
            town.add_stream("open")
            wait_for("the homeserver", town.has_homeserver, START_WITHIN)
        yield found


@pytest.mark.limit(600)
def test_two_managed_homeservers_are_one_chat_and_a_ban_is_one_in_both(both: list[Town]) -> None:
    alpha, beta = both
    assert "leads to alpha.test:443" in alpha.inside("doctor")
    eve = beta.person("eve")
    room = str(wait_for("the room of the other town", lambda: joined(beta, eve, alpha.room_alias), START_WITHIN))
    with alpha.own() as owner, guest(chat_url(alpha.url, "open"), "Ann") as ann:
        beta.say(eve, room, "hello from beta")
        ann.wait(lambda: ann.texts == ["hello from beta"], "what is said elsewhere")
        assert ann.messages[0]["author"]["matrix"] == "@eve:beta.test"
        ann.post("hello from alpha", "1")

        def heard() -> str | None:
            said = [event for event in beta.read(eve, room) if event["content"].get("body") == "hello from alpha"]
            return said[0]["sender"] if said else None

        ghost = str(wait_for("what the page says", heard, START_WITHIN))

        # A moderator whose account is elsewhere puts somebody of here out, by a command and by their client.
        named = owner.put("/api/v1/streams/open/chat/moderators", json={"matrix": eve.mxid})
        assert named.status_code == 200, named.text
        levels = f"rooms/{quote(room)}/state/m.room.power_levels/"
        wait_for("the power", lambda: beta.call("GET", levels, by=eve)["users"].get(eve.mxid) == 50, START_WITHIN)
        beta.say(eve, room, "!timeout Ann 1h calm down")
        assert ann.until("banned")["reason"] == "calm down"
        beta.call("POST", f"rooms/{quote(room)}/ban", {"user_id": ghost, "reason": "spam"}, by=eve)
        assert ann.closed() == (4003, "banned")

        # And who is banned here, with all of their homeserver, is kept out by that itself.
        owner.delete("/api/v1/streams/open/chat/moderators", params={"matrix": eve.mxid}).raise_for_status()
        ban = {"matrix": f"@*:{beta.name}", "reason": "all of them"}
        owner.post("/api/v1/streams/open/chat/bans", json=ban).raise_for_status()
        wait_for("the ban at home", lambda: is_refused(beta, eve, room), START_WITHIN)

    # The other way round, at the same time another town's chat is open to this one.
    bob = alpha.person("bob")
    there = str(wait_for("the room of the other town", lambda: joined(alpha, bob, beta.room_alias), START_WITHIN))
    with guest(chat_url(beta.url, "open"), "Cleo") as cleo:
        alpha.say(bob, there, "hello from alpha")
        cleo.wait(lambda: cleo.texts == ["hello from alpha"], "what is said elsewhere")


def joined(town: Town, person: Person, alias: str) -> str | None:
    """The room's ID, once it can be joined."""
    try:
        return town.join(person, alias)
    except httpx.HTTPStatusError:
        return None


def is_refused(town: Town, person: Person, room: str) -> bool:
    """Whether their own homeserver does not let them speak any more."""
    try:
        town.say(person, room, "am I still here?")
    except httpx.HTTPStatusError as refused:
        return refused.response.status_code == 403
    return False
